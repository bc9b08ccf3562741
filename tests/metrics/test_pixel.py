"""AUROC, AUPR and FPR95: hand-worked, against scikit-learn, and by their invariants."""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from owseg.errors import InputError, TruthError, UsageError
from owseg.metrics import AnomalyFigures, PixelAnomalyMetric

TENTH_OF_A_POINT = 1e-3
HUNDREDTH_OF_A_POINT = 1e-4


def image(values, shape=None) -> np.ndarray:
    scores = np.array(values, np.float32)
    return scores.reshape(shape or (1, -1))


def mask(values, shape=None) -> np.ndarray:
    return np.array(values, np.bool_).reshape(shape or (1, -1))


def run(*images) -> PixelAnomalyMetric:
    metric = PixelAnomalyMetric()
    for one in images:
        metric.update(*one)
    return metric


def sigmoid(z: np.ndarray) -> np.ndarray:
    return (1 / (1 + np.exp(-z))).astype(np.float32)


def random_image(seed: int, share: float = 0.02, shape=(160, 256)):
    rng = np.random.default_rng(seed)
    truth = rng.random(shape) < share
    valid = rng.random(shape) < 0.9
    return rng.normal(size=shape) + 1.5 * truth, truth, valid


def exact(scores: np.ndarray, truth: np.ndarray) -> tuple[float, float, float]:
    sk = pytest.importorskip("sklearn.metrics")
    fpr, tpr, _ = sk.roc_curve(truth, scores, drop_intermediate=False)
    return (
        sk.roc_auc_score(truth, scores),
        sk.average_precision_score(truth, scores),
        fpr[np.argmax(tpr >= 0.95)],
    )


def figures(found: AnomalyFigures) -> tuple[float | None, ...]:
    return found.auroc, found.aupr, found.fpr95


# hand-worked


def test_four_pixels() -> None:
    pooled = run((image([0.1, 0.4, 0.35, 0.8]), mask([0, 0, 1, 1]))).compute().pooled
    # 3 of 4 pairs in order; steps at 0.8 (P 1) and 0.35 (P 2/3); the latter lets 0.4 through
    assert figures(pooled) == pytest.approx((3 / 4, (1 + 2 / 3) / 2, 1 / 2))


def test_perfect_separation() -> None:
    pooled = run((image([0, 0.2, 0.9, 1]), mask([0, 0, 1, 1]))).compute().pooled
    assert figures(pooled) == (1, 1, 0)


def test_inverted_scores() -> None:
    pooled = run((image([0.9, 1, 0, 0.2]), mask([0, 0, 1, 1]))).compute().pooled
    assert figures(pooled) == pytest.approx((0, (1 / 3 + 2 / 4) / 2, 1))


def test_equal_scores_are_ties() -> None:
    pooled = run((image([0.5] * 4), mask([0, 0, 0, 1]))).compute().pooled
    assert figures(pooled) == (0.5, 0.25, 1)


def test_fpr95_needs_95_percent_not_about() -> None:
    scores = np.concatenate((np.linspace(0.5, 0.9, 19), [0.1], [0.7, 0.3]))
    truth = mask([1] * 20 + [0, 0])
    assert run((image(scores), truth)).compute().pooled.fpr95 == 0.5  # 19 of 20 is 95 %
    truth[0, 0] = False
    assert run((image(scores), truth)).compute().pooled.fpr95 == 1.0  # 18 of 19 is not


def test_pooled_and_per_image_differ() -> None:
    first = image([0.1, 0.2, 0.3]), mask([0, 0, 1])
    second = image([0.8, 0.7]), mask([0, 1])
    scores = run(first, second).compute()
    assert figures(scores.per_image) == pytest.approx((0.5, 0.75, 0.5))
    assert scores.pooled.auroc == pytest.approx(4 / 6)  # 0.3 beats 2, 0.7 beats 2 of 3


# against scikit-learn

