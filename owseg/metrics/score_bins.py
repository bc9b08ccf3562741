"""Fixed bins over [0, 1] that are finest where anomaly scores crowd: at both ends.

The bin of a score s is the sum of three integer terms that grow with s:

- floor(s * 190 000): equal steps, which decide in the middle;
- the top bits of the float32 pattern of s + e, 2048 steps per octave towards 0 (for
  positive float32, the order of the patterns is the order of the numbers);
- minus the top bits of the pattern of 1 + e - s, 1024 steps per octave towards 1,

with e = 2^-23. Equal steps alone would do badly: a softmax puts a large share of the
known pixels within 1e-5 of 0, all in one bin. Here a bin is at most about 1 / 190 000
wide, and at most s / 2048 + 6e-11.

Rounding in float32 is monotone and so is each term: the bins are intervals and their
order is the order of the scores.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from owseg.jit import warm_up
from owseg.metrics._checks import BoolArray, Counts, check_score_range, row_blocks
from owseg.types import FloatArray

NUM_BINS = 1 << 18
"""Number of bins; a fixed number, so that any two states can be merged."""

BELOW_ALL = -1.0
"""Threshold below every score: all pixels lie above it."""

_PER_BLOCK = 1 << 19
"""Pixels that are copied at once where the compiled kernel cannot read an array as it lies."""

_ONE_BITS = int(np.float32(1).view(np.int32))


def bin_of(scores: FloatArray) -> npt.NDArray[np.int32]:
    """Bin of each score.

    Args:
        scores: any shape, float32 in [0, 1], checked by the caller.

    Returns:
        Same shape, int32 in 0..NUM_BINS - 1, growing with the score.
    """
    bins = np.empty(scores.shape, np.int32)
    _kernel().bins_of(_plain(scores).reshape(-1), bins.reshape(-1))
    return bins


def count_scores(scores: FloatArray, positive: BoolArray, valid: BoolArray) -> Counts:
    """Histogram of the valid pixels of one image, by class.

    Works through blocks of rows, so that the extra memory does not grow with the image.

    Args:
        scores: (H, W) float32 in [0, 1].
        positive: (H, W) bool, True for anomaly.
        valid: (H, W) bool, False for pixels that count nowhere.

    Returns:
        (2, NUM_BINS) int64: row 0 normal pixels, row 1 anomalous ones.

    Raises:
        InputError: a score is NaN, infinite or outside [0, 1], be it at an invalid pixel.
    """
    total = np.zeros(2 * NUM_BINS + 1, np.int64)
    places = np.empty(scores.shape[1], np.uint32)
    count = _kernel().count
    for rows in row_blocks(scores.shape, _PER_BLOCK):
        block = _plain(scores[rows])
        is_one = _plain(positive[rows]).view(np.uint8)
        if not count(block, is_one, _plain(valid[rows]), places, total):
            check_score_range(block)
    return total[:-1].reshape(2, NUM_BINS)


def _plain(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return an array in the one layout that the kernels are compiled for."""
    return np.require(array, requirements=("C", "A", "W"))


@cache
def _kernel() -> ModuleType:
    """Load the compiled part, and compile what no cache on disk has yet."""
    from owseg.metrics import _histogram

    def run() -> None:
        nothing = np.zeros((1, 1), np.float32)
        mask, counts = np.zeros((1, 1), np.bool_), np.zeros(2 * NUM_BINS + 1, np.int64)
        _histogram.bins_of(nothing[0], np.zeros(1, np.int32))
        _histogram.count(nothing, mask.view(np.uint8), mask, np.zeros(1, np.uint32), counts)

    warm_up(run, _histogram)
    return _histogram


def thresholds_below(bins: npt.NDArray[np.integer]) -> FloatArray:
    """Largest float32 t such that `score > t` holds just for the scores of a bin and above.

    Found by bisection over the bit patterns of float32 in [0, 1], whose order is
    the order of the numbers, with `bin_of` itself: exact by construction.

    Args:
        bins: (K,) integers in 0..NUM_BINS; NUM_BINS stands for "no score at all".

    Returns:
        (K,) float32 in [0, 1], or BELOW_ALL for bin 0.
    """
    low = np.zeros(bins.shape, np.int32)
    high = np.full(bins.shape, _ONE_BITS + 1, np.int32)
    for _ in range(_ONE_BITS.bit_length() + 1):
        middle = low + (high - low) // 2
        below = bin_of(np.minimum(middle, _ONE_BITS).view(np.float32)) < bins
        below &= middle <= _ONE_BITS
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    edges: FloatArray = low.view(np.float32)
    edges[bins == 0] = BELOW_ALL
    return edges
