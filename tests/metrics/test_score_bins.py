"""The bins are intervals in score order, fine where scores crowd, with exact edges."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from owseg.metrics._histogram import EQUAL
from owseg.metrics.score_bins import BELOW_ALL, NUM_BINS, bin_of, count_scores, thresholds_below

SCORE = st.floats(0, 1, width=32)


def edges(*bins: int) -> np.ndarray:
    return thresholds_below(np.array(bins))


def slow_bin_of(scores: np.ndarray) -> np.ndarray:
    """Bins as the module describes them, in numpy's float32."""

    def terms(s: np.ndarray) -> np.ndarray:
        low, one = np.float32(2**-23), np.float32(1)
        towards_0 = (s + low).view(np.int32) >> 12
        towards_1 = ((one + low) - s).view(np.int32) >> 13
        return np.floor(s * np.float32(EQUAL)).astype(np.int64) + towards_0 - towards_1

    return terms(scores) - terms(np.zeros(1, np.float32))


def test_bins_are_those_that_are_described() -> None:
    rng = np.random.default_rng(0)
    last = int(np.float32(1).view(np.int32))
    patterns = rng.integers(0, last + 1, 200_000, dtype=np.int32)
    for scores in (patterns.view(np.float32), rng.random(200_000, np.float32)):
        assert np.array_equal(bin_of(scores), slow_bin_of(scores))
    assert bin_of(np.zeros((2, 3), np.float32)).tolist() == [[0] * 3] * 2


@pytest.mark.parametrize("shape", [(1, 1), (7, 33), (300, 2048)])
@pytest.mark.parametrize("crowded", [False, True])
def test_pixels_are_counted_by_class_and_bin(shape, crowded) -> None:
    rng = np.random.default_rng(1)
    scores = rng.random(shape, np.float32) ** np.float32(20 if crowded else 1)
    positive, valid = rng.random(shape) < 0.3, rng.random(shape) < 0.8
    scores.flags.writeable = False
    want = np.zeros((2, NUM_BINS), np.int64)
    np.add.at(want, (positive[valid].astype(int), slow_bin_of(scores)[valid]), 1)
    assert np.array_equal(count_scores(scores, positive, valid), want)
    turned = (np.asfortranarray(array) for array in (scores, positive, valid))
    assert np.array_equal(count_scores(*turned), want)
    everywhere = np.broadcast_to(np.True_, shape)
    assert count_scores(scores, positive, everywhere).sum() == scores.size


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
