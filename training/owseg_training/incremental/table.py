"""The table of a protocol: gathered from the cells; as data, as Markdown, for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from owseg_training.experiments.spread import Spread, mean_and_deviation, percent, spread
from owseg_training.experiments.text import markdown_table, text_table, write_text
from owseg_training.incremental.cells import Cell, load_cell
from owseg_training.incremental.figures import (
    SUMMARY,
    Figures,
    base_figures,
    figures,
    forgetting,
)
from owseg_training.incremental.protocols import Protocol
from owseg_training.incremental.shots import counted

TITLES = {
    "base": "base",
    "upper": "upper bound",
    "ft": "FT",
    "plm_latest": "PLM_latest",
    "plm_all": "PLM_all",
    "npm": "NPM",
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table; figures in [0, 1].

    Attributes:
        method: key of `TITLES`.
        shots: number of shots, 0 for base and upper bound.
        seeds: seeds that the means are over.
        iou: mean IoU of each class over the seeds.
        summary: the means of `SUMMARY`, and "forgetting".
        runs: figures of each seed.
    """

    method: str
    shots: int
    seeds: tuple[int, ...]
    iou: tuple[float | None, ...]
    summary: dict[str, Spread]
    runs: tuple[Figures, ...]


def gather(
    folder: Path,
    protocol: Protocol,
    methods: Sequence[str],
    shots: Sequence[int],
    seeds: Sequence[int],
) -> list[Row]:
    """Read the cells of a finished run: upper bound, base, then the methods by shots.

    Raises:
        InputError: a cell is missing or damaged.
    """
    names = protocol.names
    base = load_cell(folder, names, "base")
    before = base_figures(base.confusion, len(protocol.base_names))
    rows = [_row(before, "base", 0, (0,), [before])]
    if "upper" in methods:
        upper = [_figures(load_cell(folder, names, "upper"), protocol)]
        rows.insert(0, _row(before, "upper", 0, (0,), upper))
    for count in sorted(shots, reverse=True):
        for method in (name for name in TITLES if name in methods and name != "upper"):
            cells = [load_cell(folder, names, method, count, seed) for seed in seeds]
            runs = [_figures(cell, protocol) for cell in cells]
            rows.append(_row(before, method, count, tuple(seeds), runs))
    return rows


def _figures(cell: Cell, protocol: Protocol) -> Figures:
    return figures(cell.confusion, len(protocol.base_names))


def _row(
    before: Figures, method: str, shots: int, seeds: tuple[int, ...], runs: Sequence[Figures]
) -> Row:
    columns = zip(*(run.iou for run in runs), strict=True)
    summary = {key: mean_and_deviation([getattr(run, key) for run in runs]) for key in SUMMARY}
    lost = [forgetting(before, run) for run in runs]
    summary["forgetting"] = (None, None) if method == "base" else mean_and_deviation(lost)
    return Row(
        method=method,
        shots=shots,
        seeds=seeds,
        iou=tuple(mean_and_deviation(column)[0] for column in columns),
        summary=summary,
        runs=tuple(runs),
    )


def as_json(rows: Sequence[Row], protocol: Protocol, images: int) -> dict[str, Any]:
    """Return the content of results.json; figures in [0, 1]."""
    return {
        "protocol": protocol.name,
        "evaluated_on": f"{protocol.dataset} {protocol.split}",
        "images": images,
        "base_classes": list(protocol.base_names),
        "novel_classes": list(protocol.novel),
        "rows": [
            {
                "method": row.method,
                "shots": row.shots,
                "seeds": list(row.seeds),
                "iou": dict(zip(protocol.names, row.iou, strict=True)),
                **{
                    key: {"mean": mean, "std": deviation}
                    for key, (mean, deviation) in row.summary.items()
                },
                "runs": [run.as_dict() for run in row.runs],
            }
            for row in rows
        ],
    }


def as_markdown(rows: Sequence[Row], protocol: Protocol, images: int) -> str:
    """Return the table with a caption; percent."""
    header = ["", *protocol.names, *SUMMARY, "forgetting"]
    table = markdown_table(header, [_cells(row) for row in rows])
    return "\n".join([table, "", caption(rows, protocol, images), ""])


def write_markdown(rows: Sequence[Row], protocol: Protocol, images: int, path: Path) -> None:
    """Write the table as Markdown.

    Raises:
        OutputError: the file cannot be written.
    """
    write_text(as_markdown(rows, protocol, images), path)


def as_text(rows: Sequence[Row], protocol: Protocol, images: int) -> str:
    """Return the table for a terminal; percent."""
    header = ["", *(name[:8] for name in protocol.names), *SUMMARY, "forgetting"]
    table = text_table(header, [_cells(row) for row in rows])
    return "\n".join([table, "", caption(rows, protocol, images)])


def caption(rows: Sequence[Row], protocol: Protocol, images: int) -> str:
    """Return what the columns mean, and the conditions."""
    seeds = max(len(row.seeds) for row in rows)
    spread = f"; mean and standard deviation over {seeds} draws of the shots" if seeds > 1 else ""
    return (
        f"{protocol.name}: IoU in percent on {protocol.dataset} {protocol.split} ({images} images)"
        f"{spread}. New: {', '.join(protocol.novel)}. Old, novel: mean over base and new classes; "
        "harmonic: their harmonic mean; forgetting: loss of mean IoU of the base classes on their "
        "own pixels. The base is compared on the pixels of its own classes alone."
    )


def _cells(row: Row) -> list[str]:
    title = TITLES[row.method]
    name = f"{title}, {counted(row.shots)}" if row.shots else title
    summary = [row.summary[key] for key in (*SUMMARY, "forgetting")]
    return [name, *map(percent, row.iou), *(spread(*pair) for pair in summary)]
