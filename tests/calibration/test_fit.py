"""Platt and isotonic: against scikit-learn, and what they do to the calibration error."""

from __future__ import annotations

import numpy as np
import pytest

from owseg.calibration.fit import METHODS, fit_table, isotonic, pixel_counts, platt
from owseg.calibration.table import TILT
from owseg.errors import InputError, UsageError
from owseg.metrics import CalibrationMetric

GRID = np.linspace(0, 1, 101)


def drawn(share=0.3, size=(300, 400), seed=0, power=3.0):
    """Scores whose true probability of anomaly is a known curve, far from the score itself."""
    rng = np.random.default_rng(seed)
    scores = rng.beta(1.2, 2.0, size).astype(np.float32)
    truth = rng.random(size) < share * scores**power + 0.5 * (scores > 0.7)
    return scores, truth


def counts_of(scores, truth):
    metric = pixel_counts()
    metric.update(scores, truth)
    return metric.compute()


def by_score(scores, truth):
    """Scores, normal and anomalous pixels by distinct score."""
    place, which = np.unique(scores, return_inverse=True)
    anomalous = np.bincount(which.ravel(), weights=truth.ravel())
    return place.astype(float), np.bincount(which.ravel()) - anomalous, anomalous


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_isotonic_is_that_of_scikit_learn(seed) -> None:
    sklearn = pytest.importorskip("sklearn.isotonic")
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 40, 500) / 40
    truth = rng.random(500) < scores**2
    place, normal, anomalous = by_score(scores, truth)
    ours = isotonic(place, normal, anomalous, place)
    theirs = sklearn.IsotonicRegression().fit(scores, truth.astype(float)).predict(place)
    np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_isotonic_by_hand() -> None:
    # shares 0, 1/2, 1/4, 1: the middle two fall and become (1 + 1) / (2 + 4)
    place = np.array([0.1, 0.3, 0.5, 0.9])
    found = isotonic(
        place,
        np.array([2.0, 1.0, 3.0, 0.0]),
        np.array([0.0, 1.0, 1.0, 5.0]),
        np.array([0.0, 0.1, 0.3, 0.4, 0.5, 0.7, 0.9, 1.0]),
    )
    third = 1 / 3
    np.testing.assert_allclose(found, [0, 0, third, third, third, 2 / 3, 1, 1])


@pytest.mark.parametrize("share", [0.01, 0.3])
def test_platt_is_logistic_regression(share) -> None:
    sklearn = pytest.importorskip("sklearn.linear_model")
    scores, truth = drawn(share, (60, 80))
    place, normal, anomalous = by_score(scores, truth)
    ours = platt(place, normal, anomalous, GRID)
    high, low = (truth.sum() + 1) / (truth.sum() + 2), 1 / ((~truth).sum() + 2)
    target = np.where(truth, high, low).ravel()  # each pixel is both, as the targets say
    model = sklearn.LogisticRegression(C=1e8, tol=1e-10, max_iter=1000)
    both = np.concatenate((scores.ravel(), scores.ravel())).reshape(-1, 1)
    model.fit(both, np.repeat([1, 0], scores.size), np.concatenate((target, 1 - target)))
    theirs = model.predict_proba(GRID.reshape(-1, 1))[:, 1]
    np.testing.assert_allclose(ours, theirs, atol=5e-4)


def test_platt_stays_finite_where_the_classes_are_separable() -> None:
    place = np.array([0.1, 0.9])
    found = platt(place, np.array([100.0, 0.0]), np.array([0.0, 10.0]), GRID)
    assert np.isfinite(found).all()
    # the targets themselves: 1 / (N- + 2) and (N+ + 1) / (N+ + 2)
    np.testing.assert_allclose(np.interp(place, GRID, found), [1 / 102, 11 / 12], atol=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_calibrated_scores_are_nearer_to_probabilities(method) -> None:
    table = fit_table(method, counts_of(*drawn(seed=0)), "a drawing")
    scores, truth = drawn(seed=1)
    before, after = CalibrationMetric(), CalibrationMetric()
    before.update(scores, truth)
    after.update(table.apply(scores), truth)
    assert before.compute().ece > 0.15
    assert after.compute().ece < {"platt": 0.05, "isotonic": 0.005}[method]
    assert table.figures["ece_of_scores"] == pytest.approx(before.compute().ece, abs=0.01)
    assert table.figures["pixels"] == scores.size
    assert table.method == method


@pytest.mark.parametrize("method", METHODS)
def test_the_order_of_scores_stays(method) -> None:
    scores, truth = drawn()
    table = fit_table(method, counts_of(scores, truth), "a drawing")
    assert len(table.probabilities) == 1025
    gaps = np.diff(np.array(table.probabilities))
    assert gaps.min() >= 0.9 * TILT / 1024
    for threshold in (0.2, 0.5, 0.8):
        above = table.apply(scores) > table.at(threshold)
        assert np.count_nonzero(above != (scores > np.float32(threshold))) <= 2


@pytest.mark.parametrize(("share", "missing"), [(0.0, "anomalous"), (1.0, "normal")])
def test_one_kind_of_pixels_is_not_enough(share, missing) -> None:
    scores = np.random.default_rng(0).random((10, 10)).astype(np.float32)
    counts = counts_of(scores, np.full((10, 10), bool(share)))
    with pytest.raises(InputError, match=f"no {missing} pixels"):
        fit_table("isotonic", counts, "a drawing")


def test_what_is_refused() -> None:
    scores = np.random.default_rng(0).random((30, 40)).astype(np.float32)
    with pytest.raises(UsageError, match="no calibration 'magic'; there are platt, isotonic"):
        fit_table("magic", counts_of(scores, scores > 0.5), "a drawing")
    with pytest.raises(InputError, match="fall with anomaly"):
        fit_table("platt", counts_of(scores, scores < 0.5), "a drawing")
