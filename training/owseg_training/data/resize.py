"""Loading a sample at the size of a network."""

from __future__ import annotations

import cv2
import numpy as np

from owseg.datasets import Sample
from owseg.types import UInt8Array


def load_at(sample: Sample, size: tuple[int, int]) -> tuple[UInt8Array, UInt8Array]:
    """Load a sample at (height, width): the image by area or bilinear, labels by nearest.

    Returns:
        The image (H, W, 3) uint8 RGB and the label ids (H, W) uint8.

    Raises:
        DatasetError: a file cannot be decoded, or the sizes differ.
    """
    image, labels = sample.load()
    if image.shape[:2] != size:
        target = (size[1], size[0])
        shrink = image.shape[0] > size[0]
        method = cv2.INTER_AREA if shrink else cv2.INTER_LINEAR
        image = cv2.resize(image, target, interpolation=method).astype(np.uint8)
        labels = cv2.resize(labels, target, interpolation=cv2.INTER_NEAREST_EXACT).astype(np.uint8)
    return image, labels
