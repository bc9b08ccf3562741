"""The report of a replayed drive: one HTML file that needs nothing else.

`ReportBuilder.add` is cheap, for it runs within the replay loop: it counts, and copies
only the few frames that are kept. Drawing and encoding wait for `ReportBuilder.write`.
Memory and file size do not grow with the length of the drive.
"""

from __future__ import annotations

import base64
import hashlib
import os
import platform
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from owseg import __version__
from owseg.datasets.truth_map import Truth
from owseg.errors import OutputError
from owseg.manifest import Manifest
from owseg.render import UNKNOWN_COLOR, anomaly_palette, palette
from owseg.replay import report_figures as figures
from owseg.replay import report_tables as tables
from owseg.replay.report_figures import ReportCurves, TimeScale
from owseg.replay.report_frames import FrameKeeper, Shot
from owseg.replay.report_panels import ERROR_KINDS, panels_of, thumbnail
from owseg.replay.report_text import clock, count, decimal, facts, moment, number, percent
from owseg.replay.report_timeline import Timeline
from owseg.types import UNKNOWN_ID, ClassInfo, Result, UInt8Array

__all__ = ["ReportBuilder", "ReportCurves"]

_PICTURE_BYTES = 4_000_000
_MOST_PER_FRAME = 400_000


class ReportBuilder:
    """Collects what a report shows, frame by frame.

    Args:
        manifest: manifest of the model.
        source_name: name of the drive.
        threshold: anomaly threshold that was used, 0..1.
        classes: classes that can appear, also those learnt on the way; by default the
            known classes of the manifest.
    """

    def __init__(
        self,
        manifest: Manifest,
        source_name: str,
        threshold: float,
        *,
        classes: Sequence[ClassInfo] | None = None,
    ) -> None:
        self._manifest = manifest
        self._source = source_name
        self._threshold = threshold
        self._classes = tuple(manifest.classes if classes is None else classes)
        self._frames = FrameKeeper()
        self._timeline = Timeline()
        self._pixels = np.zeros(256, np.int64)

    def add(
        self, result: Result, timings_ms: Mapping[str, float], truth: Truth | None = None
    ) -> None:
        """Take in one frame; well under a millisecond at 480x360.

        Args:
            result: what the pipeline says. Nothing of it is kept, what is needed is copied.
            timings_ms: milliseconds by stage, also the decoding; "total" is not a stage.
            truth: its ground truth, of the same size.
        """
        counts = cv2.calcHist([result.open_set], [0], None, [256], [0, 256]).reshape(-1)
        self._pixels += counts.astype(np.int64)
        unknown = float(counts[UNKNOWN_ID]) / result.open_set.size
        values = {figures.UNKNOWN: unknown, figures.OBJECTS: float(result.num_clusters)}
        values.update({figures.STAGE + name: value for name, value in timings_ms.items()})
        if truth is not None:
            values[figures.TRUE_ANOMALY] = np.count_nonzero(truth.anomaly) / truth.anomaly.size
        self._timeline.add(result.frame.stamp_ns, values)
        self._frames.add(result, unknown, truth)

    def write(
        self,
        path: Path | str,
        metrics: Mapping[str, Any],
        *,
        curves: ReportCurves | None = None,
        command: str = "",
        machine: str = "",
    ) -> None:
        """Write the report; the file is there as a whole or not at all.

        Args:
            path: the file to make; its folder is created, an older file is replaced.
            metrics: content of metrics.json; what is missing or None is left out.
            curves: curves against ground truth.
            command: the command line that made the report.
            machine: one line on the machine.

        Raises:
            OutputError: the file cannot be written.
        """
        html = self._render(metrics, curves or ReportCurves(), command, machine)
        _replace(Path(path), html)

    def _render(
        self, metrics: Mapping[str, Any], curves: ReportCurves, command: str, machine: str
    ) -> str:
        environment = Environment(
            loader=PackageLoader("owseg.replay", "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        scale = TimeScale(self._timeline)
        script = _static(environment, "report.js")
        return environment.get_template("report.html.j2").render(
            style=_static(environment, "report.css"),
            script=script,
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            head=self._head(metrics, machine),
            frames=self._shown_frames(scale),
            legend=self._legend(),
            errors=[(n, tables.hex_color(c)) for n, c in ERROR_KINDS.values()],
            heat=_heat_stops(),
            threshold=self._threshold,
            time=self._time_section(metrics, scale),
            truth=self._truth_section(metrics, curves),
            learnt=self._learnt_section(metrics),
            model=self._model_section(),
            foot=_foot(command, machine),
        )

    def _head(self, metrics: Mapping[str, Any], machine: str) -> dict[str, Any]:
        timeline = self._timeline
        duration = timeline.duration_s
        frames = timeline.frames
        begin = moment(timeline.buckets[0].stamp_ns) if frames else None
        facts_line = [
            begin,
            count(frames, "frame"),
            f"{clock(duration, 1)} min" if duration else None,
            decimal((frames - 1) / duration, "Hz") if duration else None,
        ]
        unknown, objects = timeline.overall(figures.UNKNOWN), timeline.overall(figures.OBJECTS)
        return {
            "drive": self._source,
            "model": self._manifest.name,
            "facts": [fact for fact in facts_line if fact],
            "machine": machine,
            "interrupted": metrics.get("interrupted") is True,
            "cards": tables.drive_cards(
                metrics,
                frames,
                unknown.mean if unknown.count else None,
                objects.mean if objects.count else None,
            ),
            "truth_cards": tables.truth_cards(metrics) if tables.has_truth(metrics) else [],
        }

    def _shown_frames(self, scale: TimeScale) -> list[dict[str, Any]]:
        shots = self._frames.shots()
        peaks = self._frames.peaks()
        colors = palette(self._classes)
        budget = min(_MOST_PER_FRAME, _PICTURE_BYTES // max(1, len(shots)))
        first = peaks[0] if peaks else 0
        return [
            {
                **self._shown_frame(shot, scale, colors, budget),
                "peak": shot.position in peaks,
                "first": shot.position == first,
            }
            for shot in shots
        ]

    def _shown_frame(
        self, shot: Shot, scale: TimeScale, colors: UInt8Array, budget: int
    ) -> dict[str, Any]:
        at = scale.value(shot.position, shot.stamp_ns)
        return {
            "position": shot.position,
            "time": clock(at, 1) if scale.in_seconds else f"#{shot.position}",
            "moment": moment(shot.stamp_ns),
            "place": f"{100 * min(1.0, max(0.0, scale.axis.part(at))):.2f}",
            "objects": count(shot.objects, "unknown object"),
            "share": percent(shot.unknown_share),
            "panels": panels_of(shot, colors, budget, len(self._manifest.classes)),
            "thumb": thumbnail(shot, colors),
        }

    def _legend(self) -> list[tables.Bar]:
        """List the classes in the order of their share of the drive, unknown last."""
        total = max(1, int(self._pixels.sum()))
        named = [(c.name, int(self._pixels[c.id]), c.color) for c in self._classes]
        named.sort(key=lambda entry: -entry[1])
        named.append(("unknown", int(self._pixels[UNKNOWN_ID]), UNKNOWN_COLOR))
        return [
            tables.Bar(
                name=name,
                cells=(percent(pixels / total) if self._timeline.frames else "",),
                length=pixels / total,
                color=tables.hex_color(color),
            )
            for name, pixels, color in named
        ]

    def _time_section(self, metrics: Mapping[str, Any], scale: TimeScale) -> dict[str, Any] | None:
        timeline = self._timeline
        if not timeline.frames:
            return None
        total = tables.section(tables.section(metrics, "latency_ms"), figures.TOTAL)
        stages = figures.stages_of(timeline)
        latency = figures.latency_figure(
            timeline, scale, number(total.get("p50")), number(total.get("p95"))
        )
        cut = latency.cut_ms
        return {
            "unit": scale.unit,
            "unknown": figures.unknown_figure(timeline, scale),
            "objects": figures.objects_figure(timeline, scale),
            "with_truth": timeline.overall(figures.TRUE_ANOMALY).count > 0,
            "stride": timeline.stride,
            "latency": latency.svg if stages else None,
            "cut": decimal(cut, "ms") if cut else None,
            "stages": [(stage, figures.stage_css(stages, stage)) for stage in stages],
            "rows": tables.latency_rows(metrics, stages),
        }

    def _truth_section(
        self, metrics: Mapping[str, Any], curves: ReportCurves
    ) -> dict[str, Any] | None:
        if not tables.has_truth(metrics):
            return None
        names = [c.name for c in self._classes]
        colors = [tables.hex_color(c.color) for c in self._classes]
        return {
            "iou": tables.iou_rows(metrics, names, colors),
            "anomaly": tables.anomaly_rows(metrics),
            "further": tables.further_rows(metrics),
            "curves": _curve_figures(curves),
            "basis": _basis(metrics),
        }

    def _learnt_section(self, metrics: Mapping[str, Any]) -> dict[str, Any] | None:
        colors = {c.name: tables.hex_color(c.color) for c in self._classes}
        rows = tables.learnt_rows(metrics, colors)
        if not rows:
            return None
        version = count(tables.section(metrics, "prototypes").get("version"))
        return {"rows": rows, "version": version}

    def _model_section(self) -> dict[str, Any]:
        manifest = self._manifest
        default = manifest.default_operating_point
        return {
            "rows": tables.model_rows(manifest, self._threshold),
            "classes": [(c.name, tables.hex_color(c.color)) for c in self._classes],
            "points": [
                (p.name, f"{p.threshold:.4g}", p.fitted_on, p.name == default)
                for p in manifest.operating_points
            ],
            "provenance": facts(manifest.provenance),
            "license": facts(manifest.license),
        }


def _curve_figures(curves: ReportCurves) -> list[dict[str, Any]]:
    """Return title, axes and plot of each curve that is there."""
    shown = []
    if curves.roc is not None:
        svg = figures.curve_figure(curves.roc, "ROC curve", "roc", diagonal=True)
        shown.append(("ROC", "false-positive rate", "true-positive rate", svg))
    if curves.precision_recall is not None:
        svg = figures.curve_figure(
            curves.precision_recall, "Precision-recall curve", "pr", diagonal=False
        )
        shown.append(("Precision and recall", "recall", "precision", svg))
    if any(entry.pixels for entry in curves.reliability):
        svg = figures.reliability_figure(curves.reliability)
        shown.append(("Reliability", "anomaly score", "share of anomalies", svg))
    return [{"title": t, "x": x, "y": y, "svg": svg} for t, x, y, svg in shown]


def _basis(metrics: Mapping[str, Any]) -> str:
    """Tell in one line what the figures against ground truth rest on."""
    frames = number(metrics.get("frames_with_truth"))
    held_out = dict(facts({"held": metrics.get("held_out")})).get("held", "")
    learnt = dict(facts({"learnt": metrics.get("learnt")})).get("learnt", "")
    truth_map = dict(facts({"map": metrics.get("truth_map")})).get("map", "")
    parts = [
        f"{count(frames, 'frame')} with ground truth" if frames is not None else "",
        f"truth map {truth_map}" if truth_map else "",
        f"anomalies are {held_out}" if held_out else "",
        f"learnt, yet anomalies to the score: {learnt}" if learnt else "",
    ]
    return "; ".join(part for part in parts if part)


def _heat_stops() -> str:
    """Return the colours of anomaly scores 0..1 as stops of a CSS gradient."""
    return ", ".join(tables.hex_color(rgb) for rgb in anomaly_palette()[::17])


def _foot(command: str, machine: str) -> dict[str, Any]:
    versions = (
        f"owseg {__version__}",
        f"Python {platform.python_version()}",
        f"NumPy {np.__version__}",
        f"OpenCV {cv2.__version__}",
    )
    now = datetime.now(timezone.utc)
    return {
        "command": command,
        "machine": machine,
        "versions": versions,
        "written": f"{now.day} {now:%B %Y, %H:%M} UTC",
    }


def _static(environment: Environment, name: str) -> Markup:
    assert environment.loader is not None
    return Markup(environment.loader.get_source(environment, name)[0])


def _replace(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, encoding="utf-8", newline="\n")
        os.replace(part, path)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        raise OutputError(
            f"{path} cannot be written: {error.strerror or error}; choose another place"
        ) from error
