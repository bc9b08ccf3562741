"""The checks that every metric makes on the arrays it is given, in one place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from owseg.errors import InputError, TruthError
from owseg.types import FloatArray, UInt8Array

BoolArray = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int64]


def check_scores(scores: npt.NDArray[Any]) -> FloatArray:
    """Return `scores` if they are a non-empty (H, W) float32 map; values are checked later.

    Raises:
        InputError: another shape or dtype.
    """
    if not isinstance(scores, np.ndarray) or scores.ndim != 2 or 0 in scores.shape:
        raise InputError(f"expected (H, W) float32 anomaly scores, got {_describe(scores)}")
    if scores.dtype != np.float32:
        raise InputError(
            f"expected (H, W) float32 anomaly scores, got {_describe(scores)}; "
            "convert them with .astype(np.float32)"
        )
    return scores


def check_score_range(scores: FloatArray) -> None:
    """Refuse NaN, infinite and out-of-range values of a non-empty block of scores.

    Raises:
        InputError: a value outside [0, 1] or not finite.
    """
    low, high = scores.min(), scores.max()
    if low >= 0 and high <= 1:  # false for NaN, which min and max hand on
        return
    if not (np.isfinite(low) and np.isfinite(high)):
        raise InputError("anomaly scores hold NaN or infinite values; they must lie in [0, 1]")
    raise InputError(f"anomaly scores span [{low:.6g}, {high:.6g}]; they must lie in [0, 1]")


def check_mask(mask: npt.NDArray[Any], shape: tuple[int, ...], name: str) -> BoolArray:
    """Return `mask` if it is a bool map of `shape`.

    Raises:
        TruthError: another size or dtype.
    """
    if not isinstance(mask, np.ndarray) or mask.shape != shape or mask.dtype != np.bool_:
        raise TruthError(f"expected {name} as {_size(shape)} bool, got {_describe(mask)}")
    return mask


def check_valid(valid: npt.NDArray[Any] | None, shape: tuple[int, ...]) -> BoolArray:
    """Return the mask of pixels that count; all of them where none is given.

    Raises:
        TruthError: another size or dtype.
    """
    if valid is None:
        return np.broadcast_to(np.True_, shape)
    return check_mask(valid, shape, "the valid mask")


def check_prediction(pred: npt.NDArray[Any]) -> BoolArray:
    """Return `pred` if it is a non-empty (H, W) bool map.

    Raises:
        InputError: another shape or dtype.
    """
    if (
        not isinstance(pred, np.ndarray)
        or pred.ndim != 2
        or 0 in pred.shape
        or pred.dtype != np.bool_
    ):
        raise InputError(f"expected an (H, W) bool prediction, got {_describe(pred)}")
    return pred


def check_labels(labels: npt.NDArray[Any], name: str) -> UInt8Array:
    """Return `labels` if they are a non-empty (H, W) uint8 map.

    Raises:
        InputError: another shape or dtype.
    """
    if (
        not isinstance(labels, np.ndarray)
        or labels.ndim != 2
        or 0 in labels.shape
        or labels.dtype != np.uint8
    ):
        raise InputError(f"expected {name} as (H, W) uint8, got {_describe(labels)}")
    return labels


def row_blocks(shape: tuple[int, ...], pixels: int) -> Iterator[slice]:
    """Slices of rows that together cover an (H, W) map, each of about `pixels` pixels."""
    height, width = shape
    rows = max(1, pixels // width)
    return (slice(row, min(row + rows, height)) for row in range(0, height, rows))


def _describe(thing: object) -> str:
    if isinstance(thing, np.ndarray):
        return f"{_size(thing.shape)} {thing.dtype}"
    return type(thing).__name__


def _size(shape: tuple[int, ...]) -> str:
    return "(" + ", ".join(str(length) for length in shape) + ")"
