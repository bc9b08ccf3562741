"""Resizing of images to the input of a network: one way, for running and for learning."""

from __future__ import annotations

import cv2
import numpy as np

from owseg.manifest import Manifest
from owseg.types import UInt8Array


def fit_image(image: UInt8Array, manifest: Manifest) -> UInt8Array:
    """Resize to the input size of a network; the aspect ratio follows the network.

    Args:
        image: (H, W, 3) uint8 RGB.
        manifest: manifest of the network.

    Returns:
        (height, width, 3) uint8 RGB, C-contiguous; the image itself where it fits already.
    """
    height, width = manifest.height, manifest.width
    if image.shape[:2] == (height, width):
        return np.ascontiguousarray(image)
    shrinks = image.shape[0] > height or image.shape[1] > width
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(image, (width, height), interpolation=method).astype(np.uint8, copy=False)
