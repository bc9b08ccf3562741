"""The picture of the table: old, novel and harmonic mean IoU of each method."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from owseg.errors import OutputError
from owseg_training.incremental.protocols import Protocol
from owseg_training.incremental.shots import counted
from owseg_training.incremental.table import TITLES, Row

COLORS = {"old": "#7f8fa6", "novel": "#c8553d", "harmonic": "#1f4e79"}
_BAR = 0.27


def plot_table(rows: Sequence[Row], protocol: Protocol, path: Path) -> None:
    """Draw one panel for each number of shots; lines show the base and the upper bound.

    Raises:
        OutputError: the file cannot be written.
    """
    counts = sorted({row.shots for row in rows})[1:] or [0]
    figure = Figure(figsize=(4.6 * len(counts) + 1.2, 4.0), layout="constrained")
    panels = figure.subplots(1, len(counts), squeeze=False, sharey=True)[0]
    references = [row for row in rows if not row.shots]
    for axis, count in zip(panels, counts, strict=True):
        _draw_panel(axis, [row for row in rows if row.shots == count > 0], references)
        axis.set_title(counted(count), fontsize=10)
    panels[0].set_ylabel("mean IoU, %")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    figure.suptitle(
        f"{protocol.name}: {', '.join(protocol.novel)} learnt from a few images", fontsize=11
    )
    try:
        figure.savefig(path, dpi=130)
    except OSError as error:
        raise OutputError(f"cannot write the plot {path}: {error.strerror}") from error


def _draw_panel(axis: Any, rows: Sequence[Row], references: Sequence[Row]) -> None:
    for offset, (key, color) in enumerate(COLORS.items(), start=-1):
        means = [100 * (row.summary[key][0] or 0.0) for row in rows]
        errors = [100 * (row.summary[key][1] or 0.0) for row in rows]
        places = [i + offset * _BAR for i in range(len(rows))]
        bars = axis.bar(places, means, _BAR * 0.92, yerr=errors, color=color, label=key, capsize=2)
        axis.bar_label(bars, fmt="%.0f", fontsize=7, padding=1)
    for row in references:
        for key in ("old", "novel") if row.method == "upper" else ("old",):
            label = f"{TITLES[row.method]}, {key}"
            axis.axhline(
                100 * (row.summary[key][0] or 0.0),
                color=COLORS[key],
                linestyle="-" if row.method == "upper" else "--",
                linewidth=1,
                zorder=0,
                label=label,
            )
    axis.set_xticks(range(len(rows)), [TITLES[row.method] for row in rows])
    axis.spines[["top", "right"]].set_visible(False)