SQUASHED = {
    "spread": lambda z: sigmoid(z - 2),
    "narrow middle": lambda z: np.float32(0.4) + np.float32(0.1) * sigmoid(z),
    "narrow high": lambda z: np.float32(0.9) + np.float32(0.1) * sigmoid(z),
    "saturated low": lambda z: sigmoid(4 * z - 10),
    "saturated high": lambda z: sigmoid(4 * z + 6),
    "clipped": lambda z: np.clip(z / 4, 0, 1).astype(np.float32),
    "float16": lambda z: sigmoid(z).astype(np.float16).astype(np.float32),
}


@pytest.mark.parametrize("share", [0.01, 0.2])
@pytest.mark.parametrize("name", SQUASHED)
def test_pooled_error_is_below_a_hundredth_of_a_point(name: str, share: float) -> None:
    logits, truth, valid = random_image(7, share, (500, 1000))
    scores = SQUASHED[name](logits)
    found = run((scores, truth, valid)).compute().pooled
    expected = exact(scores[valid], truth[valid])
    assert figures(found) == pytest.approx(expected, abs=HUNDREDTH_OF_A_POINT)


def test_scores_within_a_hundredth_of_the_range_cost_a_tenth_of_a_point_at_most() -> None:
    logits, truth, _ = random_image(8, 0.1, (400, 500))
    scores = np.float32(0.4) + np.float32(0.01) * sigmoid(logits)
    found = run((scores, truth)).compute().pooled
    expected = exact(scores.ravel(), truth.ravel())
    assert figures(found) == pytest.approx(expected, abs=TENTH_OF_A_POINT)


def test_eight_bit_scores_are_exact() -> None:
    logits, truth, valid = random_image(9)
    scores = np.round(sigmoid(logits) * 255).astype(np.float32) / np.float32(255)
    found = run((scores, truth, valid)).compute().pooled
    assert figures(found) == pytest.approx(exact(scores[valid], truth[valid]), abs=1e-12)


def test_pooled_and_per_image_over_several_images() -> None:
    images = [random_image(seed, 0.01 * (seed + 1), (64, 100)) for seed in range(4)]
    images = [(sigmoid(logits - seed), t, v) for seed, (logits, t, v) in enumerate(images)]
    scores = run(*images).compute()
    each = [exact(s[v], t[v]) for s, t, v in images]
    pooled = exact(*(np.concatenate([one[i][one[2]] for one in images]) for i in (0, 1)))
    assert figures(scores.pooled) == pytest.approx(pooled, abs=HUNDREDTH_OF_A_POINT)
    assert figures(scores.per_image) == pytest.approx(np.mean(each, axis=0), abs=TENTH_OF_A_POINT)
    assert abs(scores.pooled.auroc - scores.per_image.auroc) > 0.05


def test_auroc_error_bound_holds_and_is_not_idle() -> None:
    logits, truth, _ = random_image(10, 0.1)
    scores = np.float32(0.5) + np.float32(1e-4) * sigmoid(logits)
    metric = run((scores, truth))
    error = abs(metric.compute().pooled.auroc - exact(scores.ravel(), truth.ravel())[0])
    assert 0 < error <= metric.auroc_error_bound() < 0.1


# invariants

GRID = 64
PIXELS = st.lists(st.tuples(st.integers(0, GRID), st.booleans()), min_size=1, max_size=40)


def from_grid(pixels) -> tuple[np.ndarray, np.ndarray]:
    steps, truth = zip(*pixels, strict=True)
    return image(np.array(steps) / GRID), mask(truth)


def pairwise(scores: np.ndarray, truth: np.ndarray) -> float | None:
    above, below = scores[truth], scores[~truth]
    if not (above.size and below.size):
        return None
    wins = (above[:, None] > below).sum() + 0.5 * (above[:, None] == below).sum()
    return wins / above.size / below.size


@given(PIXELS)
@settings(max_examples=60, deadline=None)
def test_auroc_is_the_share_of_ordered_pairs(pixels) -> None:
    scores, truth = from_grid(pixels)
    found = run((scores, truth)).compute().pooled.auroc
    expected = pairwise(scores, truth)
    assert found == (None if expected is None else pytest.approx(expected))


