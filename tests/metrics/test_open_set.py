"""open-mIoU: hand-worked, against the definition written out, and by its invariants."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from owseg.errors import InputError, TruthError, UsageError
from owseg.metrics import OpenSetMetric, SegmentationMetric

CLASSES = 3


def ids(*rows) -> np.ndarray:
    return np.array(rows, np.uint8)


def run(*images, classes: int = CLASSES) -> OpenSetMetric:
    metric = OpenSetMetric(classes)
    for pred, truth, anomaly in images:
        metric.update(pred, truth, np.asarray(anomaly, bool))
    return metric


def slow(images, classes: int):
    """Count pixel by pixel: TP_k / (TP_k + FP_k + FN_k) with "unknown" as class K + 1."""
    tp, fp, fn = (np.zeros(classes + 1) for _ in range(3))
    for pred, truth, anomaly in images:
        for p, t, a in zip(pred.ravel(), truth.ravel(), anomaly.ravel(), strict=True):
            if t == 255 and not a:
                continue
            true = classes if a else int(t)
            said = classes if p == 255 else int(p) if p < classes else None
            if said == true:
                tp[true] += 1
                continue
            fn[true] += 1
            if said is not None:  # an id that no class has is wrong, and nobody's false positive
                fp[said] += 1
    with np.errstate(invalid="ignore"):
        return tp / (tp + fp + fn), (tp + fn)[:classes] > 0


def test_hand_worked() -> None:
    truth = ids([0, 0, 0, 1], [1, 255, 255, 255])
    anomaly = [[0, 0, 0, 0], [0, 1, 1, 0]]
    pred = ids([0, 0, 255, 1], [2, 255, 0, 1])
    found = run((pred, truth, anomaly)).compute()
    # class 0: 2 hits, one missed as unknown, one anomaly taken for it; class 1: 1 of 2, and the
    # void pixel counts nowhere; class 2: one false positive, never true
    assert found.open_iou == pytest.approx((2 / 4, 1 / 2, 0.0))
    assert found.open_miou == pytest.approx((2 / 4 + 1 / 2) / 2)
    # unknown: one hit, one false alarm, one missed
    assert found.unknown_iou == pytest.approx(1 / 3)
    json.dumps(found.as_dict(), allow_nan=False)


def test_a_perfect_detector_leaves_the_closed_set_figure() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, CLASSES, (20, 30)).astype(np.uint8)
    known = rng.integers(0, CLASSES, (20, 30)).astype(np.uint8)
    anomaly = rng.random((20, 30)) < 0.2
    truth[anomaly] = 255
    closed = SegmentationMetric(CLASSES)
    closed.update(known, truth)
    perfect = np.where(anomaly, np.uint8(255), known)
    found = run((perfect, truth, anomaly)).compute()
    assert found.open_miou == pytest.approx(closed.compute().miou)
    assert found.unknown_iou == 1.0
    # no detector at all: anomalies are false positives of known classes
    assert run((known, truth, anomaly)).compute().open_miou < found.open_miou
    # and one that always fires finds nothing
    nothing = run((np.full_like(known, 255), truth, anomaly)).compute()
    assert nothing.open_miou == 0.0
    assert nothing.unknown_iou == pytest.approx(anomaly.mean())


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_against_the_definition(data) -> None:
    images = []
    for _ in range(data.draw(st.integers(1, 3))):
        shape = data.draw(hnp.array_shapes(min_dims=2, max_dims=2, max_side=6))
        said = st.sampled_from([0, 1, 2, 3, 9, 255])
        pred = data.draw(hnp.arrays(np.uint8, shape, elements=said))
        truth = data.draw(hnp.arrays(np.uint8, shape, elements=st.sampled_from([0, 1, 2, 255])))
        anomaly = data.draw(hnp.arrays(bool, shape)) & (truth == 255)
        images.append((pred, truth, anomaly))
    found = run(*images).compute()
    iou, present = slow([(p, t, a) for p, t, a in images], CLASSES)
    expected = [None if np.isnan(v) else v for v in iou]
    assert [*found.open_iou, found.unknown_iou] == pytest.approx(expected)
    if present.any():
        assert found.open_miou == pytest.approx(iou[:CLASSES][present].mean())
    else:
        assert found.open_miou is None
    halves = run(*images[:1])
    halves.merge(run(*images[1:]))
    assert halves.compute() == found


def test_nothing_seen_is_undefined() -> None:
    found = OpenSetMetric(2).compute()
    assert (found.open_miou, found.open_iou, found.unknown_iou) == (None, (None, None), None)


def test_what_is_refused() -> None:
    metric = OpenSetMetric(2)
    good = ids([0, 1])
    none = np.zeros((1, 2), bool)
    with pytest.raises(InputError, match="open-set prediction"):
        metric.update(good.astype(np.int64), good, none)
    with pytest.raises(TruthError, match="but the prediction is"):
        metric.update(ids([0, 1, 1]), good, none)
    with pytest.raises(TruthError, match="anomaly mask"):
        metric.update(good, good, np.zeros((2, 2), bool))
    with pytest.raises(TruthError, match="truth holds ids 2, 254"):
        metric.update(good, ids([2, 254]), none)
    with pytest.raises(TruthError, match="cannot be an anomaly and of a known class"):
        metric.update(good, good, ~none)
    assert metric.compute() == OpenSetMetric(2).compute()
    with pytest.raises(UsageError, match=r"1\.\.254"):
        OpenSetMetric(255)
    with pytest.raises(UsageError, match="2 and 3 classes"):
        metric.merge(OpenSetMetric(3))
