"""The figures as a picture: a bar of stages for each contestant, and its 95th percentile."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from owseg.bench.measure import STAGES, Figures
from owseg.errors import MissingDependencyError, OutputError

COLORS = {
    "copy in": "#b8c4cf",
    "network": "#1f4e79",
    "graph": "#4a7ba6",
    "heads": "#c8553d",
    "copy out": "#8d99a6",
    "grouping": "#6a9a58",
    "rest": "#e3e0d8",
}
TITLES = {"graph": "network and heads", "rest": "not told apart"}
"""In the order of the bars; "rest" is what no stage accounts for."""


_VISIBLE = 0.002
"""Share of the longest bar below which a stage is not worth a word in the legend."""


def plot(figures: Sequence[Figures], path: Path, title: str) -> None:
    """Draw the figures; the suffix of the path decides on the format (.png, .svg, .pdf).

    Raises:
        MissingDependencyError: matplotlib is not installed.
        OutputError: the file cannot be written, or is of an unknown format.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError(
            f"--plot needs matplotlib ({error}): pip install 'owseg_ros[viz]'"
        ) from error
    figure = Figure(figsize=(9.0, 1.7 + 0.42 * len(figures)), layout="constrained")
    axis = figure.subplots()
    parts = [_parts(row) for row in figures]
    least = _VISIBLE * max(sum(part.values()) for part in parts)
    for name, color in COLORS.items():
        if any(part.get(name, 0.0) > least for part in parts):
            _stack(axis, parts, name, color)
    for place, row in enumerate(figures):
        _label(axis, place, row)
    axis.set_yticks(range(len(figures)), [_name(row, figures) for row in figures])
    axis.invert_yaxis()
    axis.set_xlim(0, 1.18 * max(row.percentile(95) for row in figures))
    axis.set_xlabel("milliseconds of a frame: median of each stage, mark at the 95th percentile")
    axis.set_title(title, fontsize=10)
    axis.spines[["top", "right"]].set_visible(False)
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    try:
        figure.savefig(path, dpi=130)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise OutputError(f"cannot write the plot {path}: {reason}") from error


def _parts(row: Figures) -> dict[str, float]:
    """Medians of the stages that make up the bar, and what they leave of the median frame."""
    whole = "graph" if "network" not in row.stages_ms else ""
    names = [name for name in (*STAGES, whole) if name in row.stages_ms]
    parts = {name: row.stages_ms[name] for name in names}
    parts["rest"] = max(0.0, row.percentile(50) - sum(parts.values()))
    return parts


def _stack(axis: Any, parts: Sequence[dict[str, float]], name: str, color: str) -> None:
    order = list(COLORS)
    starts = [sum(part.get(other, 0.0) for other in order[: order.index(name)]) for part in parts]
    widths = [part.get(name, 0.0) for part in parts]
    axis.barh(
        range(len(parts)), widths, 0.62, left=starts, color=color, label=TITLES.get(name, name)
    )


def _label(axis: Any, place: int, row: Figures) -> None:
    late = row.percentile(95)
    axis.plot([late, late], [place - 0.31, place + 0.31], color="#222222", linewidth=1.4)
    axis.annotate(
        f"{row.percentile(50):.1f} ms, {row.fps:.1f}/s",
        (late, place),
        xytext=(6, 0),
        textcoords="offset points",
        va="center",
        fontsize=8,
    )


def _name(row: Figures, figures: Sequence[Figures]) -> str:
    """Name a bar; model and precision only where they differ."""
    parts = [row.engine]
    if len({other.precision for other in figures}) > 1:
        parts.append(row.precision)
    if len({(other.model, other.size) for other in figures}) > 1:
        parts.insert(0, f"{row.model} {row.size[1]}x{row.size[0]}")
    return ", ".join(parts) if len(parts) < 3 else f"{parts[0]}\n{parts[1]}, {parts[2]}"
