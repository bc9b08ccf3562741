"""The report: bounded, self-contained, safe, and right in its figures."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import re
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from owseg.engines.fake import FakeEngine, fake_manifest
from owseg.errors import OutputError
from owseg.manifest import OperatingPoint
from owseg.metrics import CalibrationMetric, PixelAnomalyMetric
from owseg.pipeline import Pipeline
from owseg.replay import report as report_module
from owseg.replay.report import ReportBuilder, ReportCurves
from owseg.types import ClassInfo, Frame

made = runpy.run_path(str(Path(__file__).with_name("report_model.py")))
SECOND, START, drive, result, truth_of, write = (
    made[name] for name in ("SECOND", "START", "drive", "result", "truth_of", "write")
)
HOSTILE = "</script><script>alert('x')</script><img src=x onerror=\"y\">&{{7*7}}"
TRUTH_METRICS: dict[str, Any] = {
    "frames": 3,
    "fps": 31.44,
    "latency_ms": {
        "decode": {"p50": 1.0, "p95": 2.0, "mean": 1.1},
        "inference": {"p50": 18.0, "p95": 22.0, "mean": 19.0},
        "total": {"p50": 21.0, "p95": 25.55, "mean": 22.0},
    },
    "miou": 0.6712,
    "iou": {"road": 0.9, "sky": 0.75, "sign": None},
    "anomaly": {"auroc": 0.9471, "aupr": 0.5, "fpr95": 0.123},
    "anomaly_per_image": {"auroc": 0.93, "aupr": 0.44, "fpr95": 0.2},
    "components": {"siou": 0.31, "ppv": None, "f1": 0.22},
    "ece": 0.0312,
}


# --- the whole report --------------------------------------------------------------------


def test_report_of_a_pipeline_holds_the_figures(tmp_path: Path) -> None:
    pipeline = Pipeline(FakeEngine())
    builder = ReportBuilder(pipeline.manifest, "garage", pipeline.threshold)
    for i in range(4):
        image = np.zeros((96, 128, 3), np.uint8)
        image[:48, :64, 2] = 255
        frame = Frame(image=image, stamp_ns=START + i * SECOND, index=i)
        made = pipeline.process(frame)
        builder.add(made, {"decode": 1.0, **made.timings_ms})
    page = write(builder, tmp_path, {"frames": 4, "fps": 31.44, "drops": 2}, command="owseg x")
    for expected in (
        "garage",
        "14 November 2023, 22:13:20 UTC",
        "4 frames",
        "0:03.0 min",
        "1.00\u202fHz",
        "2 dropped",
        "31.4",
        "25.0\u202f%",
        "1 unknown object",
        "owseg x",
        "inference",
        "OpenCV",
    ):
        assert expected in page.text, expected
    assert page.count("article") == 4
    assert page.count("figure", "panel") == 16


def test_report_with_truth_shows_metrics_and_curves(tmp_path: Path) -> None:
    builder = drive(3, with_truth=True)
    rng = np.random.default_rng(0)
    anomaly = rng.random((20, 20)) < 0.3
    scores = np.clip(anomaly * 0.4 + rng.random((20, 20)) * 0.6, 0, 1).astype(np.float32)
    pixels, calibration = PixelAnomalyMetric(), CalibrationMetric()
    pixels.update(scores, anomaly)
    calibration.update(scores, anomaly)
    curves = ReportCurves(
        roc=pixels.roc(),
        precision_recall=pixels.precision_recall(),
        reliability=calibration.compute().bins,
    )
    page = write(builder, tmp_path, TRUTH_METRICS, curves=curves)
    for expected in ("67.1\u202f%", "94.7\u202f%", "12.3\u202f%", "44.0\u202f%", "3.1\u202f%"):
        assert expected in page.text, expected
    for title in ("Ground truth", "Errors", "ROC", "Reliability", "sIoU", "false alarm"):
        assert title in page.text, title
    assert page.count("figure", "panel") == 18
    assert page.count("svg") >= 10
    assert "There is no ground truth" not in page.text
    assert "PPV" not in page.text, "a figure without a value is left out"


def test_report_without_truth_says_so(tmp_path: Path) -> None:
    page = write(drive(3), tmp_path, {"miou": None, "anomaly": {"auroc": None}})
    assert "There is no ground truth" in page.text
    assert "mIoU" not in page.text
    assert "Errors" not in page.text


@pytest.mark.parametrize("frames", [0, 1, 2])
@pytest.mark.parametrize("with_truth", [False, True])
def test_very_short_drives(frames: int, with_truth: bool, tmp_path: Path) -> None:
    metrics = TRUTH_METRICS if with_truth else {}
    page = write(drive(frames, with_truth=with_truth), tmp_path, metrics)
    assert page.count("article") == frames
    assert ("The drive has no frames" in page.text) == (frames == 0)


def test_long_drives_make_bounded_reports(tmp_path: Path) -> None:
    builder = drive(3000)
    assert len(builder._timeline.buckets) <= 600
    page = write(builder, tmp_path)
    assert page.count("article") <= 30
    assert len(page.html) < 2_000_000
    assert "mean of 8 frames" in page.text


def test_nothing_missing_is_spelt_out(tmp_path: Path) -> None:
    nothing = dict.fromkeys(TRUTH_METRICS)
    holes: dict[str, Any] = {
        **nothing,
        "miou": 0.5,
        "iou": {"road": None, "sky": float("nan")},
        "anomaly": {"auroc": None, "aupr": float("nan"), "fpr95": float("inf")},
        "latency_ms": {"total": {"p50": None, "p95": float("nan")}},
        "goss": {"gq": None},
    }
    manifest = dataclasses.replace(
        fake_manifest(), provenance={"commit": None, "metrics": {"miou": float("nan")}}
    )
    for metrics in (nothing, holes):
        builder = drive(2, manifest)
        builder.add(result(), {"decode": float("nan")})
        text = write(builder, tmp_path, metrics).text
        assert not re.search(r"\b(None|nan|NaN|inf|Infinity|Undefined|undefined)\b", text)


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    base = fake_manifest()
    manifest = dataclasses.replace(
        base,
        name=HOSTILE,
        classes=tuple(dataclasses.replace(c, name=f"{HOSTILE}{c.id}") for c in base.classes),
        operating_points=(OperatingPoint(name=HOSTILE, threshold=0.5, fitted_on=HOSTILE),),
        default_operating_point=HOSTILE,
        score={"method": HOSTILE, HOSTILE: HOSTILE},
        provenance={HOSTILE: {HOSTILE: HOSTILE}},
        license={HOSTILE: HOSTILE},
    )
    metrics = {
        **TRUTH_METRICS,
        "iou": {HOSTILE: 0.5},
        "latency_ms": {HOSTILE: {"p50": 1.0, "p95": 1.0, "mean": 1.0}},
        "truth_map": HOSTILE,
        "held_out": [HOSTILE],
    }
    builder = ReportBuilder(manifest, HOSTILE, 0.5)
    builder.add(result(unknown=0.3), {HOSTILE: 3.0}, truth_of((12, 16)))
    page = write(builder, tmp_path, metrics, command=HOSTILE, machine=HOSTILE)
    assert page.count("script") == 1
    assert "alert" not in page.script
    assert "alert('x')" in page.text
    assert "{{7*7}}" in page.text
    assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]
    assert all(attrs["src"].startswith("data:") for _, attrs in page.tags if "src" in attrs)


def test_nothing_is_loaded_from_outside(tmp_path: Path) -> None:
    page = write(drive(3, with_truth=True), tmp_path, TRUTH_METRICS)
    links = [a[k] for _, a in page.tags for k in ("src", "href", "data", "action") if k in a]
    assert links
    assert all(link.startswith(("data:image/", "#frame-")) for link in links)
    assert not {tag for tag, _ in page.tags} & {"link", "iframe", "object", "embed", "base"}
    assert "url(" not in page.style
    assert "@import" not in page.style
    assert not re.search(r"https?://", page.script + page.style)
    assert not re.search(r"fetch|XMLHttp|import\(|eval", page.script)


def test_policy_allows_this_script_only(tmp_path: Path) -> None:
    page = write(drive(1), tmp_path)
    policy = next(a["content"] for _, a in page.tags if "http-equiv" in a)
    digest = base64.b64encode(hashlib.sha256(page.script.encode()).digest()).decode()
    assert policy.startswith("default-src 'none'; img-src data:")
    assert f"script-src 'sha256-{digest}'" in policy


def test_every_picture_has_a_description_or_a_neighbour_that_is_one(tmp_path: Path) -> None:
    page = write(drive(3, with_truth=True), tmp_path, TRUTH_METRICS)
    images = [attrs for tag, attrs in page.tags if tag == "img" and "src" in attrs]
    assert all("alt" in attrs for attrs in images)
    assert sum(attrs["alt"] != "" for attrs in images) == page.count("figure", "panel")
    assert all(a.get("aria-label") for t, a in page.tags if t == "svg" and a.get("role") == "img")


def test_frames_without_stamps_are_counted(tmp_path: Path) -> None:
    builder = ReportBuilder(fake_manifest(), "folder", 0.5)
    for i in range(3):
        builder.add(result(index=i), {})
    page = write(builder, tmp_path)
    assert "#2" in page.text
    assert "1970" not in page.text
    assert "UTC" not in page.text.split("Written")[0]


def test_classes_learnt_on_the_way_are_in_the_legend(tmp_path: Path) -> None:
    manifest = fake_manifest()
    learnt = ClassInfo(id=len(manifest.classes), name="scooter", color=(1, 2, 3))
    builder = ReportBuilder(manifest, "x", 0.5, classes=(*manifest.classes, learnt))
    made = result(unknown=0.0)
    made.open_set[:6] = learnt.id
    builder.add(made, {})
    page = write(builder, tmp_path)
    assert "scooter 50.0\u202f%" in page.text
    assert "#010203" in page.html


LEARNT_METRICS = {
    "iou": {"scooter": 0.4375},
    "miou": 0.5,
    "learnt": ["scooter"],
    "incremental": {"old": 0.625, "novel": 0.4375, "all": 0.5, "harmonic": 0.514},
    "prototypes": {
        "version": 7,
        "classes": [
            {
                "id": 12,
                "name": "scooter",
                "shots": 5,
                "prototypes": 2,
                "radius": 0.4,
                "share": 0.031,
            }
        ],
    },
}


def test_learnt_classes_have_a_section(tmp_path: Path) -> None:
    manifest = fake_manifest()
    learnt = ClassInfo(id=12, name="scooter", color=(1, 2, 3))
    builder = ReportBuilder(manifest, "x", 0.5, classes=(*manifest.classes, learnt))
    builder.add(result(), {})
    page = write(builder, tmp_path, LEARNT_METRICS)
    assert "store at version 7" in page.text
    assert "scooter 12 5 2 0.40 3.1\u202f% 43.8\u202f%" in page.text
    for part in ("62.5\u202f%", "51.4\u202f%", "harmonic mean", "known and learnt classes"):
        assert part in page.text, part


def test_without_learnt_classes_there_is_no_such_section(tmp_path: Path) -> None:
    for metrics in ({}, {"prototypes": {"version": 3, "classes": []}}, {"prototypes": None}):
        page = write(drive(1), tmp_path, metrics)
        assert "Learnt" not in page.text


def test_slowest_frames_do_not_flatten_the_latency_plot(tmp_path: Path) -> None:
    builder = ReportBuilder(fake_manifest(), "x", 0.5)
    for i in range(20):
        made = result((2, 2), index=i, stamp_ns=i * SECOND)
        builder.add(made, {"inference": 900.0 if i == 0 else 20.0})
    assert "the slowest reached 900\u202fms" in write(builder, tmp_path).text


# --- writing -----------------------------------------------------------------------------


def test_report_replaces_an_older_one_and_makes_folders(tmp_path: Path) -> None:
    builder = drive(1)
    target = tmp_path / "deep" / "er" / "report.html"
    builder.write(target, {})
    target.write_text("old")
    builder.write(target, {})
    assert target.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert [p.name for p in target.parent.iterdir()] == ["report.html"]


def test_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for target in (tmp_path / "file" / "report.html", tmp_path / "folder"):
        with pytest.raises(OutputError, match="cannot be written") as caught:
            drive(1).write(target, {})
        assert "\n" not in str(caught.value)
        assert str(target) in str(caught.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]


def test_failed_write_leaves_the_older_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "report.html"
    target.write_text("old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(report_module.os, "replace", full)
    with pytest.raises(OutputError, match="No space left"):
        drive(1).write(target, {})
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
