"""False alarms and misses by frame: hand-worked, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from owseg.errors import InputError, TruthError, UsageError
from owseg.metrics import DecisionMetric


def row(*values: int) -> np.ndarray:
    return np.array([values], bool)


def test_each_frame_counts_once() -> None:
    metric = DecisionMetric(of_frame=0.25)
    # 1 of 4 normal pixels, which is not above a quarter; 1 of 2 anomalous ones missed
    metric.update(row(1, 0, 0, 0, 1, 0), row(0, 0, 0, 0, 1, 1))
    # 1 of 2 normal pixels, no anomaly; two pixels count nowhere
    metric.update(row(1, 0, 1, 1), row(0, 0, 0, 1), row(1, 1, 0, 0))
    # anomalies only, all found
    metric.update(row(1, 1), row(1, 1))
    found = metric.compute()
    assert found.false_alarms == pytest.approx((1 / 4 + 1 / 2) / 2)
    assert found.false_frames == pytest.approx(1 / 2)
    assert found.missed == pytest.approx((1 / 2 + 0) / 2)
    assert (found.frames_with_normal, found.frames_with_anomaly) == (2, 2)
    json.dumps(found.as_dict(), allow_nan=False)


def test_merging_is_seeing_both() -> None:
    rng = np.random.default_rng(0)
    whole, parts = DecisionMetric(), [DecisionMetric(), DecisionMetric()]
    for index in range(6):
        frame = [rng.random((5, 7)) < p for p in (0.1, 0.3, 0.9)]
        whole.update(*frame)
        parts[index % 2].update(*frame)
    parts[0].merge(parts[1])
    assert parts[0].compute().as_dict() == pytest.approx(whole.compute().as_dict())
    with pytest.raises(UsageError, match="different shares"):
        whole.merge(DecisionMetric(of_frame=0.5))


def test_nothing_seen_and_what_is_refused() -> None:
    metric = DecisionMetric()
    with pytest.raises(InputError, match="bool prediction"):
        metric.update(np.zeros((2, 2), np.uint8), np.zeros((2, 2), bool))
    with pytest.raises(TruthError, match="anomaly mask"):
        metric.update(np.zeros((2, 2), bool), np.zeros((2, 3), bool))
    found = metric.compute()
    assert found.false_alarms is found.false_frames is found.missed is None
    for share in (-0.1, 1.0):
        with pytest.raises(UsageError, match="share of a frame"):
            DecisionMetric(share)
