"""Latencies against numpy, in constant memory."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from owseg.replay.latency import LatencyMetric

DURATIONS = st.lists(st.floats(1e-3, 9e5), min_size=1, max_size=60)


def metric_of(values, stage="total"):
    metric = LatencyMetric()
    for value in values:
        metric.update({stage: value})
    return metric


def test_hand_worked():
    figures = metric_of([1.0] * 10 + [20.0] * 9 + [400.0]).compute()["total"]
    assert figures["mean"] == pytest.approx((10 + 180 + 400) / 20)
    assert figures["p50"] == pytest.approx(1.0, rel=0.01)
    assert figures["p95"] == pytest.approx(20.0, rel=0.01)


@given(DURATIONS)
@settings(deadline=None)
def test_percentiles_are_exact_to_one_percent(values):
    figures = metric_of(values).compute()["total"]
    assert figures["mean"] == pytest.approx(np.mean(values))
    for name, share in (("p50", 50), ("p95", 95)):
        want = np.percentile(values, share, method="inverted_cdf")
        assert figures[name] == pytest.approx(want, rel=0.01)


def test_stages_are_counted_apart():
    metric = LatencyMetric()
    metric.update({"decode": 1.0, "inference": 10.0})
    metric.update({"inference": 30.0, "evaluate": 7.0})
    figures = metric.compute()
    assert list(figures) == ["decode", "inference", "evaluate"]
    assert figures["inference"]["mean"] == 20.0
    assert figures["evaluate"]["mean"] == 7.0
    assert figures["decode"]["p95"] == pytest.approx(1.0, rel=0.01)


@pytest.mark.parametrize(("value", "shown"), [(0.0, 1e-3), (-1.0, 1e-3), (1e-9, 1e-3), (1e9, 1e6)])
def test_durations_out_of_range_land_in_the_outer_bins(value, shown):
    assert metric_of([value]).compute()["total"]["p50"] == pytest.approx(shown, rel=0.02)


def test_nothing_measured():
    assert LatencyMetric().compute() == {}


def test_memory_does_not_grow():
    metric = metric_of([5.0])
    before = sys.getsizeof(metric._counts["total"])
    for value in np.linspace(0.01, 1000, 5000):
        metric.update({"total": float(value)})
    assert sys.getsizeof(metric._counts["total"]) == before < 50_000


def test_plain_numbers_for_json():
    json.dumps(metric_of([np.float32(1.5), 2]).compute())
