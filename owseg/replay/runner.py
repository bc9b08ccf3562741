"""Replay: every frame of a source through the pipeline, into recording, report and metrics."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from owseg import __version__
from owseg.errors import BagError, InputError, OutputError
from owseg.evaluation import Evaluation
from owseg.grouping import ClusterTracker
from owseg.outputs import confidence, label_threshold
from owseg.pipeline import Pipeline
from owseg.render import overlay, palette
from owseg.replay.claims import ClaimMetric
from owseg.replay.in_force import in_force
from owseg.replay.latency import LatencyMetric
from owseg.replay.mcap_writer import McapWriter
from owseg.replay.report import ReportBuilder, ReportCurves
from owseg.replay.samples import Sample, Source
from owseg.types import Result

OUTPUT, REPORT, METRICS = "output.mcap", "report.html", "metrics.json"
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class ReplayOptions:
    """What a replay does besides running the pipeline.

    Attributes:
        out: folder for output.mcap, report.html and metrics.json; made if missing.
        command: the command line, for the report.
        max_frames: stop after so many frames; None = all.
    """

    out: Path
    command: str = ""
    max_frames: int | None = None


class Replay:
    """One replay of a source.

    Args:
        source: what is replayed.
        pipeline: a pipeline, warmed up or not.
        options: where to write, and what.
        evaluation: compares with the ground truth of the source; None = no truth.
    """

    def __init__(
        self,
        source: Source,
        pipeline: Pipeline,
        options: ReplayOptions,
        evaluation: Evaluation | None = None,
    ) -> None:
        self.source = source
        self.pipeline = pipeline
        self.options = options
        self.evaluation = evaluation
        self._colors = palette(pipeline.classes)
        self._latency = LatencyMetric()
        self._claims = ClaimMetric(pipeline.prototypes)
        self._tracker = ClusterTracker()
        self._frames = 0
        self._busy_s = 0.0
        self._interrupted = False

    def run(self, progress: Progress) -> dict[str, Any]:
        """Replay all frames and write the three files.

        After Ctrl-C, or where the source cannot be read any further, the files hold
        everything up to the last whole frame, and the exception is raised again.

        Args:
            progress: wraps the samples, e.g. with a progress bar.

        Returns:
            The content of metrics.json.

        Raises:
            InputError: the source cannot be read to its end.
            OutputError: a file cannot be written.
        """
        make_folder(self.options.out)
        self.pipeline.warm_up()
        self._tracker.warm_up()
        report = self._report()
        try:
            with self._writer() as writer, closing(progress):
                self._frames_through(writer, report, progress)
        except (KeyboardInterrupt, InputError):
            self._interrupted = True
            if self._frames:
                self._finish(report)
            raise
        if not self._frames:
            raise BagError(f"{self.source.name} has no image; nothing was replayed")
        return self._finish(report)

    def _frames_through(
        self, writer: McapWriter, report: ReportBuilder, progress: Progress
    ) -> None:
        started = time.perf_counter()
        for sample in progress(islice(self.source, self.options.max_frames)):
            self._one(sample, writer, report, started)
            started = time.perf_counter()

    def _one(
        self, sample: Sample, writer: McapWriter, report: ReportBuilder, started: float
    ) -> None:
        judged = self.evaluation is not None and sample.truth is not None
        result = self.pipeline.process(sample.frame, tracker=self._tracker, partition=judged)
        timings = {"decode": sample.decode_ms, **result.timings_ms}
        truth = None
        before = time.perf_counter()
        if self.evaluation is not None and sample.truth is not None:
            truth = self.evaluation.update(result, sample.truth)
            timings["evaluate"] = (time.perf_counter() - before) * 1e3
        before = time.perf_counter()
        self._write(result, sample, writer)
        written = time.perf_counter()
        timings["encode"] = (written - before) * 1e3
        self._claims.update(result)
        report.add(result, timings, truth)
        now = time.perf_counter()
        timings["report"] = (now - written) * 1e3
        timings["total"] = (now - started) * 1e3
        self._latency.update(timings)
        self._busy_s += now - started
        self._frames += 1

    def _write(self, result: Result, sample: Sample, writer: McapWriter) -> None:
        writer.write(
            result,
            confidence=confidence(result),
            overlay=overlay(result, self._colors),
            message=sample.message,
        )

    def _writer(self) -> McapWriter:
        return McapWriter(
            self.options.out / OUTPUT,
            self.pipeline.classes,
            threshold=label_threshold(self.pipeline.published_threshold),
        )

    def _report(self) -> ReportBuilder:
        return ReportBuilder(
            self.pipeline.manifest,
            self.source.name,
            threshold=self.pipeline.threshold,
            classes=self.pipeline.classes,
        )

    def _finish(self, report: ReportBuilder) -> dict[str, Any]:
        metrics = self.metrics()
        write_json(self.options.out / METRICS, metrics)
        report.write(
            self.options.out / REPORT,
            metrics,
            curves=self._curves(),
            command=self.options.command,
            machine=machine(),
        )
        return metrics

    def _curves(self) -> ReportCurves:
        if self.evaluation is None:
            return ReportCurves()
        return ReportCurves(
            roc=self.evaluation.pixels.roc(),
            precision_recall=self.evaluation.pixels.precision_recall(),
            reliability=self.evaluation.calibration.compute().bins,
        )

    def metrics(self) -> dict[str, Any]:
        """Return the content of metrics.json as far as the replay has come."""
        return {
            "owseg": __version__,
            "source": self.source.name,
            **in_force(self.pipeline),
            "interrupted": self._interrupted,
            "frames": self._frames,
            "drops": 0,
            "fps": self._frames / self._busy_s if self._busy_s else None,
            "latency_ms": self._latency.compute(),
            **self._claims.metrics(),
            **(self.evaluation.metrics() if self.evaluation is not None else {}),
        }


class Progress:
    """Wraps the samples of a source; this one shows nothing."""

    def __call__(self, samples: Iterable[T]) -> Iterable[T]:
        """Return the samples unchanged."""
        return samples

    def close(self) -> None:
        """End the display; called once, after the last sample or an error."""


def machine() -> str:
    """Return one line on the machine, for reports."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    python = platform.python_version()
    return f"{platform.system()} {platform.machine()}, {cores} cores, Python {python}"


def make_folder(folder: Path) -> None:
    """Create a folder for output.

    Raises:
        OutputError: it cannot be created, or is not writable.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot create the folder {folder}: {error.strerror}") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write into {folder}; choose another folder with --out")


def write_json(path: Path, content: Any) -> None:
    """Write JSON so that the old or the new file is there, never half of one.

    Raises:
        OutputError: the file cannot be written.
    """
    temporary = path.with_name(path.name + ".part")
    try:
        temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", "utf-8")
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from error
