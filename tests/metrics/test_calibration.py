"""ECE: hand-worked, against a slow reference, and by its invariants."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from owseg.errors import InputError, TruthError, UsageError
from owseg.metrics import CalibrationMetric


def row(values, dtype) -> np.ndarray:
    return np.array([values], dtype)


def run(*images, bins: int = 15) -> CalibrationMetric:
    metric = CalibrationMetric(bins)
    for scores, truth, *valid in images:
        metric.update(
            row(scores, np.float32), row(truth, np.bool_), *(row(v, np.bool_) for v in valid)
        )
    return metric


def test_hand_worked() -> None:
    found = run(([0.1, 0.3, 0.7, 0.9, 1.0], [0, 1, 1, 1, 0]), bins=2).compute()
    # lower half: mean 0.2, share 1/2; upper half: mean 2.6 / 3, share 2/3
    gaps = 0.3, 2.6 / 3 - 2 / 3
    assert found.ece == pytest.approx((2 * gaps[0] + 3 * gaps[1]) / 5)
    assert found.max_error == pytest.approx(0.3)
    upper = found.bins[1]
    assert (upper.lower, upper.upper, upper.pixels) == (0.5, 1.0, 3)
    assert (upper.mean_score, upper.anomaly_share) == pytest.approx((2.6 / 3, 2 / 3))


def test_scores_that_are_the_probability_have_almost_no_error() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random((300, 400)).astype(np.float32)
    metric = CalibrationMetric()
    metric.update(scores, rng.random(scores.shape) < scores)
    assert metric.compute().ece < 0.01
    metric.update(scores, rng.random(scores.shape) < scores**3)
    assert metric.compute().ece > 0.05


def test_edges_belong_to_the_upper_bin_and_one_to_the_last() -> None:
    found = run(([0.0, 0.25, 0.5, 0.75, 1.0], [0] * 5), bins=4).compute()
    assert [entry.pixels for entry in found.bins] == [1, 1, 1, 2]


def test_empty_bins_and_void_images_are_null() -> None:
    found = run(([0.1, 0.9], [0, 1], [1, 0]), bins=2).compute()
    assert found.pixels == 1
    assert found.bins[1].mean_score is found.bins[1].anomaly_share is None
    nothing = run(([0.1], [1], [0])).compute()
    assert nothing.ece is nothing.max_error is None
    assert json.loads(json.dumps(nothing.as_dict(), allow_nan=False))["bins"][0]["pixels"] == 0


IMAGE = st.lists(st.tuples(st.integers(0, 32), st.booleans()), min_size=1, max_size=20).map(
    lambda pixels: ([s / 32 for s, _ in pixels], [t for _, t in pixels])
)


def slow_ece(images, bins: int) -> float:
    cells: dict[int, list[tuple[float, bool]]] = {}
    for scores, truth in images:
        for score, hit in zip(scores, truth, strict=True):
            cells.setdefault(min(int(score * bins), bins - 1), []).append((score, hit))
    total = sum(len(cell) for cell in cells.values())
    return sum(abs(sum(s - t for s, t in cell)) for cell in cells.values()) / total


@given(st.lists(IMAGE, min_size=1, max_size=4), st.integers(0, 4), st.sampled_from([1, 4, 15]))
@settings(max_examples=60, deadline=None)
def test_against_a_slow_reference_and_merge(images, cut: int, bins: int) -> None:
    whole, left = run(*images, bins=bins), run(*images[:cut], bins=bins)
    left.merge(run(*images[cut:], bins=bins))
    assert whole.compute().ece == pytest.approx(slow_ece(images, bins), abs=1e-12)
    assert left.compute() == whole.compute()  # sums of multiples of 1/32 are exact


def test_bad_input_leaves_no_trace() -> None:
    metric = run(([0.5], [1]))
    before = metric.compute()
    scores, truth = np.full((600, 1024), 0.5, np.float32), np.zeros((600, 1024), np.bool_)
    scores[-1, -1] = np.nan
    with pytest.raises(InputError, match="NaN"):
        metric.update(scores, truth)
    with pytest.raises(TruthError, match="anomaly mask"):
        metric.update(scores, truth[1:])
    with pytest.raises(InputError, match="float32"):
        metric.update(scores.astype(np.float64), truth)
    assert metric.compute() == before


def test_impossible_settings() -> None:
    with pytest.raises(UsageError, match="bin"):
        CalibrationMetric(0)
    with pytest.raises(UsageError, match="merge"):
        CalibrationMetric(10).merge(CalibrationMetric(15))