@given(PIXELS)
@settings(max_examples=60, deadline=None)
def test_monotone_transform_changes_nothing(pixels) -> None:
    scores, truth = from_grid(pixels)
    before = run((scores, truth)).compute()
    after = run((scores**2, truth)).compute()
    assert after == before


@given(PIXELS)
@settings(max_examples=60, deadline=None)
def test_swapping_classes_and_mirroring_scores_keeps_auroc(pixels) -> None:
    scores, truth = from_grid(pixels)
    before = run((scores, truth)).compute().pooled.auroc
    after = run((1 - scores, ~truth)).compute().pooled.auroc
    assert after == (None if before is None else pytest.approx(before))


@given(st.lists(PIXELS, min_size=1, max_size=4), st.integers(0, 4))
@settings(max_examples=30, deadline=None)
def test_merge_is_the_same_as_one_after_the_other(images, cut: int) -> None:
    images = [from_grid(pixels) for pixels in images]
    whole, left, right = run(*images), run(*images[:cut]), run(*images[cut:])
    left.merge(right)
    merged, expected = left.compute(), whole.compute()
    assert merged.pooled == expected.pooled
    assert figures(merged.per_image) == pytest.approx(figures(expected.per_image))
    assert {**merged.as_dict(), "per_image": 0} == {**expected.as_dict(), "per_image": 0}


@given(PIXELS, st.integers(1, 39))
@settings(max_examples=30, deadline=None)
def test_pooled_figures_do_not_depend_on_the_pieces(pixels, cut: int) -> None:
    whole = run(from_grid(pixels))
    pieces = run(*(from_grid(part) for part in (pixels[:cut], pixels[cut:]) if part))
    assert pieces.compute().pooled == whole.compute().pooled


def test_blocks_of_a_large_image_add_up() -> None:
    logits, truth, valid = random_image(11, 0.05, (300, 2048))
    scores = sigmoid(logits)
    whole = run((scores, truth, valid)).compute().pooled
    rows = [(scores[r : r + 7], truth[r : r + 7], valid[r : r + 7]) for r in range(0, 300, 7)]
    assert run(*rows).compute().pooled == whole


def test_layout_in_memory_does_not_matter() -> None:
    logits, truth, valid = random_image(12)
    scores = sigmoid(logits)
    turned = tuple(np.asfortranarray(array) for array in (scores, truth, valid))
    assert run(turned).compute() == run((scores, truth, valid)).compute()


def state_bytes(metric: PixelAnomalyMetric) -> int:
    return sum(v.nbytes for v in vars(metric).values() if isinstance(v, np.ndarray))


def test_state_does_not_grow() -> None:
    metric = PixelAnomalyMetric()
    empty = state_bytes(metric)
    for seed in range(5):
        logits, truth, valid = random_image(seed)
        metric.update(sigmoid(logits), truth, valid)
    assert state_bytes(metric) == empty
    assert set(map(type, metric._images.values())) == {int}


def peak_bytes(rows: int) -> int:
    scores, truth = np.full((rows, 2048), 0.3, np.float32), np.zeros((rows, 2048), np.bool_)
    metric = PixelAnomalyMetric()
    metric.update(scores[:1], truth[:1])  # compiled or loaded before memory is traced
    tracemalloc.start()
    metric.update(scores, truth)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_extra_memory_does_not_grow_with_the_image() -> None:
    assert peak_bytes(2048) < 1.05 * peak_bytes(512)


# images that lack something


def test_images_are_counted_by_what_they_lack() -> None:
    scores = image([0.2, 0.6])
    both, none, only = mask([0, 1]), mask([0, 0]), mask([1, 1])
    found = run(
        (scores, both), (scores, none), (scores, none), (scores, only), (scores, both, none)
    ).compute()
    assert (found.images, found.images_scored) == (5, 1)
    assert (found.images_without_anomaly, found.images_without_normal) == (2, 1)
    assert found.images_void == 1
    assert (found.anomaly_pixels, found.normal_pixels) == (3, 5)
    assert figures(found.per_image) == (1, 1, 0)
    assert found.pooled.auroc == pytest.approx((4 + 4 + 1.5) / 15)


