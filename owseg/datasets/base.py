"""What every data-set reader offers: paired paths, and checked loading."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from owseg.datasets.label_spaces import LabelSpace
from owseg.errors import DatasetError
from owseg.types import UInt8Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One image with its label map, on disk."""

    name: str
    image_path: Path
    label_path: Path

    def load(self) -> tuple[UInt8Array, UInt8Array]:
        """Return the image (H, W, 3) uint8 RGB and the labels (H, W) uint8.

        Raises:
            DatasetError: a file cannot be decoded, or the sizes differ.
        """
        image = cv2.imread(str(self.image_path), cv2.IMREAD_COLOR)
        labels = cv2.imread(str(self.label_path), cv2.IMREAD_UNCHANGED)
        if image is None:
            raise DatasetError(f"{self.image_path} is not a readable image")
        if labels is None or labels.ndim != 2 or labels.dtype != np.uint8:
            raise DatasetError(f"{self.label_path} is not a readable 8-bit grey label map")
        if labels.shape != image.shape[:2]:
            raise DatasetError(
                f"{self.label_path} is {labels.shape[1]}x{labels.shape[0]}, "
                f"its image {image.shape[1]}x{image.shape[0]}"
            )
        return np.ascontiguousarray(image[..., ::-1]), labels.astype(np.uint8, copy=False)


class DatasetReader(Protocol):
    """A torch-free reader of one split of a data set."""

    name: str
    split: str
    label_space: LabelSpace

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Sample]: ...
