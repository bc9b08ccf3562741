"""Bars: reading, comparing, and what they refuse."""

from __future__ import annotations

import pytest

from owseg.errors import UsageError
from owseg.replay.bars import Bar, missed_bars, parse_bar

METRICS = {
    "frames": 12,
    "miou": 0.55,
    "iou": {"road": 0.9, "traffic light": 0.1, "car": None},
    "anomaly": {"auroc": 0.91, "fpr95": 0.4},
    "model": "tiny",
    "held_out": ["car"],
    "interrupted": False,
}


def missed(*texts):
    return missed_bars([parse_bar(text) for text in texts], METRICS)


@pytest.mark.parametrize(
    ("text", "bar"),
    [
        ("anomaly.auroc>=0.9", ("anomaly.auroc", ">=", 0.9)),
        ("  miou <= 5e-1 ", ("miou", "<=", 0.5)),
        ("latency_ms.total.p95<=100", ("latency_ms.total.p95", "<=", 100.0)),
        ("iou.traffic light>=.5", ("iou.traffic light", ">=", 0.5)),
        ("x>=-1", ("x", ">=", -1.0)),
        ("x>=+1E2", ("x", ">=", 100.0)),
    ],
)
def test_reading(text, bar):
    assert parse_bar(text) == Bar(key=bar[0], relation=bar[1], value=bar[2])


@pytest.mark.parametrize(
    "text", ["", "miou", "miou>0.5", "miou=0.5", ">=0.5", "miou>=", "miou>=e", "miou>=1.2.3",
             "miou>=nan", "miou>=0.5 or so", "0.5<=miou"]
)  # fmt: skip
def test_what_is_no_bar(text):
    with pytest.raises(UsageError, match=r"cannot read the bar .*write it like"):
        parse_bar(text)


def test_bars_that_are_met():
    assert missed("miou>=0.55", "miou<=0.55", "anomaly.auroc>=0.9", "frames>=12") == []
    assert missed("iou.traffic light<=0.1") == []


def test_bars_that_are_missed():
    assert missed("miou>=0.551", "frames>=1", "anomaly.fpr95<=0.399") == [
        "missed: miou is 0.55, wanted >= 0.551",
        "missed: anomaly.fpr95 is 0.4, wanted <= 0.399",
    ]


def test_a_figure_without_a_value_misses_its_bar():
    assert missed("iou.car>=0", "iou.car<=1") == [
        "missed: iou.car is undefined, wanted >= 0",
        "missed: iou.car is undefined, wanted <= 1",
    ]


@pytest.mark.parametrize("key", ["auroc", "anomaly.aupr", "miou.x", "anomaly.auroc.x", "."])
def test_keys_that_are_not_there(key):
    with pytest.raises(UsageError, match=f"the metrics have no '{key}'; see metrics.json"):
        missed(f"{key}>=0")


@pytest.mark.parametrize("key", ["anomaly", "model", "held_out", "iou"])
def test_keys_that_are_no_figure(key):
    with pytest.raises(UsageError, match=f"'{key}' is not a single figure"):
        missed(f"{key}>=0")
