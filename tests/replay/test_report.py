"""The report: bounded, self-contained, safe, and right in its figures."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from owseg.datasets.truth_map import Truth
from owseg.engines.fake import FakeEngine, fake_manifest
from owseg.errors import OutputError
from owseg.manifest import Manifest, OperatingPoint
from owseg.metrics import CalibrationMetric, PixelAnomalyMetric
from owseg.pipeline import Pipeline
from owseg.replay import report as report_module
from owseg.replay.report import ReportBuilder, ReportCurves
from owseg.replay.report_frames import MAX_PIXELS, TRUTH_ANOMALY, FrameKeeper, take_shot
from owseg.replay.report_panels import (
    FALSE_ALARM,
    FOUND,
    MISSED,
    WRONG_CLASS,
    draw_errors,
    draw_truth,
    errors_of,
    number_clusters,
    panels_of,
    thumbnail,
)
from owseg.replay.report_plots import Axis, Plot, index_axis, number_axis, time_axis
from owseg.replay.report_tables import has_truth, iou_rows, latency_rows, threshold_text
from owseg.replay.report_text import clock, count, decimal, facts, moment, percent
from owseg.replay.report_timeline import Timeline
from owseg.types import ClassInfo, Frame, Result

HOSTILE = "</script><script>alert('x')</script><img src=x onerror=\"y\">&{{7*7}}"
VOID = {"meta", "img", "input", "br", "link", "hr"}
SECOND = 10**9
START = 1_700_000_000 * SECOND
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


def result(
    size: tuple[int, int] = (12, 16), unknown: float = 0.0, index: int = 0, stamp_ns: int = 0
) -> Result:
    """Make a result whose first pixels are unknown, in one cluster."""
    height, width = size
    open_set = np.zeros(height * width, np.uint8)
    open_set[: round(unknown * height * width)] = 255
    open_set = open_set.reshape(size)
    rng = np.random.default_rng(index)
    return Result(
        frame=Frame(
            image=rng.integers(0, 256, (height, width, 3), dtype=np.uint8),
            stamp_ns=stamp_ns,
            index=index,
        ),
        known=np.zeros(size, np.uint8),
        anomaly=(open_set / np.float32(255)).astype(np.float32),
        open_set=open_set,
        clusters=(open_set == 255).astype(np.uint16),
    )


def truth_of(shape: tuple[int, int]) -> Truth:
    known = np.zeros(shape, np.uint8)
    anomaly = np.zeros(shape, bool)
    anomaly[:2] = True
    known[:3] = 255
    valid = np.ones(shape, bool)
    valid[2] = False
    return Truth(known=known, anomaly=anomaly, valid=valid)


def write(builder: ReportBuilder, folder: Path, metrics: Any = None, **more: Any) -> Page:
    path = folder / "report.html"
    builder.write(path, {} if metrics is None else metrics, **more)
    return Page(path.read_text(encoding="utf-8"))


def drive(frames: int, manifest: Manifest | None = None, with_truth: bool = False) -> ReportBuilder:
    builder = ReportBuilder(manifest or fake_manifest(), "a drive", 0.5)
    for i in range(frames):
        made = result(unknown=i / max(1, frames), index=i, stamp_ns=START + i * SECOND // 10)
        truth = truth_of(made.known.shape) if with_truth else None
        builder.add(made, {"decode": 1.0, "inference": 20.0 + i % 3, "total": 22.0}, truth)
    return builder


class Page(HTMLParser):
    """A parsed report; refuses tags that do not match."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.script = self.style = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] == ["script"]:
            self.script += data
        elif self._open[-1:] == ["style"]:
            self.style += data
        else:
            self.texts.append(data)

    @property
    def text(self) -> str:
        """All that is read, seen or heard, with single spaces."""
        spoken = [a.get(k, "") for _, a in self.tags for k in ("alt", "aria-label", "title")]
        return re.sub(r"[ \n]+", " ", " ".join([*self.texts, *spoken]))

    def count(self, tag: str, css: str = "") -> int:
        """Count the elements, of all or of a CSS class."""
        return sum(t == tag and css in ("", *a.get("class", "").split()) for t, a in self.tags)


# --- time line ---------------------------------------------------------------------------


