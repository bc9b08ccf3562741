"""Compiled kernels of `owseg.metrics.score_bins`: bins of scores, and counting pixels by bin."""

from __future__ import annotations

from typing import Any

import numpy as np

from owseg.jit import entry, inner

EQUAL = 190_000
"""Number of equal steps; with both logarithmic terms this fills `score_bins.NUM_BINS`."""

_STEPS = np.float32(EQUAL)
_EPSILON = np.float32(2**-23)
_ZERO, _ONE = np.float32(0), np.float32(1)
_END = np.float32(_ONE + _EPSILON)
_LOW_SHIFT, _HIGH_SHIFT = np.int32(12), np.int32(13)
_OFFSET = np.int32((_END.view(np.int32) >> _HIGH_SHIFT) - (_EPSILON.view(np.int32) >> _LOW_SHIFT))


@inner
def bin_of_one(score: Any) -> Any:
    """Bin of one float32 score in [0, 1], as an int32."""
    low = np.float32(score + _EPSILON).view(np.int32) >> _LOW_SHIFT
    high = np.float32(_END - score).view(np.int32) >> _HIGH_SHIFT
    return np.int32(np.int32(score * _STEPS) + low - high + _OFFSET)


@entry
def bins_of(scores: Any, out: Any) -> None:
    """Find the bin of each score.

    Args:
        scores: (N,) float32 in [0, 1].
        out: (N,) int32.
    """
    for i in range(scores.size):
        out[i] = bin_of_one(scores[i])


@entry
def count(scores: Any, positive: Any, valid: Any, places: Any, counts: Any) -> bool:
    """Count the pixels of a map by class and bin; return whether all scores lie in [0, 1].

    Where they do not, the counts are of no use.

    Args:
        scores: (H, W) float32.
        positive: (H, W) uint8, 1 for anomaly.
        valid: (H, W) bool, False for pixels that count nowhere.
        places: (W,) uint32, for one row: loops without a jump, then one that scatters.
        counts: (2 * bins + 1,) int64, added to: normal pixels by bin, anomalous ones by bin,
            those that count nowhere.
    """
    height, width = scores.shape
    nowhere = np.uint32(counts.size - 1)
    bins = nowhere // np.uint32(2)
    for y in range(height):
        row, above, counted = scores[y], positive[y], valid[y]
        fits = True
        for x in range(width):
            score = row[x]
            fits &= (score >= _ZERO) & (score <= _ONE)
            place = np.uint32(bin_of_one(score)) + bins * np.uint32(above[x])
            places[x] = place if counted[x] else nowhere
        if not fits:
            return False
        for x in range(width):
            counts[places[x]] += 1
    return True
