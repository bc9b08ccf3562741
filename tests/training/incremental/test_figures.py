"""The figures of the table against a hand-worked confusion matrix."""

from __future__ import annotations

import numpy as np
import pytest

from owseg_training.experiments.spread import mean_and_deviation
from owseg_training.incremental.figures import (
    base_figures,
    figures,
    forgetting,
    harmonic,
)

CONFUSION = np.array(
    [
        [6, 2, 2, 0],  # old a
        [0, 8, 0, 2],  # old b; two pixels without a class
        [1, 1, 8, 0],  # new
    ]
)


def test_hand_worked() -> None:
    found = figures(CONFUSION, 2)
    a, b, new = 6 / (10 + 1), 8 / (10 + 3), 8 / (10 + 2)
    assert found.iou == pytest.approx((a, b, new))
    assert found.old == pytest.approx((a + b) / 2)
    assert found.novel == pytest.approx(new)
    assert found.all == pytest.approx((a + b + new) / 3)
    old = (a + b) / 2
    assert found.harmonic == pytest.approx(2 / (1 / old + 1 / new))
    assert found.old_pixels == pytest.approx((6 / 10 + 8 / 12) / 2)


def test_the_base_is_compared_on_its_own_pixels() -> None:
    found = base_figures(np.array([[9, 1, 0, 0], [0, 10, 0, 0], [4, 6, 0, 0]]), 2)
    expected = 9 / 10, 10 / 11
    assert found.iou[:2] == pytest.approx(expected)
    assert found.iou[2] is None
    assert found.old == found.all == found.old_pixels == pytest.approx(sum(expected) / 2)
    assert (found.novel, found.harmonic) == (None, None)


def test_forgetting_compares_like_with_like() -> None:
    """Without a change on old pixels nothing is forgotten, whatever happens to the new ones."""
    before = base_figures(np.array([[9, 1, 0, 0], [0, 10, 0, 0], [4, 6, 0, 0]]), 2)
    learnt = figures(np.array([[9, 1, 0, 0], [0, 10, 0, 0], [0, 0, 10, 0]]), 2)
    assert forgetting(before, learnt) == pytest.approx(0.0)
    missed = figures(np.array([[9, 1, 0, 0], [0, 10, 0, 0], [3, 0, 7, 0]]), 2)
    assert forgetting(before, missed) == pytest.approx(0.0)
    worse = figures(np.array([[0, 0, 10, 0], [0, 10, 0, 0], [0, 0, 10, 0]]), 2)
    assert forgetting(before, worse) == pytest.approx((9 / 10 + 10 / 11) / 2 - (0 + 1) / 2)


def test_classes_that_do_not_occur_are_left_out_of_the_means() -> None:
    found = figures(np.array([[5, 0, 0, 0], [0, 0, 0, 0], [0, 0, 5, 0]]), 2)
    assert found.iou == (1.0, None, 1.0)
    assert (found.old, found.all) == (1.0, 1.0)
    invented = figures(np.array([[4, 1, 0, 0], [0, 0, 0, 0], [0, 0, 5, 0]]), 2)
    assert invented.iou == (pytest.approx(0.8), 0.0, 1.0)
    assert (invented.old, invented.all) == (pytest.approx(0.8), pytest.approx(0.9))
    absent = figures(np.array([[5, 0, 0, 0], [0, 5, 0, 0], [0, 0, 0, 0]]), 2)
    assert (absent.novel, absent.harmonic, absent.all) == (None, None, 1.0)


def test_harmonic_mean() -> None:
    assert harmonic(0.5, 0.25) == pytest.approx(1 / 3)
    assert harmonic(0.0, 0.9) == harmonic(0.9, 0.0) == 0.0
    assert harmonic(None, 0.5) is None


def test_mean_and_sample_deviation() -> None:
    assert mean_and_deviation([1.0, 2.0, 6.0]) == pytest.approx((3.0, 7**0.5))
    assert mean_and_deviation([2.0]) == (2.0, None)
    assert mean_and_deviation([None, 3.0]) == (3.0, None)
    assert mean_and_deviation([]) == (None, None)
