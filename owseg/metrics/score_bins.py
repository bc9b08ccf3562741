"""Fixed bins over [0, 1] that are finest where anomaly scores crowd: at both ends.

The bin of a score s is the sum of three integer terms that grow with s:

- floor(s * EQUAL): equal steps, which decide in the middle;
- the top bits of the float32 pattern of s + e, 2048 steps per octave towards 0 (for
  positive float32, the order of the patterns is the order of the numbers);
- minus the top bits of the pattern of 1 + e - s, 1024 steps per octave towards 1,

with e = 2^-23. Equal steps alone would do badly: a softmax puts a large share of the
known pixels within 1e-5 of 0, all in one bin. Here a bin is at most about 1 / EQUAL
wide, and at most s / 2048 + 6e-11.

Rounding in float32 is monotone and so is each term: the bins are intervals and their
order is the order of the scores.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from owseg.metrics._checks import BoolArray, Counts, check_score_range, row_blocks
from owseg.types import FloatArray

NUM_BINS = 1 << 18
"""Number of bins; a fixed number, so that any two states can be merged."""

BELOW_ALL = -1.0
"""Threshold below every score: all pixels lie above it."""

EQUAL = 190_000
"""Number of equal steps; with both logarithmic terms this fills NUM_BINS."""

_EPSILON = np.float32(2**-23)
_ONE = np.float32(1)
_LOW_SHIFT = 12
_HIGH_SHIFT = 13
_IN_CACHE = 1 << 16
_PER_COUNT = 1 << 19

_ONE_BITS = int(_ONE.view(np.int32))
_OFFSET = np.int32(
    ((_ONE + _EPSILON).view(np.int32) >> _HIGH_SHIFT) - (_EPSILON.view(np.int32) >> _LOW_SHIFT)
)


def bin_of(scores: FloatArray) -> npt.NDArray[np.int32]:
    """Bin of each score.

    Args:
        scores: any shape, float32 in [0, 1], checked by the caller.

    Returns:
        Same shape, int32 in 0..NUM_BINS - 1, growing with the score.
    """
    bins: npt.NDArray[np.int32] = (scores * np.float32(EQUAL)).astype(np.int32)
    low = (scores + _EPSILON).view(np.int32)
    bins += np.right_shift(low, _LOW_SHIFT, out=low)
    high = ((_ONE + _EPSILON) - scores).view(np.int32)
    bins -= np.right_shift(high, _HIGH_SHIFT, out=high)
    bins += _OFFSET
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
    for rows in row_blocks(scores.shape, _PER_COUNT):
        codes = _codes(scores[rows], positive[rows], valid[rows])
        total += np.bincount(codes, minlength=total.size)
    return total[:-1].reshape(2, NUM_BINS)


def _codes(scores: FloatArray, positive: BoolArray, valid: BoolArray) -> npt.NDArray[np.intp]:
    """Bin plus NUM_BINS times class; 2 * NUM_BINS for an invalid pixel. Flat."""
    codes = np.empty(scores.shape, np.intp)
    for rows in row_blocks(scores.shape, _IN_CACHE):
        check_score_range(scores[rows])
        code = bin_of(scores[rows])
        if positive[rows].any():
            code += np.multiply(positive[rows], np.int32(NUM_BINS), dtype=np.int32)
        if not valid[rows].all():
            np.copyto(code, np.int32(2 * NUM_BINS), where=~valid[rows])
        codes[rows] = code
    return codes.reshape(-1)


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