@pytest.mark.parametrize("images", [[], [(image([0.1]), mask([0]))], [(image([0.1]), mask([1]))]])
def test_what_is_undefined_is_null_in_json(images) -> None:
    metric = run(*images)
    found = json.loads(json.dumps(metric.compute().as_dict(), allow_nan=False))
    assert found["pooled"] == {"auroc": None, "aupr": None, "fpr95": None}
    assert found["per_image"] == found["pooled"]
    assert metric.roc() is metric.precision_recall() is metric.auroc_error_bound() is None


def test_void_pixels_count_nowhere() -> None:
    scores, truth = image([0.1, 0.4, 0.35, 0.8, 1.0, 0.0]), mask([0, 0, 1, 1, 0, 1])
    valid = mask([1, 1, 1, 1, 0, 0])
    assert run((scores, truth, valid)).compute() == run((scores[:, :4], truth[:, :4])).compute()


# bad input


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, -1e-6, 1 + 1e-6])
def test_scores_outside_the_range_are_refused_and_leave_no_trace(bad: float) -> None:
    metric = run((image([0.1, 0.4]), mask([0, 1])))
    before = metric.compute()
    scores = np.full((600, 1024), 0.5, np.float32)
    scores[-1, -1] = bad
    with pytest.raises(InputError, match=r"\[0, 1\]") as caught:
        metric.update(scores, np.zeros(scores.shape, np.bool_))
    assert "\n" not in str(caught.value)
    assert metric.compute() == before


def test_nan_is_refused_at_void_pixels_too() -> None:
    with pytest.raises(InputError, match="NaN"):
        run((image([0.1, np.nan]), mask([0, 1]), mask([1, 0])))


@pytest.mark.parametrize(
    "scores",
    [
        np.zeros((2, 2), np.float64),
        np.zeros((2, 2), np.uint8),
        np.zeros((2, 2, 1), np.float32),
        np.zeros((0, 2), np.float32),
        [[0.1]],
    ],
)
def test_scores_of_another_kind_are_refused(scores) -> None:
    with pytest.raises(InputError, match=r"\(H, W\) float32"):
        PixelAnomalyMetric().update(scores, np.zeros((2, 2), np.bool_))


@pytest.mark.parametrize("truth", [np.zeros((2, 3), np.bool_), np.zeros((2, 2), np.uint8), None])
def test_masks_of_another_kind_are_refused(truth) -> None:
    scores, good = np.zeros((2, 2), np.float32), np.zeros((2, 2), np.bool_)
    with pytest.raises(TruthError, match=r"the anomaly mask as \(2, 2\) bool"):
        PixelAnomalyMetric().update(scores, truth)
    if truth is not None:
        with pytest.raises(TruthError, match=r"the valid mask as \(2, 2\) bool"):
            PixelAnomalyMetric().update(scores, good, truth)


# operating points


@given(PIXELS, st.floats(0, 1))
@settings(max_examples=80, deadline=None)
def test_threshold_at_fpr_keeps_the_rate_and_is_the_lowest_that_does(pixels, rate: float) -> None:
    scores, truth = from_grid(pixels)
    threshold = run((scores, truth)).threshold_at_fpr(rate)
    normal = scores[~truth]
    if not normal.size:
        assert threshold is None
        return
    assert np.mean(normal > threshold) <= rate
    excluded = normal[normal <= threshold]
    if excluded.size:  # letting the highest of them through as well would be too much
        assert np.mean(normal >= excluded.max()) > rate
        assert threshold - excluded.max() < 1e-5


@given(PIXELS, st.floats(0, 1))
@settings(max_examples=80, deadline=None)
def test_threshold_at_tpr_keeps_the_rate_and_is_the_highest_that_does(pixels, rate: float) -> None:
    scores, truth = from_grid(pixels)
    threshold = run((scores, truth)).threshold_at_tpr(rate)
    anomaly = scores[truth]
    if not anomaly.size:
        assert threshold is None
        return
    assert np.mean(anomaly > threshold) >= rate
    included = anomaly[anomaly > threshold]
    if included.size:  # leaving the lowest of them out would be too few
        assert np.mean(anomaly > included.min()) < rate


