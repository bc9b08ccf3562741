"""Unknown objects that are too small to be believed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from owseg.types import UInt16Array

Ids = npt.NDArray[np.bool_]
"""A truth value for each cluster id, 0 included."""


def too_small(clusters: UInt16Array, smallest: int) -> Ids:
    """Say which objects have too few pixels.

    Args:
        clusters: (H, W) uint16 ids, 0 = none.
        smallest: pixels of the smallest object that stays.

    Returns:
        (largest id + 1,) bool; True at 0 too, where there is no object.
    """
    found = np.bincount(clusters.ravel()) < smallest
    found[0] = True
    return found


def without(clusters: UInt16Array, gone: Ids) -> UInt16Array:
    """Return ids 1, 2, ... without gaps, in the order of before, and 0 for those that are gone.

    Args:
        clusters: (H, W) uint16 ids, 0 = none.
        gone: of each id; what it says of 0 does not matter.
    """
    stays = ~gone
    stays[0] = False
    numbers = np.where(stays, np.cumsum(stays), 0).astype(np.uint16)
    out: UInt16Array = numbers[clusters]
    return out
