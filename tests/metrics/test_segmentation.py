"""IoU, mIoU and accuracy: hand-worked, against a slow reference, and by their invariants."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from owseg.errors import InputError, TruthError, UsageError
from owseg.metrics import SegmentationMetric, SegmentationScores

CLASSES = 4


def ids(*rows) -> np.ndarray:
    return np.array(rows, np.uint8)


def run(*pairs, classes: int = CLASSES) -> SegmentationMetric:
    metric = SegmentationMetric(classes)
    for pred, truth in pairs:
        metric.update(pred, truth)
    return metric


def test_hand_worked() -> None:
    truth = ids([0, 0, 0, 1], [1, 1, 255, 255])
    pred = ids([0, 0, 1, 1], [1, 2, 0, 2])
    found = run((pred, truth)).compute()
    # class 0: 2 of 3; class 1: 2 of 4; class 2: one false positive, never true; class 3: nowhere
    assert found.iou == pytest.approx((2 / 3, 2 / 4, 0.0, None))
    assert found.miou == pytest.approx((2 / 3 + 2 / 4) / 2)
    assert found.pixel_accuracy == pytest.approx(4 / 6)
    assert (found.pixels, found.classes_in_truth, found.images) == (6, 2, 1)


def test_absent_classes_can_count_as_zero() -> None:
    metric = run((ids([0, 1]), ids([0, 1])))
    assert metric.compute().miou == 1
    assert metric.compute(absent_as_zero=True).miou == 0.5


def test_prediction_without_a_class_is_wrong_but_no_false_positive() -> None:
    metric = run((ids([0, 255, 7, 1]), ids([0, 0, 0, 1])))
    found = metric.compute()
    assert found.iou[:2] == pytest.approx((1 / 3, 1.0))
    assert found.pixel_accuracy == pytest.approx(2 / 4)
    assert metric.confusion[0].tolist() == [1, 0, 0, 0, 2]


def test_miou_is_that_of_the_data_set_not_the_mean_over_images() -> None:
    first = ids([0, 0, 0, 1]), ids([0, 0, 0, 1])
    second = ids([1, 1, 1, 1]), ids([0, 1, 1, 1])
    found = run(first, second).compute()
    assert found.iou[:2] == pytest.approx((3 / 4, 4 / 5))
    per_image = (1 + (0 + 3 / 4) / 2) / 2
    assert found.miou != pytest.approx(per_image)


def test_all_void() -> None:
    found = run((ids([0, 1]), ids([255, 255]))).compute()
    assert found == SegmentationScores(
        miou=None,
        iou=(None,) * CLASSES,
        pixel_accuracy=None,
        classes_in_truth=0,
        pixels=0,
        images=1,
    )
    assert json.loads(json.dumps(found.as_dict(), allow_nan=False))["iou"] == [None] * CLASSES


LABELS = st.sampled_from([*range(CLASSES), 255])
PREDICTIONS = st.sampled_from([*range(CLASSES), 9, 255])
SHAPE = (3, 5)
PAIR = st.tuples(
    hnp.arrays(np.uint8, SHAPE, elements=PREDICTIONS), hnp.arrays(np.uint8, SHAPE, elements=LABELS)
)


def slow_iou(pairs, k: int) -> float | None:
    both = either = 0
    for pred, truth in pairs:
        for p, t in zip(pred.ravel().tolist(), truth.ravel().tolist(), strict=True):
            if t != 255:
                both += p == k and t == k
                either += p == k or t == k
    return both / either if either else None


@given(st.lists(PAIR, min_size=1, max_size=3))
@settings(max_examples=60, deadline=None)
def test_iou_against_counting_pixel_by_pixel(pairs) -> None:
    assert run(*pairs).compute().iou == pytest.approx([slow_iou(pairs, k) for k in range(CLASSES)])


@given(st.lists(PAIR, min_size=1, max_size=4), st.integers(0, 4))
@settings(max_examples=40, deadline=None)
def test_merge_and_pieces(pairs, cut: int) -> None:
    whole, left = run(*pairs), run(*pairs[:cut])
    left.merge(run(*pairs[cut:]))
    assert left.compute() == whole.compute()
    joined = run(tuple(np.concatenate(maps) for maps in zip(*pairs, strict=True)))
    assert (joined.confusion == whole.confusion).all()


def test_large_image_in_blocks() -> None:
    rng = np.random.default_rng(0)
    pred, truth = rng.integers(0, CLASSES, (2, 700, 1024), np.uint8)
    expected = np.zeros((CLASSES, CLASSES + 1), np.int64)
    np.add.at(expected, (truth, pred), 1)
    assert (run((pred, truth)).confusion == expected).all()


def test_the_largest_number_of_classes() -> None:
    found = run((ids([254, 255]), ids([254, 254])), classes=255).compute()
    assert found.iou[254] == 0.5


def test_unknown_truth_ids_are_named_and_leave_no_trace() -> None:
    metric = run((ids([0, 1]), ids([0, 1])))
    before = metric.compute()
    with pytest.raises(TruthError, match=r"ids 4, 200, expected 0\.\.3 or 255"):
        metric.update(ids([0, 0, 0]), ids([0, 4, 200]))
    assert metric.compute() == before


def test_sizes_that_differ_are_refused() -> None:
    with pytest.raises(TruthError, match=r"truth is \(1, 3\), but the prediction is \(1, 2\)"):
        run((ids([0, 1]), ids([0, 1, 1])))


@pytest.mark.parametrize("bad", [np.zeros((2, 2), np.int64), np.zeros(4, np.uint8), [[0]]])
def test_other_kinds_are_refused(bad) -> None:
    good = np.zeros((2, 2), np.uint8)
    with pytest.raises(InputError, match="the prediction"):
        run((bad, good))
    with pytest.raises(InputError, match="the truth"):
        run((good, bad))


@pytest.mark.parametrize("classes", [0, 256])
def test_impossible_numbers_of_classes(classes: int) -> None:
    with pytest.raises(UsageError, match="num_classes"):
        SegmentationMetric(classes)


def test_metrics_of_other_classes_do_not_merge() -> None:
    with pytest.raises(UsageError, match="merge"):
        SegmentationMetric(3).merge(SegmentationMetric(4))