def rates_above(scores: np.ndarray) -> np.ndarray:
    """All shares of `scores` that a strict threshold can let through."""
    ordered = np.sort(scores)
    return 1 - np.searchsorted(ordered, np.unique(scores), side="right") / scores.size


@pytest.mark.parametrize("name", SQUASHED)
def test_thresholds_are_as_good_as_any_on_continuous_scores(name: str) -> None:
    logits, truth, valid = random_image(13, 0.1)
    scores = SQUASHED[name](logits)
    metric = run((scores, truth, valid))
    normal, anomaly = scores[valid & ~truth], scores[valid & truth]
    false, true = rates_above(normal), np.append(rates_above(anomaly), 1.0)
    best_false, best_true = false[false <= 0.01].max(), true[true >= 0.95].min()
    assert best_false - 2e-4 <= np.mean(normal > metric.threshold_at_fpr(0.01)) <= 0.01
    assert 0.95 <= np.mean(anomaly > metric.threshold_at_tpr(0.95)) <= best_true + 1e-3


def test_threshold_that_must_include_a_score_of_zero() -> None:
    assert run((image([0, 0.5]), mask([1, 0]))).threshold_at_tpr(1.0) == -1.0


@pytest.mark.parametrize("rate", [-0.1, 1.5, np.nan])
def test_rates_outside_the_range_are_refused(rate: float) -> None:
    metric = run((image([0.1, 0.4]), mask([0, 1])))
    for fit in (metric.threshold_at_fpr, metric.threshold_at_tpr):
        with pytest.raises(UsageError, match="rate"):
            fit(rate)


@given(PIXELS)
@settings(max_examples=60, deadline=None)
def test_threshold_at_best_f1_beats_every_other(pixels) -> None:
    scores, truth = from_grid(pixels)
    threshold = run((scores, truth)).threshold_at_best_f1()
    if not truth.any():
        assert threshold is None
        return

    def f1(cut: float) -> float:
        found = scores > cut
        return 2 * (found & truth).sum() / (found.sum() + truth.sum())

    assert f1(threshold) == pytest.approx(max(f1(step / GRID) for step in range(-1, GRID + 1)))


# curves


def test_roc_points_hold_at_their_thresholds() -> None:
    logits, truth, _ = random_image(14, 0.1, (40, 50))
    scores = sigmoid(logits)
    curve = run((scores, truth)).roc(max_points=None)
    above = scores.reshape(-1, 1) > curve.threshold
    assert curve.x == pytest.approx(above[~truth.ravel()].mean(axis=0))
    assert curve.y == pytest.approx(above[truth.ravel()].mean(axis=0))
    assert (curve.x[0], curve.y[0], curve.x[-1], curve.y[-1]) == (0, 0, 1, 1)


def test_areas_under_the_curves_are_the_figures() -> None:
    logits, truth, _ = random_image(15, 0.1)
    metric = run((sigmoid(logits), truth))
    pooled = metric.compute().pooled
    for points, tolerance in ((None, 1e-12), (300, 2e-3)):
        roc, pr = metric.roc(points), metric.precision_recall(points)
        auroc = np.sum(np.diff(roc.x) * (roc.y[1:] + roc.y[:-1]) / 2)
        aupr = np.sum(np.diff(pr.x, prepend=0) * pr.y)
        assert (auroc, aupr) == pytest.approx((pooled.auroc, pooled.aupr), abs=tolerance)
        assert points is None or 100 < roc.x.size <= points


def test_a_curve_of_one_point_is_refused() -> None:
    with pytest.raises(UsageError, match="2 points"):
        run((image([0.1, 0.4]), mask([0, 1]))).roc(max_points=1)


def test_the_metrics_import_nothing_heavy() -> None:
    code = "import sys, owseg.metrics; print([m for m in ('torch', 'sklearn') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
