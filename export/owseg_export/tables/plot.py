"""Pictures of tables: bars beside the figures of the paper, a field of all scores, and curves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from owseg.errors import OutputError
from owseg_export.tables.benchmarks import BENCHMARKS
from owseg_export.tables.gather import Row
from owseg_export.tables.measure import FIGURES
from owseg_export.tables.papers import SegmentTable
from owseg_export.tables.text import LOWER, NAMES, Drawn

BLUE, RED, GREY = "#1f4e79", "#c8553d", "#7f8fa6"
MARKERS = "Dsv^"


def plot(drawn: Drawn, path: Path) -> None:
    """Draw a table, one row of panels for each benchmark.

    Raises:
        OutputError: the file cannot be written.
    """
    table = drawn.table
    if isinstance(table, SegmentTable):
        figure = _curves(drawn)
    else:
        figure = _bars(drawn) if table.paper else _fields(drawn)
    try:
        figure.savefig(path, dpi=130)
    except OSError as error:
        raise OutputError(f"cannot write the plot {path}: {error.strerror}") from error


def _panels(
    drawn: Drawn, heights: Sequence[float], columns: int, width: float
) -> tuple[Figure, Any]:
    size = (width, sum(heights) + 0.8)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(len(heights), columns, squeeze=False, height_ratios=list(heights))
    figure.suptitle(f"{drawn.table.title} ({drawn.table.name})", fontsize=11)
    return figure, panels


def _bars(drawn: Drawn) -> Figure:
    """Draw rows of constants: pooled as bars, means over images and the paper as markers."""
    shown = {
        name: [row for row in rows if row.form != "paper"] for name, rows in drawn.rows.items()
    }
    heights = [0.9 + 0.36 * len(rows) for rows in shown.values()]
    figure, panels = _panels(drawn, heights, len(FIGURES), 11.5)
    for axes, (name, rows) in zip(panels, shown.items(), strict=True):
        for axis, key in zip(axes, FIGURES, strict=True):
            _draw_bars(axis, rows, key, name)
            axis.set_title(f"{BENCHMARKS[name].title}: {NAMES[key]}, %", fontsize=9)
            axis.set_yticks(range(len(rows)), [""] * len(rows))
        axes[0].set_yticks(range(len(rows)), [_name(row) for row in rows], fontsize=8)
    handles, labels = panels[0][0].get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    figure.legend(
        unique.values(), unique.keys(), loc="outside lower center", ncols=4, frameon=False
    )
    return figure


def _draw_bars(axis: Any, rows: Sequence[Row], key: str, benchmark: str) -> None:
    places = np.arange(len(rows))
    means, errors = _values(rows, f"pooled {key}")
    axis.barh(places, means, 0.62, xerr=errors, color=GREY, capsize=2, label="ours, pooled")
    means, errors = _values(rows, f"per_image {key}")
    axis.errorbar(
        means, places, xerr=errors, fmt="o", color=BLUE, ms=4, capsize=2, label="ours, images"
    )
    there = dict.fromkeys(name for row in rows for name in row.printed)
    for marker, name in zip(MARKERS, [benchmark] if benchmark in there else there, strict=False):
        printed = [row.printed.get(name, {}).get(key, np.nan) for row in rows]
        label = f"paper, {BENCHMARKS[name].title}"
        axis.plot(printed, places, marker, color=RED, ms=5, label=label, zorder=3)
    axis.set_xlim(0, 100)
    axis.invert_yaxis()
    axis.spines[["top", "right"]].set_visible(False)


def _values(rows: Sequence[Row], name: str) -> tuple[Any, Any]:
    """Return means and deviations in percent; NaN where nothing was run."""
    spreads = [row.figures.get(name, (None, None)) for row in rows]
    means = [np.nan if mean is None else 100 * mean for mean, _ in spreads]
    errors = [0.0 if deviation is None else 100 * deviation for _, deviation in spreads]
    return np.array(means), np.array(errors)


def _name(row: Row) -> str:
    made = f" ({row.network})" if row.network else " (paper only)"
    if row.network and not row.seeds:
        made = f" ({row.network}, not run)"
    return f"{row.method}{made}"


def _fields(drawn: Drawn) -> Figure:
    """Draw the pooled figures of constants: networks by scores, one field for each figure."""
    count = [len({row.network for row in rows}) for rows in drawn.rows.values()]
    figure, panels = _panels(drawn, [2.0 + 0.33 * n for n in count], len(FIGURES), 19.0)
    for axes, (name, rows) in zip(panels, drawn.rows.items(), strict=True):
        constant = [row for row in rows if row.form != "paper"]
        networks = list(dict.fromkeys(row.network for row in constant))
        scores = list(dict.fromkeys(row.score for row in constant))
        for axis, key in zip(axes, FIGURES, strict=True):
            field = np.full((len(networks), len(scores)), np.nan)
            for row in constant:
                value = row.figures.get(f"pooled {key}", (None, None))[0]
                if value is not None:
                    field[networks.index(row.network), scores.index(row.score)] = 100 * value
            _draw_field(axis, field, f"pooled {key}" in LOWER)
            axis.set_title(f"{BENCHMARKS[name].title}: {NAMES[key]}, pooled, %", fontsize=9)
            axis.set_xticks(range(len(scores)), scores, fontsize=7, rotation=55, ha="right")
            axis.set_yticks(range(len(networks)), [""] * len(networks))
        axes[0].set_yticks(range(len(networks)), networks, fontsize=8)
    return figure


def _draw_field(axis: Any, field: Any, lower: bool) -> None:
    axis.imshow(field, cmap="viridis_r" if lower else "viridis", aspect="auto")
    if np.isnan(field).all():
        return
    middle = (np.nanmin(field) + np.nanmax(field)) / 2
    best = np.nanmin(field) if lower else np.nanmax(field)
    for (y, x), value in np.ndenumerate(field):
        if not np.isnan(value):
            dark = (value > middle) if lower else (value < middle)
            axis.text(
                x,
                y,
                f"{value:.0f}",
                ha="center",
                va="center",
                fontsize=7,
                color="white" if dark else "black",
                weight="bold" if value == best else "normal",
            )


def _curves(drawn: Drawn) -> Figure:
    """Draw false and missed segments, F1 and delta over the threshold."""
    titles = {
        "false": "false segments",
        "missed": "missed objects",
        "f1": "F1",
        "delta": "delta, points",
    }
    figure, panels = _panels(drawn, [3.0] * len(drawn.rows), len(titles), 14.0)
    assert isinstance(drawn.table, SegmentTable)
    for axes, (name, rows) in zip(panels, drawn.rows.items(), strict=True):
        for number, (axis, (key, title)) in enumerate(zip(axes, titles.items(), strict=True)):
            _draw_curves(axis, rows, key, drawn.table, number)
            axis.set_title(f"{BENCHMARKS[name].title}: {title}", fontsize=9)
            axis.set_xlabel("threshold of the entropy")
            if key == "false":
                axis.set_yscale("symlog")
            axis.spines[["top", "right"]].set_visible(False)
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    return figure


def _draw_curves(
    axis: Any, rows: Sequence[Row], key: str, table: SegmentTable, number: int
) -> None:
    factor = 100 if key == "delta" else 1
    sides = (("before", "-", ""), ("after", "--", ", meta"))
    networks = dict.fromkeys(row.network for row in rows if row.seeds)
    for color, network in zip((BLUE, GREY, "#5b8c5a", "#b58900"), networks, strict=False):
        own = [row for row in rows if row.network == network]
        for side, line, more in sides:
            means = [row.figures[f"{side} {key}"][0] for row in own]
            values = [np.nan if mean is None else factor * mean for mean in means]
            taus = [float(row.form) for row in own]
            axis.plot(taus, values, line, color=color, marker="o", ms=4, label=f"{network}{more}")
    for side, line, more in sides:
        values = [table.printed[tau][side][number] for tau in table.printed]
        taus = [float(tau) for tau in table.printed]
        axis.plot(taus, values, line, color=RED, marker="D", ms=3, lw=1, label=f"paper{more}")
