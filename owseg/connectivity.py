"""Connectivity labelling: a map of classes becomes a map of segments."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Segments = npt.NDArray[np.int32]


def connected_segments(
    labels: npt.NDArray[np.integer[Any]], where: npt.NDArray[np.bool_], connectivity: int = 8
) -> Segments:
    """Label the connected pixels of one class as one segment, for every class.

    Args:
        labels: (H, W) integer classes.
        where: (H, W) bool, pixels that belong to a segment.
        connectivity: 8, or 4: diagonal neighbours do not connect.

    Returns:
        (H, W) int32 segments 1, 2, ..., those of lower classes first, each class from the
        top down; 0 where there is none.
    """
    segments = np.zeros(labels.shape, np.int32)
    count = 0
    for value in np.unique(labels[where]).tolist():
        mask = ((labels == value) & where).view(np.uint8)
        number, parts = cv2.connectedComponents(mask, connectivity=connectivity, ltype=cv2.CV_32S)
        np.copyto(segments, parts + count, where=mask.view(np.bool_))
        count += number - 1
    return segments
