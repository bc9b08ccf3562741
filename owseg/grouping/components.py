"""Grouping by connected components of the unknown mask."""

from __future__ import annotations

import cv2
import numpy as np

from owseg.types import UNKNOWN_ID, UInt8Array, UInt16Array

MIN_AREA_SHARE = 2.5e-4
"""Smallest object as a share of the image: 43 pixels at 480x360."""

MAX_CLUSTERS = 65535


def connected_components(
    open_set: UInt8Array, min_area_share: float = MIN_AREA_SHARE
) -> UInt16Array:
    """Label the 8-connected components of the unknown pixels.

    Args:
        open_set: (H, W) uint8, 255 = unknown.
        min_area_share: smaller components get id 0, as a share of the image.

    Returns:
        (H, W) uint16 ids 1, 2, ... without gaps, from the top down; 0 elsewhere. Beyond
        65535 components the rest get 0.
    """
    mask = (open_set == UNKNOWN_ID).view(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        mask, connectivity=8, ltype=cv2.CV_16U if open_set.size <= MAX_CLUSTERS else cv2.CV_32S
    )
    keep = stats[:, cv2.CC_STAT_AREA] >= max(1.0, min_area_share * open_set.size)
    keep[0] = False
    kept = np.flatnonzero(keep)[:MAX_CLUSTERS]
    table = np.zeros(count, np.uint16)
    table[kept] = np.arange(1, kept.size + 1)
    out: UInt16Array = table[labels]
    return out
