"""The picture of a comparison: GOSS quality of each method at each threshold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from owseg.errors import OutputError
from owseg_training.goss.methods import METHODS, RULES, SUPER_BPD
from owseg_training.goss.protocols import GossProtocol
from owseg_training.goss.table import GROUPING_TITLES, Row

COLORS = {"gq_known": "#7f8fa6", "gq_unknown": "#c8553d", "gq": "#1f4e79"}
TITLES = {"gq_known": "known", "gq_unknown": "unknown", "gq": "GQ"}
_BAR = 0.27


def plot_rows(rows: Sequence[Row], protocol: GossProtocol, path: Path) -> None:
    """Draw one panel for each threshold, with one group of bars for each row.

    Raises:
        OutputError: the file cannot be written.
    """
    names = list(dict.fromkeys(_name(row) for row in rows))
    height = 1.3 + 0.42 * len(names)
    figure = Figure(figsize=(4.2 * len(RULES) + 1.6, height), layout="constrained")
    panels = figure.subplots(1, len(RULES), squeeze=False, sharex=True, sharey=True)[0]
    for axis, (rule, meaning) in zip(panels, RULES.items(), strict=True):
        _draw(axis, [row for row in rows if row.rule == rule])
        axis.set_title(f"threshold: {meaning}", fontsize=8)
        axis.set_xlabel("GOSS quality, %")
    panels[0].set_yticks(range(len(names)), names, fontsize=8)
    panels[0].invert_yaxis()
    handles, titles = panels[0].get_legend_handles_labels()
    figure.legend(handles, titles, loc="outside lower center", ncols=len(titles), frameon=False)
    unknown = ", ".join(protocol.truth.held_out)
    figure.suptitle(f"{protocol.name}: {unknown} unknown", fontsize=11)
    try:
        figure.savefig(path, dpi=130)
    except OSError as error:
        raise OutputError(f"cannot write the plot {path}: {error.strerror}") from error


def _draw(axis: Any, rows: Sequence[Row]) -> None:
    for offset, (key, color) in enumerate(COLORS.items(), start=-1):
        means = [100 * (row.figures[key][0] or 0.0) for row in rows]
        errors = [100 * (row.figures[key][1] or 0.0) for row in rows]
        places = [i + offset * _BAR for i in range(len(rows))]
        bars = axis.barh(
            places, means, _BAR * 0.92, xerr=errors, color=color, label=TITLES[key], capsize=1.5
        )
        axis.bar_label(bars, fmt="%.1f", fontsize=6, padding=2)
    axis.margins(x=0.12)
    axis.set_xlim(left=0)
    axis.spines[["top", "right"]].set_visible(False)


def _name(row: Row) -> str:
    name = METHODS[row.method].title
    if row.network == "separate":
        name += ", two networks"
    return name if row.grouping == SUPER_BPD else f"{name}, {GROUPING_TITLES[row.grouping]}"