@pytest.mark.parametrize("frames", [0, 1, 5, 6, 7, 100, 1023])
def test_timeline_agrees_with_slices_of_the_whole(frames: int) -> None:
    values = np.random.default_rng(0).random(frames)
    timeline = Timeline(limit=6)
    for i, value in enumerate(values):
        timeline.add(i * 10, {"v": value, "rare": value if i % 50 == 0 else float("nan")})
        assert len(timeline.buckets) <= 6
    assert [b.position for b in timeline.buckets] == list(range(0, frames, timeline.stride))
    for bucket in timeline.buckets:
        part = values[bucket.position : bucket.position + timeline.stride]
        tally = bucket.tallies["v"]
        assert (bucket.frames, bucket.stamp_ns) == (len(part), bucket.position * 10)
        assert (tally.mean, tally.low, tally.high) == (
            pytest.approx(part.mean()),
            part.min(),
            part.max(),
        )
    assert timeline.overall("rare").count == -(-frames // 50)


def test_timeline_knows_when_stamps_do_not_tell_the_time() -> None:
    good, frozen, back = Timeline(), Timeline(), Timeline()
    for i in range(5):
        good.add(START + i * SECOND // 2, {})
        frozen.add(START, {})
        back.add(START - i * SECOND, {})
    assert (good.duration_s, frozen.duration_s, back.duration_s) == (2.0, None, None)


# --- choice of frames --------------------------------------------------------------------


def keep(shares: list[float], even: int = 6, peaks: int = 3) -> FrameKeeper:
    keeper = FrameKeeper(even=even, peaks=peaks)
    for i, share in enumerate(shares):
        keeper.add(result((2, 2), index=i), share)
        assert len(keeper.shots()) <= even + peaks
    return keeper


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.5, 0.9]), min_size=1, max_size=120))
def test_frames_kept_are_few_spread_and_hold_the_peak(shares: list[float]) -> None:
    keeper = keep(shares)
    positions = [shot.position for shot in keeper.shots()]
    peaks = keeper.peaks()
    even = [p for p in positions if p not in peaks]
    assert positions == sorted(set(positions))
    assert positions[0] == 0
    stride = next(s for s in (1, 2, 4, 8, 16, 32) if -(-len(shares) // s) <= 6)
    assert set(range(0, len(shares), stride)) <= set(positions)
    assert all(p % stride == 0 for p in even)
    assert all(abs(a - b) >= stride for a in peaks for b in peaks if a != b)
    if max(shares) > 0:
        assert shares[peaks[0]] == max(shares)


def test_peaks_are_spread_over_events() -> None:
    shares = [0.001] * 200
    shares[30:34] = [0.5, 0.6, 0.7, 0.6]
    shares[100:103] = [0.4, 0.45, 0.4]
    assert set(keep(shares).peaks()) >= {32, 101}


def test_frame_without_unknown_pixels_is_no_peak() -> None:
    assert keep([0.0] * 9).peaks() == []


def test_kept_frames_do_not_share_memory_with_the_pipeline() -> None:
    made = result((4, 4), unknown=0.5)
    shot = take_shot(made, 0, 0.5, truth := truth_of((4, 4)))
    before = [shot.image.copy(), shot.open_set.copy(), shot.clusters.copy(), shot.truth.copy()]
    for array in (made.frame.image, made.open_set, made.clusters, truth.known):
        array[:] = 7
    after = [shot.image, shot.open_set, shot.clusters, shot.truth]
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("size", [(720, 1280), (1280, 720), (20, 300_000)])
def test_large_frames_are_kept_small_with_their_aspect(size: tuple[int, int]) -> None:
    shot = take_shot(result(size), 0, 0.0, truth_of(size))
    height, width = shot.open_set.shape
    assert height * width <= MAX_PIXELS
    assert width / height == pytest.approx(size[1] / size[0], rel=0.15)
    arrays = (shot.image, shot.anomaly, shot.clusters, shot.truth)
    assert {a.shape[:2] for a in arrays if a is not None} == {(height, width)}


def test_truth_of_a_shot_marks_valid_anomalies() -> None:
    truth = truth_of((5, 2))
    truth.valid[0] = False
    shot = take_shot(result((5, 2)), 0, 0.0, truth)
    assert shot.truth[:, 0].tolist() == [255, TRUTH_ANOMALY, 255, 0, 0]


# --- pictures ----------------------------------------------------------------------------


def test_errors_by_hand() -> None:
    #                  right wrong false miss  found learnt ignored ignored
    truth = np.array([[1, 1, 1, 254, 254, 254, 255, 255]], np.uint8)
    open_set = np.array([[1, 2, 255, 3, 255, 11, 255, 3]], np.uint8)
    kinds = errors_of(open_set, truth, classes=10)
    assert kinds.tolist() == [[0, WRONG_CLASS, FALSE_ALARM, MISSED, FOUND, FOUND, 0, 0]]


def test_a_known_pixel_called_a_learnt_class_is_a_wrong_class() -> None:
    kinds = errors_of(np.array([[11]], np.uint8), np.array([[2]], np.uint8), classes=10)
    assert kinds.tolist() == [[WRONG_CLASS]]


def test_a_learnt_class_is_right_where_it_is_true_and_wrong_elsewhere() -> None:
    truth = np.array([[11, 11, 11, 11]], np.uint8)
    kinds = errors_of(np.array([[11, 2, 255, 12]], np.uint8), truth, classes=10)
    assert kinds.tolist() == [[0, WRONG_CLASS, WRONG_CLASS, WRONG_CLASS]]


def test_unknown_objects_carry_their_numbers() -> None:
    clusters = np.zeros((60, 90), np.uint16)
    clusters[10:40, 5:35], clusters[20:50, 50:85] = 1, 12
    image = np.full((60, 90, 3), 100, np.uint8)
    drawn = number_clusters(image.copy(), clusters)
    changed = (drawn != image).any(axis=-1)
    assert changed[clusters == 1].any()
    assert changed[clusters == 12].any()
    assert not changed[clusters == 0].any()
    rows, columns = np.nonzero(changed & (clusters == 12))
    assert (abs(rows.mean() - 34.5), abs(columns.mean() - 67)) < (3, 3)
    np.testing.assert_array_equal(number_clusters(image.copy(), clusters * 0), image)


@pytest.mark.parametrize("place", [(0, 0), (0, 89), (59, 0), (59, 89)])
def test_numbers_of_objects_in_the_corners_are_whole(place: tuple[int, int]) -> None:
    clusters = np.zeros((60, 90), np.uint16)
    clusters[30, 45] = 888
    whole = number_clusters(np.zeros((60, 90, 3), np.uint8), clusters)
    clusters[30, 45], clusters[place] = 0, 888
    cornered = number_clusters(np.zeros((60, 90, 3), np.uint8), clusters)
    assert np.count_nonzero(cornered > 128) == np.count_nonzero(whole > 128) > 20


def test_error_picture_colors_errors_only() -> None:
    image = np.full((1, 2, 3), 100, np.uint8)
    drawn = draw_errors(image, np.array([[0, MISSED]], np.uint8))
    assert drawn[0, 0].tolist() == [76, 76, 76]
    assert drawn[0, 1].tolist() == [206, 55, 126]


def test_truth_picture_outlines_anomalies() -> None:
    truth = np.zeros((9, 9), np.uint8)
    truth[3:8, 3:8] = TRUTH_ANOMALY
    truth[0] = 255
    colors = np.full((256, 3), 9, np.uint8)
    drawn = draw_truth(truth, colors)
    assert drawn[5, 5].tolist() == [255, 64, 0]
    assert drawn[3, 5].tolist() == [255, 255, 255]
    assert drawn[1, 1].tolist() == [9, 9, 9]
    assert drawn[0, 0].tolist() == [38, 42, 48]


@pytest.mark.parametrize("with_truth", [False, True])
def test_panels_decode_to_what_they_show(with_truth: bool) -> None:
    made = result((40, 60), unknown=0.5)
    made.frame.image[:] = (250, 120, 10)
    truth = truth_of((40, 60)) if with_truth else None
    colors = np.zeros((256, 3), np.uint8)
    colors[255], colors[0] = (255, 64, 0), (0, 90, 200)
    panels = panels_of(take_shot(made, 3, 0.5, truth), colors, 400_000, 10)
    keys = ["camera", "classes", "anomaly", "objects", "truth", "errors"]
    assert [p.key for p in panels] == keys[: 6 if with_truth else 4]
    classes = decode(panels[1].uri)
    assert classes.shape == (40, 60, 3)
    np.testing.assert_array_equal(classes[5, 30], (255, 64, 0))
    np.testing.assert_array_equal(classes[35, 30], (0, 90, 200))
    np.testing.assert_allclose(decode(panels[0].uri), made.frame.image, atol=6)


def test_panels_give_way_to_the_budget() -> None:
    made = result((480, 640), unknown=0.4)
    shot = take_shot(made, 0, 0.4, truth_of((480, 640)))
    colors = np.random.default_rng(0).integers(0, 256, (256, 3), dtype=np.uint8)
    free = sum(len(p.uri) for p in panels_of(shot, colors, 10**9, 10))
    tight = sum(len(p.uri) * 3 // 4 for p in panels_of(shot, colors, 130_000, 10))
    assert tight <= 130_000 < free
    assert report_module._PICTURE_BYTES * 4 / 3 < 5.5e6


def test_thumbnail_is_small() -> None:
    colors = np.zeros((256, 3), np.uint8)
    assert decode(thumbnail(take_shot(result((480, 640)), 0, 0.0), colors)).shape == (99, 132, 3)


def decode(uri: str) -> np.ndarray:
    data = np.frombuffer(base64.b64decode(uri.split(",", 1)[1]), np.uint8)
    return cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


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
