"""The tables and cards of a report, as rows of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from owseg.manifest import Manifest
from owseg.replay.report_figures import TOTAL, stage_css
from owseg.replay.report_text import count, decimal, facts, number, percent

ANOMALY_FIGURES = (("AUROC", "auroc"), ("AUPR", "aupr"), ("FPR95", "fpr95"))
_FURTHER = (
    (
        "Learnt on the way",
        "incremental",
        (
            ("mIoU, classes of the model", "old"),
            ("mIoU, learnt classes", "novel"),
            ("mIoU, all", "all"),
            ("harmonic mean of the first two", "harmonic"),
        ),
    ),
    ("Objects", "components", (("sIoU", "siou"), ("PPV", "ppv"), ("F1", "f1"))),
    (
        "Panoptic, open set",
        "goss",
        (
            ("GQ", "gq"),
            ("GQ known", "gq_known"),
            ("GQ unknown", "gq_unknown"),
            ("GQ cluster", "gq_cluster"),
        ),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A key figure.

    Attributes:
        label: what it is.
        value: the figure with its unit.
        note: one line below it.
    """

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A row of a table with a bar.

    Attributes:
        name: what it is.
        cells: figures with their units.
        length: length of the bar, 0..1; None = no bar.
        css: CSS class of its colour.
        color: its colour as a CSS value, where no class has it.
    """

    name: str
    cells: tuple[str, ...]
    length: float | None
    css: str = ""
    color: str = ""


def hex_color(rgb: Sequence[int]) -> str:
    """Return RGB 0..255 as a CSS colour."""
    red, green, blue = (min(255, max(0, int(value))) for value in rgb)
    return f"#{red:02x}{green:02x}{blue:02x}"


def section(metrics: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return a nested mapping; empty where it is missing."""
    value = metrics.get(key)
    return value if isinstance(value, Mapping) else {}


def has_truth(metrics: Mapping[str, Any]) -> bool:
    """Tell whether the metrics hold any figure that needs ground truth."""
    nested = [section(metrics, key) for key in ("anomaly", "components", "goss")]
    values = [metrics.get("miou"), metrics.get("ece"), *(v for m in nested for v in m.values())]
    return any(number(value) is not None for value in values)


def drive_cards(
    metrics: Mapping[str, Any], frames: int, unknown: float | None, objects: float | None
) -> list[Card]:
    """Return the key figures of the drive.

    Args:
        metrics: content of metrics.json.
        frames: frames in the report.
        unknown: mean share of unknown pixels, 0..1.
        objects: mean number of unknown objects per frame.
    """
    total = section(section(metrics, "latency_ms"), TOTAL)
    drops = number(metrics.get("drops"))
    worst = number(total.get("p95"))
    return [
        Card(
            label="Frames",
            value=count(metrics.get("frames", frames)),
            note=f"{count(drops)} dropped" if drops else "none dropped" if drops == 0 else "",
        ),
        Card(label="Frames per second", value=decimal(metrics.get("fps")), note="end to end"),
        Card(
            label="Median latency",
            value=decimal(total.get("p50"), "ms"),
            note=f"95 % within {decimal(worst, 'ms')}" if worst is not None else "",
        ),
        Card(label="Unknown pixels", value=percent(unknown), note="mean over all frames"),
        Card(label="Unknown objects", value=decimal(objects), note="per frame, on average"),
    ]


def truth_cards(metrics: Mapping[str, Any]) -> list[Card]:
    """Return the key figures against ground truth."""
    anomaly = section(metrics, "anomaly")
    return [
        Card(
            label="mIoU",
            value=percent(metrics.get("miou")),
            note=f"{_miou_classes(metrics)} classes, higher is better",
        ),
        Card(label="AUROC", value=percent(anomaly.get("auroc")), note="higher is better"),
        Card(label="AUPR", value=percent(anomaly.get("aupr")), note="higher is better"),
        Card(
            label="FPR95",
            value=percent(anomaly.get("fpr95")),
            note="false alarms at 95 % found",
        ),
        Card(label="ECE", value=percent(metrics.get("ece")), note="calibration, lower is better"),
    ]


def _miou_classes(metrics: Mapping[str, Any]) -> str:
    return "known and learnt" if section(metrics, "incremental") else "known"


