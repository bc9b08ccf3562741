"""The figures of a report: drive over time, latency, curves against ground truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from owseg.metrics import Curve, ReliabilityBin
from owseg.replay.report_plots import Axis, Plot, index_axis, number_axis, share_axis, time_axis
from owseg.replay.report_timeline import Bucket, Timeline

UNKNOWN, OBJECTS, TRUE_ANOMALY = "unknown", "objects", "true anomaly"
"""Names of the quantities in the timeline of a report, besides the stages."""

STAGE = "stage "
"""Prefix of the names of stages in the timeline."""

TOTAL = "total"

_KNOWN_STAGES = ("decode", "inference", "grouping", "encode", "evaluate")
_COLORS = 6
_TALL, _FLAT, _SQUARE = 170, 96, 190


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportCurves:
    """Curves against ground truth; each may be missing.

    Attributes:
        roc: x = false-positive rate, y = true-positive rate.
        precision_recall: x = recall, y = precision.
        reliability: bins of the anomaly score.
    """

    roc: Curve | None = None
    precision_recall: Curve | None = None
    reliability: Sequence[ReliabilityBin] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyFigure:
    """The latency plot.

    Attributes:
        svg: the plot.
        cut_ms: the largest total, where it lies above the plot; else None.
    """

    svg: Markup
    cut_ms: float | None


class TimeScale:
    """Horizontal axis of a drive: seconds since its start, or frame numbers without stamps."""

    def __init__(self, timeline: Timeline) -> None:
        self._start_ns = timeline.buckets[0].stamp_ns if timeline.buckets else 0
        duration = timeline.duration_s
        self.in_seconds = duration is not None
        last = max(0, timeline.frames - 1)
        self.axis: Axis = index_axis(last) if duration is None else time_axis(0.0, duration)

    @property
    def unit(self) -> str:
        """What the axis counts."""
        return "min:s" if self.in_seconds else "frame"

    def value(self, position: int, stamp_ns: int) -> float:
        """Place of a frame in the units of the axis."""
        return (stamp_ns - self._start_ns) / 1e9 if self.in_seconds else float(position)

    def of(self, bucket: Bucket) -> float:
        """Place of a bucket in the units of the axis."""
        return self.value(bucket.position, bucket.stamp_ns)


def stages_of(timeline: Timeline) -> list[str]:
    """Names of the stages, those every pipeline has first, without the total."""
    found = [n.removeprefix(STAGE) for n in timeline.names() if n.startswith(STAGE)]
    known = [name for name in _KNOWN_STAGES if name in found]
    return [*known, *(n for n in found if n not in known and n != TOTAL)]


def stage_css(stages: Sequence[str], stage: str) -> str:
    """CSS class of the colour of a stage."""
    order = [*_KNOWN_STAGES, *(s for s in stages if s not in _KNOWN_STAGES)]
    return f"stage-{order.index(stage) % _COLORS + 1}" if stage in order else "stage-total"


def unknown_figure(timeline: Timeline, scale: TimeScale) -> Markup:
    """Draw the share of unknown pixels over time, with the true share where it is known."""
    both = (timeline.overall(UNKNOWN).high, timeline.overall(TRUE_ANOMALY).high)
    y = number_axis(100 * max(0.0, *both))
    plot = Plot(scale.axis, y, _TALL, "Share of unknown pixels over time, in percent", bare=True)
    means = _means(timeline, scale, UNKNOWN, 100.0)
    plot.band([(x, 0.0, mean) for x, mean in means if mean is not None], "unknown-fill")
    plot.band(_spread(timeline, scale, UNKNOWN, 100.0), "unknown-band")
    plot.line(means, "unknown-line")
    plot.line(_means(timeline, scale, TRUE_ANOMALY, 100.0), "truth-line")
    return plot.svg()


def objects_figure(timeline: Timeline, scale: TimeScale) -> Markup:
    """Draw the number of unknown objects over time."""
    y = number_axis(max(1.0, timeline.overall(OBJECTS).high), wanted=3, whole=True)
    plot = Plot(scale.axis, y, _FLAT, "Number of unknown objects over time")
    plot.band(_spread(timeline, scale, OBJECTS, 1.0), "objects-band")
    plot.line(_means(timeline, scale, OBJECTS, 1.0), "objects-line")
    return plot.svg()


def latency_figure(
    timeline: Timeline, scale: TimeScale, p50: float | None, p95: float | None
) -> LatencyFigure:
    """Draw the milliseconds of the stages over time, one on top of the other.

    Args:
        timeline: figures of the drive.
        scale: its horizontal axis.
        p50: median of the total, ms; drawn as a line.
        p95: 95th percentile of the total, ms; likewise.
    """
    stages = stages_of(timeline)
    sums = [sum(b.mean(STAGE + s) or 0.0 for s in stages) for b in timeline.buckets]
    highest = max([*sums, p95 or 0.0])
    limit = min(highest, 2.0 * max(_percentile(sums, 0.9), p95 or 0.0))
    plot = Plot(scale.axis, number_axis(limit), _TALL, "Latency by stage over time, in ms")
    base = [0.0] * len(sums)
    for stage in stages:
        tops = [
            low + (b.mean(STAGE + stage) or 0.0)
            for low, b in zip(base, timeline.buckets, strict=True)
        ]
        places = [scale.of(bucket) for bucket in timeline.buckets]
        plot.band(list(zip(places, base, tops, strict=True)), stage_css(stages, stage))
        if len(tops) == 1:
            plot.dots([(places[0], tops[0])], stage_css(stages, stage))
        base = tops
    if p95 is not None:
        plot.level(p95, "p95")
    if p50 is not None:
        plot.level(p50, "p50", below=True)
    return LatencyFigure(svg=plot.svg(), cut_ms=highest if highest > limit else None)


def curve_figure(curve: Curve, label: str, css: str, diagonal: bool) -> Markup:
    """Draw a ROC or precision-recall curve.

    Args:
        curve: the curve.
        label: what it shows.
        css: CSS class.
        diagonal: draw the line of chance.
    """
    plot = Plot(share_axis(), share_axis(), _SQUARE, label)
    if diagonal:
        plot.line([(0.0, 0.0), (1.0, 1.0)], "reference")
    points = [(float(x), float(y)) for x, y in zip(curve.x, curve.y, strict=True)]
    plot.band([(x, 0.0, y) for x, y in points], f"{css}-fill")
    plot.line(points, css)
    return plot.svg()


def reliability_figure(bins: Sequence[ReliabilityBin]) -> Markup:
    """Draw the share of anomalous pixels over the anomaly score; the diagonal is ideal."""
    plot = Plot(share_axis(), share_axis(), _SQUARE, "Share of anomalies by anomaly score")
    plot.line([(0.0, 0.0), (1.0, 1.0)], "reference")
    points = [
        (b.mean_score, b.anomaly_share)
        for b in bins
        if b.mean_score is not None and b.anomaly_share is not None
    ]
    plot.line(points, "reliability")
    plot.dots(points, "reliability")
    return plot.svg()


def _means(
    timeline: Timeline, scale: TimeScale, name: str, factor: float
) -> list[tuple[float, float | None]]:
    means = ((bucket, bucket.mean(name)) for bucket in timeline.buckets)
    return [(scale.of(b), None if mean is None else factor * mean) for b, mean in means]


def _spread(
    timeline: Timeline, scale: TimeScale, name: str, factor: float
) -> list[tuple[float, float, float]]:
    """Lowest and highest value by bucket; nothing where each bucket is one frame."""
    if timeline.stride == 1:
        return []
    return [
        (scale.of(b), factor * b.tallies[name].low, factor * b.tallies[name].high)
        for b in timeline.buckets
        if name in b.tallies
    ]


def _percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[int(share * (len(values) - 1))] if values else 0.0
