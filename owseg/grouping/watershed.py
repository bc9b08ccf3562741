"""Grouping by a watershed on the shape of the unknown mask: parts at necks are objects.

For models without a direction field: objects that touch are told apart where their common
border is narrow against both of them.

Source: F. Meyer, "Color image segmentation", ICIP 1992 (flooding from markers, as OpenCV
does it); markers are the ridges of the distance to the border of the mask, and basins merge
over saddles that are hardly lower than the lower of the two summits.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from owseg.grouping.components import MAX_CLUSTERS, MIN_AREA_SHARE, connected_components
from owseg.types import FloatArray, UInt8Array, UInt16Array

NECK = 0.7
"""Two parts are two objects where the neck between them is below this share of the half width
of the narrower one."""

MAX_SIDE = 512
"""Larger images are split on a coarser grid."""

Basins = npt.NDArray[np.int32]
_SQUARE = np.ones((3, 3), np.uint8)


def shape_watershed(open_set: UInt8Array, min_area_share: float = MIN_AREA_SHARE) -> UInt16Array:
    """Split the 8-connected components of the unknown pixels at their necks.

    Args:
        open_set: (H, W) uint8, 255 = unknown.
        min_area_share: smaller components and parts get id 0, as a share of the image.

    Returns:
        (H, W) uint16 ids 1, 2, ... without gaps, from the top down; 0 elsewhere. Beyond
        65535 objects the rest get 0.
    """
    components = connected_components(open_set, min_area_share)
    if not components.any():
        return components
    height, width = open_set.shape
    coarse = -(-max(height, width) // MAX_SIDE)
    size = (-(-width // coarse), -(-height // coarse))
    shares = cv2.resize((components > 0).astype(np.float32), size, interpolation=cv2.INTER_AREA)
    mask = np.pad((shares > 0).view(np.uint8), 1)
    depth: FloatArray = cv2.distanceTransform(mask, cv2.DIST_L2, 5).astype(np.float32)
    basins = _numbered(_merged(*_flooded(mask, depth), depth)[1:-1, 1:-1], min_area_share)
    ids = cv2.resize(basins, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    ids[components == 0] = 0
    return ids.astype(np.uint16, copy=False)


def _flooded(mask: UInt8Array, depth: FloatArray) -> tuple[Basins, int]:
    """Flood the mask from the ridges of the depth: basins 1, 2, ..., 0 outside; their number."""
    ridges = (depth == cv2.dilate(depth, _SQUARE)) & (mask > 0)
    count, marks = cv2.connectedComponents(ridges.view(np.uint8), connectivity=8)
    marks[mask == 0] = count
    picture = np.repeat(mask[..., None] * np.uint8(255), 3, axis=2)
    flooded = cv2.watershed(picture, marks.astype(np.int32))
    own = (flooded > 0) & (flooded < count) & (mask > 0)
    basins = np.where(own, flooded, 0).astype(np.float32)
    gaps = (basins == 0) & (mask > 0)  # the lines between basins
    while gaps.any():
        basins[gaps] = cv2.dilate(basins, _SQUARE)[gaps]
        gaps &= basins == 0
    return basins.astype(np.int32), count


def _merged(basins: Basins, count: int, depth: FloatArray) -> Basins:
    """Merge basins over high saddles, the highest first."""
    summit = np.zeros(count, np.float32)
    np.maximum.at(summit, basins.reshape(-1), depth.reshape(-1))
    parent = list(range(count))

    def find(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for saddle, i, j in _saddles(basins, depth, count):
        a, b = find(i), find(j)
        if a != b and saddle >= NECK * min(summit[a], summit[b]):
            parent[b] = a
            summit[a] = max(summit[a], summit[b])
    table = np.array([find(i) for i in range(count)], np.int32)
    out: Basins = table[basins]
    return out


def _saddles(basins: Basins, depth: FloatArray, count: int) -> list[tuple[float, int, int]]:
    """List the borders of basins, with the largest depth on each, the deepest first."""
    keys, depths = [], []
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
        here, there = _shifted(basins, dy, dx)
        low, high = np.minimum(here, there), np.maximum(here, there)
        border = (low > 0) & (low != high)
        keys.append(low[border].astype(np.int64) * count + high[border])
        depths.append(np.minimum(*_shifted(depth, dy, dx))[border])
    pairs, place = np.unique(np.concatenate(keys), return_inverse=True)
    deepest = np.zeros(pairs.size, np.float32)
    np.maximum.at(deepest, place.reshape(-1), np.concatenate(depths))
    order = np.lexsort((pairs, -deepest))
    return [(float(deepest[e]), int(pairs[e] // count), int(pairs[e] % count)) for e in order]


def _shifted(array: np.ndarray, dy: int, dx: int) -> tuple[np.ndarray, np.ndarray]:
    """Return views of cells and of their neighbours at an offset; dy >= 0."""
    height, width = array.shape
    here = array[: height - dy, max(0, -dx) : width - max(0, dx)]
    return here, array[dy:, max(0, dx) : width + min(0, dx)]


def _numbered(basins: Basins, min_area_share: float) -> UInt16Array:
    """Give numbers to basins in raster order; those that are too small get 0."""
    found, first, areas = np.unique(basins, return_index=True, return_counts=True)
    keep = (found > 0) & (areas >= max(1.0, min_area_share * basins.size))
    ranked = found[keep][np.argsort(first[keep])][:MAX_CLUSTERS]
    table = np.zeros(int(found.max(initial=0)) + 1, np.uint16)
    table[ranked] = np.arange(1, ranked.size + 1)
    out: UInt16Array = table[basins]
    return out
