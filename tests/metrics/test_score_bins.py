"""The bins are intervals in score order, fine where scores crowd, with exact edges."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from owseg.metrics.score_bins import BELOW_ALL, EQUAL, NUM_BINS, bin_of, thresholds_below

SCORE = st.floats(0, 1, width=32)


def edges(*bins: int) -> np.ndarray:
    return thresholds_below(np.array(bins))


def test_order_of_bins_is_order_of_scores_over_the_whole_range() -> None:
    patterns = np.arange(0, int(np.float32(1).view(np.int32)) + 1, 997, dtype=np.int32)
    assert (np.diff(bin_of(patterns.view(np.float32))) >= 0).all()


@given(SCORE, SCORE)
def test_higher_score_never_falls_into_a_lower_bin(a: float, b: float) -> None:
    low, high = bin_of(np.array(sorted((a, b)), np.float32))
    assert low <= high


def test_bins_stay_within_range_and_use_it() -> None:
    first, last = bin_of(np.array([0, 1], np.float32))
    assert first == 0
    assert 0.99 * NUM_BINS < last < NUM_BINS


def test_bins_are_narrow_everywhere() -> None:
    edge = edges(*range(1, NUM_BINS)).astype(np.float64)
    width, low = np.diff(edge), edge[:-1]
    assert width.max() <= 1.01 / EQUAL
    assert (width <= low / 2048 + 6e-11).all()


@given(SCORE)
def test_threshold_below_a_bin_separates_it_from_all_lower_bins(score: float) -> None:
    (number,) = bin_of(np.array([score], np.float32))
    (threshold,) = edges(number)
    assert np.float32(score) > threshold
    if threshold != BELOW_ALL:
        beyond = np.nextafter(threshold, np.float32(2))
        assert bin_of(np.array([threshold]))[0] < number
        assert bin_of(np.array([beyond], np.float32))[0] >= number


def test_threshold_above_all_bins_and_below_all_bins() -> None:
    assert edges(NUM_BINS)[0] == 1.0
    assert edges(0)[0] == BELOW_ALL
