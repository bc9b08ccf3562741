"""Plots, numbers as text, and tables of the report."""

from __future__ import annotations

import dataclasses
import runpy
from pathlib import Path
from typing import Any

import pytest

from owseg.engines.fake import fake_manifest
from owseg.manifest import OperatingPoint
from owseg.replay.report_plots import Axis, Plot, index_axis, number_axis, time_axis
from owseg.replay.report_tables import has_truth, iou_rows, latency_rows, threshold_text
from owseg.replay.report_text import clock, count, decimal, facts, moment, percent

made = runpy.run_path(str(Path(__file__).with_name("report_model.py")))
SECOND, START = (made[name] for name in ("SECOND", "START"))


# --- plots and numbers -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("top", "options", "labels"),
    [
        (17.0, {}, ["0", "5", "10", "15", "20"]),
        (20.0, {}, ["0", "5", "10", "15", "20"]),
        (0.07, {}, ["0.00", "0.02", "0.04", "0.06", "0.08"]),
        (1.0, {}, ["0.00", "0.25", "0.50", "0.75", "1.00"]),
        (0.0, {"wanted": 2}, ["0.0", "0.5", "1.0"]),
        (float("nan"), {"wanted": 2}, ["0.0", "0.5", "1.0"]),
        (1.0, {"whole": True}, ["0", "1"]),
        (8.0, {"whole": True, "wanted": 3}, ["0", "5", "10"]),
        (26000.0, {"wanted": 3}, ["0", "10000", "20000", "30000"]),
    ],
)
def test_number_axis_has_round_ticks(top: float, options: Any, labels: list[str]) -> None:
    axis = number_axis(top, **options)
    assert [label for _, label in axis.ticks] == labels
    assert axis.high == axis.ticks[-1][0]


def test_time_axis_has_round_ticks() -> None:
    assert [t for _, t in time_axis(0, 100).ticks] == [f"{m}:{s:02d}" for m, s in TICKS_100]
    assert [t for _, t in time_axis(0, 3 * 3600).ticks][-1] == "3:00:00"
    assert [t for _, t in time_axis(0, 0).ticks] == ["0:00"]
    assert [t for _, t in index_axis(70).ticks] == ["0", "10", "20", "30", "40", "50", "60", "70"]
    assert index_axis(0).part(0) == 0.5


TICKS_100 = [(0, 0), (0, 15), (0, 30), (0, 45), (1, 0), (1, 15), (1, 30)]


def test_plot_places_points_by_hand() -> None:
    ten = Axis(low=0, high=10)
    plot = Plot(ten, ten, 100, "a & b")
    plot.line([(0, 0.0), (5, 10.0), (10, 5.0)], "one")
    plot.line([(0, 1.0), (1, None), (2, 3.0), (4, 3.0)], "two")
    plot.band([(0, 0.0, 5.0), (10, 2.5, 99.0)], "three")
    plot.level(2.5, "p50")
    svg = str(plot.svg())
    assert 'class="line one" d="M0 100L500 0L1000 50"' in svg
    assert 'class="line two" d="M200 70L400 70"' in svg
    assert 'class="dot two" cx="0%" cy="90"' in svg
    assert 'class="area three" d="M0 50L1000 0L1000 75L0 100Z"' in svg
    assert 'x1="0" x2="100%" y1="75" y2="75"' in svg
    assert 'aria-label="a &amp; b"' in svg


def test_numbers_as_text() -> None:
    assert [decimal(v, "ms") for v in (0.5, 9.994, 21.44, 123.4, 12345.6)] == [
        "0.50\u202fms",
        "9.99\u202fms",
        "21.4\u202fms",
        "123\u202fms",
        "12\u202f346\u202fms",
    ]
    assert [percent(v) for v in (0, 0.0012, 0.5, 0.9997, 1.0)] == [
        "0.0\u202f%",
        "0.12\u202f%",
        "50.0\u202f%",
        "99.97\u202f%",
        "100.0\u202f%",
    ]
    assert {decimal(v) + percent(v) + count(v) for v in (None, float("nan"), "x", True)} == {"–––"}
    assert [count(1, "frame"), count(1234, "frame")] == ["1 frame", "1\u202f234 frames"]
    assert [clock(0), clock(59.96, 1), clock(3725)] == ["0:00", "1:00.0", "1:02:05"]


def test_moment_needs_a_real_date() -> None:
    assert moment(START) == "14 November 2023, 22:13:20 UTC"
    assert [moment(0), moment(5 * SECOND), moment(2**63 - 1), moment(-1)] == [None] * 4


def test_facts_flatten_and_leave_out_what_is_missing() -> None:
    content = {"a_b": 1, "c": {"d": None, "e": 0.25, "f": float("nan")}, "g": ["x", None], "h": ""}
    assert facts(content) == [("a b", "1"), ("c / e", "0.25"), ("g", "x")]
    assert len(facts({"long": "x" * 5000})[0][1]) == 300


# --- tables ------------------------------------------------------------------------------


def test_latency_table_has_the_total_last() -> None:
    given = {"total": {"p50": 9.0, "p95": 10.0, "mean": None}, "grouping": {"p95": 5.0}, "bad": 3}
    rows = latency_rows({"latency_ms": given}, ["grouping"])
    assert [(r.name, r.length) for r in rows] == [("grouping", 0.5), ("total", 1.0)]
    assert rows[1].cells == ("9.00\u202fms", "10.0\u202fms", "–")


def test_iou_by_name_or_by_id() -> None:
    by_name = iou_rows({"iou": {"b": 0.5, "a": None}}, ["a", "b"], ["#1", "#2"])
    assert [(r.name, r.length, r.color) for r in by_name] == [("b", 0.5, "#2"), ("a", None, "#1")]
    by_id = iou_rows({"iou": [0.25, None]}, ["a", "b"], ["#1", "#2"])
    assert [(r.name, r.length) for r in by_id] == [("a", 0.25), ("b", None)]
    assert iou_rows({"iou": None}, ["a"], ["#1"]) == iou_rows({}, ["a"], ["#1"]) == []


def test_has_truth_needs_one_figure() -> None:
    assert not has_truth({"miou": None, "anomaly": {"auroc": None}, "ece": float("nan")})
    assert has_truth({"anomaly": {"auroc": 0.0}})


def test_threshold_names_its_operating_point() -> None:
    manifest = dataclasses.replace(
        fake_manifest(),
        operating_points=(OperatingPoint(name="fpr_1", threshold=0.7, fitted_on="val"),),
        default_operating_point="fpr_1",
    )
    assert threshold_text(manifest, 0.7) == "0.7, operating point “fpr_1”, fitted on val"
    assert threshold_text(manifest, 0.71) == "0.71, chosen by hand"
