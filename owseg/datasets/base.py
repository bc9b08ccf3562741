"""What every data-set reader offers: paired paths, and checked loading."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from owseg.datasets.label_spaces import LabelSpace
from owseg.errors import DatasetError
from owseg.types import UInt8Array

_PNG, _COLOR_TYPE, _PALETTE = b"\x89PNG", 25, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One image with its label map, on disk."""

    name: str
    image_path: Path
    label_path: Path

    def load(self) -> tuple[UInt8Array, UInt8Array]:
        """Return the image (H, W, 3) uint8 RGB and the labels (H, W) uint8.

        Raises:
            DatasetError: a file cannot be decoded, the sizes differ, or an id has no meaning.
        """
        image, labels = self.load_image(), self.load_labels()
        if labels.shape != image.shape[:2]:
            raise DatasetError(
                f"{self.label_path} is {labels.shape[1]}x{labels.shape[0]}, "
                f"its image {image.shape[1]}x{image.shape[0]}"
            )
        return image, labels

    def load_image(self) -> UInt8Array:
        """Return the image (H, W, 3) uint8 RGB."""
        return read_image(self.image_path)

    def load_labels(self) -> UInt8Array:
        """Return the labels (H, W) uint8."""
        return read_labels(self.label_path)


class DatasetReader(Protocol):
    """A torch-free reader of one split of a data set."""

    name: str
    split: str
    label_space: LabelSpace

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Sample]: ...


def read_image(path: Path) -> UInt8Array:
    """Return an image file as (H, W, 3) uint8 RGB.

    Raises:
        DatasetError: it cannot be decoded.
    """
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise DatasetError(f"{path} is not a readable image")
    return np.ascontiguousarray(image[..., ::-1]).astype(np.uint8, copy=False)


def read_labels(path: Path) -> UInt8Array:
    """Return a file of label ids as (H, W) uint8.

    Raises:
        DatasetError: it cannot be decoded, or has colours, a palette or 16 bits a pixel.
    """
    labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    why = "it cannot be decoded" if labels is None else _why_no_ids(path, labels)
    if labels is None or why:
        raise DatasetError(f"{path} is not a readable 8-bit grey label map: {why}")
    return labels.astype(np.uint8, copy=False)


def _why_no_ids(path: Path, labels: npt.NDArray[Any]) -> str:
    if labels.ndim != 2:
        with path.open("rb") as file:
            head = file.read(_COLOR_TYPE + 1)
        if head.startswith(_PNG) and head[_COLOR_TYPE] == _PALETTE:
            return "it is a palette PNG; save the indices of the palette as grey values"
        return "it is a picture in colours; expected the id of the class in each pixel"
    if labels.dtype != np.uint8:
        return f"it has {8 * labels.dtype.itemsize} bits a pixel, as maps of instances have"
    return ""