def learnt_rows(
    metrics: Mapping[str, Any], colors: Mapping[str, str]
) -> list[tuple[str, str, tuple[str, ...]]]:
    """List the learnt classes: name, colour, and id, shots, prototypes, radius, share, IoU.

    Args:
        metrics: content of metrics.json.
        colors: CSS colours by name.
    """
    classes = section(metrics, "prototypes").get("classes")
    iou = {str(name).casefold(): value for name, value in section(metrics, "iou").items()}
    return [
        (
            str(item.get("name")),
            colors.get(str(item.get("name")), ""),
            (
                *(count(item.get(key)) for key in ("id", "shots", "prototypes")),
                decimal(item.get("radius")),
                percent(item.get("share")),
                percent(iou.get(str(item.get("name")).casefold())),
            ),
        )
        for item in (classes if isinstance(classes, Sequence) else ())
        if isinstance(item, Mapping)
    ]


def latency_rows(metrics: Mapping[str, Any], stages: Sequence[str]) -> list[Bar]:
    """List the latency by stage: p50, p95, mean; the bar is the p95 against the largest."""
    latency = section(metrics, "latency_ms")
    given = [name for name in latency if isinstance(latency[name], Mapping)]
    order = [*(s for s in stages if s in given), *(g for g in given if g not in stages)]
    order.sort(key=lambda name: name == TOTAL)
    longest = max([number(latency[name].get("p95")) or 0.0 for name in order], default=0.0)
    return [
        Bar(
            name=name,
            cells=tuple(decimal(latency[name].get(key), "ms") for key in ("p50", "p95", "mean")),
            length=(number(latency[name].get("p95")) or 0.0) / longest if longest else None,
            css=stage_css(stages, name),
        )
        for name in order
    ]


def iou_rows(metrics: Mapping[str, Any], names: Sequence[str], colors: Sequence[str]) -> list[Bar]:
    """List the IoU by class, in the order of the model.

    Args:
        metrics: content of metrics.json; "iou" by class name, or a list by class id.
        names: class names by id.
        colors: CSS colours by id.
    """
    given = metrics.get("iou")
    if isinstance(given, Sequence) and not isinstance(given, str):
        given = dict(zip(names, given, strict=False))
    if not isinstance(given, Mapping) or not given:
        return []
    palette = dict(zip(names, colors, strict=True))
    return [
        Bar(
            name=str(name),
            cells=(percent(given[name]),),
            length=number(given[name]),
            color=palette.get(name, ""),
        )
        for name in given
    ]


def anomaly_rows(metrics: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """List the anomaly metrics: name, pooled figure, figure per image."""
    pooled, per_image = section(metrics, "anomaly"), section(metrics, "anomaly_per_image")
    return [
        (label, percent(pooled.get(key)), percent(per_image.get(key)))
        for label, key in ANOMALY_FIGURES
        if number(pooled.get(key)) is not None or number(per_image.get(key)) is not None
    ]


def further_rows(metrics: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """List further groups of figures: title, and rows of name and figure."""
    groups = []
    for title, key, keys in _FURTHER:
        content = section(metrics, key)
        rows = [(n, percent(content[k])) for n, k in keys if number(content.get(k)) is not None]
        if rows:
            groups.append((title, rows))
    return groups


def model_rows(manifest: Manifest, threshold: float) -> list[tuple[str, str]]:
    """Describe the model: rows of name and value."""
    score = {key: value for key, value in manifest.score.items() if key != "method"}
    constants = ", ".join(f"{name} {value}" for name, value in facts(score))
    method = " ".join(text for _, text in facts({"method": manifest.score.get("method")}))
    return [
        ("Model", manifest.name),
        ("Known classes", str(len(manifest.classes))),
        ("Input", f"{manifest.width} × {manifest.height} pixels"),
        ("Anomaly score", (method + (f" ({constants})" if constants else "")) or "not stated"),
        ("Threshold", threshold_text(manifest, threshold)),
        ("Slots for new classes", str(manifest.slots)),
    ]


def threshold_text(manifest: Manifest, threshold: float) -> str:
    """Describe the threshold and what is known of it."""
    for point in manifest.operating_points:
        if abs(point.threshold - threshold) < 1e-6:
            fitted = f", fitted on {point.fitted_on}" if point.fitted_on else ""
            return f"{threshold:.4g}, operating point “{point.name}”{fitted}"
    return f"{threshold:.4g}, chosen by hand"
