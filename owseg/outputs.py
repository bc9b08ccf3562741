"""What a result is published as: the topics, and the array that each of them carries.

Recordings and nodes both take it from here, so that they hold the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from owseg.render import overlay, palette
from owseg.types import UNKNOWN_ID, ClassInfo, Result, UInt8Array

MASK = "segmentation/mask"
CONFIDENCE = "segmentation/confidence"
LABELS = "segmentation/label_info"
PROBABILITY = "anomaly/probability"
CLUSTERS = "clusters/mask"
OVERLAY = "overlay"

GROUPED = frozenset({CLUSTERS, OVERLAY})
"""Topics that show the unknown objects: the others need no grouping."""

OPACITY = 0.5
"""Of the classes in the overlay, unless another is chosen."""

UNKNOWN_NAME = "unknown"
"""Name of `UNKNOWN_ID` in `segmentation/label_info`."""

_MAX_MONO8_CLUSTER = 254


def confidence(result: Result) -> UInt8Array:
    """Return 255 * (1 - anomaly) as (H, W) uint8."""
    scaled = cv2.convertScaleAbs(result.anomaly, alpha=-255.0, beta=255.0)
    return scaled.astype(np.uint8, copy=False)


def cluster_mask(result: Result) -> npt.NDArray[Any]:
    """Give cluster ids as uint8 where all are up to 254, as uint16 otherwise."""
    if int(result.clusters.max(initial=0)) <= _MAX_MONO8_CLUSTER:
        return result.clusters.astype(np.uint8)
    return result.clusters


def label_names(classes: Sequence[ClassInfo]) -> list[tuple[int, str]]:
    """Return id and name of each class, and of "unknown", in the order of the ids."""
    return sorted(({info.id: info.name for info in classes} | {UNKNOWN_ID: UNKNOWN_NAME}).items())


def label_threshold(threshold: float) -> float:
    """Return the confidence below which a pixel is unknown; `threshold` is that of anomaly."""
    return 1.0 - threshold


def _overlay(result: Result, opacity: float) -> UInt8Array:
    return overlay(result, _colors(result.classes), opacity)


@lru_cache(maxsize=4)
def _colors(classes: tuple[ClassInfo, ...]) -> UInt8Array:
    return palette(classes)


_ARRAYS: dict[str, Callable[[Result, float], npt.NDArray[Any]]] = {
    MASK: lambda result, _: result.open_set,
    CONFIDENCE: lambda result, _: confidence(result),
    PROBABILITY: lambda result, _: result.anomaly,
    CLUSTERS: lambda result, _: cluster_mask(result),
    OVERLAY: _overlay,
}

IMAGES = tuple(_ARRAYS)
"""Topics that carry images, in the order in which they are published."""


def array_of(topic: str, result: Result, opacity: float = OPACITY) -> npt.NDArray[Any]:
    """Return what a topic carries for a frame.

    Args:
        topic: one of `IMAGES`.
        result: of the frame; its `classes` colour the overlay.
        opacity: of the overlay: 0 = image only, 1 = classes only.

    Returns:
        (H, W) uint8 for masks and confidence, (H, W) uint16 for cluster ids above 254,
        (H, W) float32 for the probability, (H, W, 3) uint8 RGB for the overlay.
    """
    return _ARRAYS[topic](result, opacity)
