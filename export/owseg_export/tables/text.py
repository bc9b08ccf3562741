"""Tables as Markdown and as data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from owseg_export.tables.benchmarks import BENCHMARKS, Benchmark
from owseg_export.tables.cells import CellKey
from owseg_export.tables.commands import commands
from owseg_export.tables.gather import COLUMNS, COUNTS, SIDES, Row
from owseg_export.tables.networks import TITLES
from owseg_export.tables.papers import PaperTable, SegmentTable
from owseg_training.experiments.spread import spread
from owseg_training.experiments.text import markdown_table

NAMES = {"aupr": "AUPR", "auroc": "AUROC", "fpr95": "FPR95", "miou": "mIoU"}
SCALES = {"constant": "constants", "paper": "per image", "raw": "as it is", "": ""}
LOWER = ("pooled fpr95", "per_image fpr95")
"""Columns where less is better."""

NONE = "–"


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A table with its rows on some benchmarks.

    Attributes:
        table: which one.
        rows: by benchmark.
        missing: why cells are missing.
        base: recipe whose variants the networks are; None = that of each benchmark.
    """

    table: PaperTable | SegmentTable
    rows: dict[str, list[Row]]
    missing: dict[CellKey, str]
    base: str | None = None


def as_json(drawn: Drawn) -> dict[str, Any]:
    """Return the content of results.json; figures in [0, 1], those of the paper in percent."""
    return {
        "table": drawn.table.name,
        "paper": drawn.table.paper,
        "recipe": drawn.base,
        "rows": [_row_json(row, drawn) for rows in drawn.rows.values() for row in rows],
        "missing": [{**key.as_dict(), "why": why} for key, why in drawn.missing.items()],
    }


def _row_json(row: Row, drawn: Drawn) -> dict[str, Any]:
    return {
        "benchmark": row.benchmark,
        "method": row.method,
        "network": row.network,
        "score": row.score,
        "form": row.form,
        "seeds": list(row.seeds),
        "figures": {
            name: {"mean": mean, "std": std, "runs": list(row.runs[name])}
            for name, (mean, std) in row.figures.items()
        },
        "printed": {name: dict(figures) for name, figures in row.printed.items()},
        "commands": _commands(row.network, row.benchmark, drawn) if row.network else [],
    }


def as_markdown(drawn: Drawn) -> str:
    """Return a table for each benchmark, with what its columns mean and the commands."""
    parts = []
    for name, rows in drawn.rows.items():
        benchmark, table = BENCHMARKS[name], drawn.table
        parts += [f"## {table.title}: {benchmark.title}", caption(table, benchmark, rows)]
        if isinstance(table, SegmentTable):
            parts += [_segments(table, rows), _without_meta(rows)]
        else:
            parts.append(_scores(table, benchmark, rows))
        parts += [_made_by(drawn, rows), _missing(drawn, name)]
    return "\n\n".join(part for part in parts if part) + "\n"


def caption(table: PaperTable | SegmentTable, benchmark: Benchmark, rows: Sequence[Row]) -> str:
    """Return what the figures are, and the conditions."""
    test, train = benchmark.test, benchmark.source.train
    parts = [f"{table.paper}."] if table.paper else []
    parts.append(
        f"Trained on {train.title}, measured on {test.title}; mean ± sample standard deviation "
        "over the seeds."
    )
    if test.truth.held_out != ("anomaly",):
        parts.append(f"Unknown: {', '.join(test.truth.held_out)}.")
    if isinstance(table, SegmentTable):
        parts.append(_about_segments(benchmark))
    else:
        parts.append(
            "In percent. Pooled: all pixels ranked together; images: mean over the images with "
            "anomalies. mIoU: the best known class of each pixel. Time: of a frame with the score, "
            "in times of the network alone. Scale: constants that rank all pixels as the raw score "
            "does, or each image by itself."
        )
    others = [BENCHMARKS[name].title for name in _shown(table, benchmark, rows)]
    if others and others != [benchmark.title]:
        parts.append(
            f'**Columns "paper" are the paper\'s figures for {" and ".join(others)}: other data, '
            "network and training, not to be compared with ours line by line.**"
        )
    return " ".join(parts)


def _about_segments(benchmark: Benchmark) -> str:
    meta = benchmark.meta
    assert meta is not None
    seen = ", which the network was trained on too" if meta == benchmark.source.train else ""
    return (
        "FP: segments without a pixel of a true object; FN: true objects that no segment touches; "
        "delta: loss of mIoU of the known classes, in percentage points. The meta classifier "
        f"(logistic) is fitted for each threshold on {meta.title}{seen}; none of these frames is "
        f"in {benchmark.test.title}."
    )


def _shown(
    table: PaperTable | SegmentTable, benchmark: Benchmark, rows: Sequence[Row]
) -> tuple[str, ...]:
    """Return the benchmarks whose printed figures are shown: the own one, or else all."""
    if isinstance(table, SegmentTable):
        there = table.benchmarks
    else:
        there = tuple(dict.fromkeys(name for row in rows for name in row.printed))
    return (benchmark.name,) if benchmark.name in there else there


def _scores(table: PaperTable, benchmark: Benchmark, rows: Sequence[Row]) -> str:
    pairs = [
        (name, column)
        for name in _shown(table, benchmark, rows)
        for column in NAMES
        if any(column in row.printed.get(name, {}) for row in rows)
    ]
    named = ["method"] if table.paper else []
    ours = [f"{_protocol(name)}{NAMES[name.split()[-1]]}" for name in COLUMNS]
    theirs = [f"paper, {BENCHMARKS[name].title}: {NAMES[column]}" for name, column in pairs]
    header = [*named, "network", "score", "scale", "seeds", *ours, "time", *theirs]
    best = {name: _best(rows, name) for name in COLUMNS}
    body = [_line(table, row, best, pairs) for row in rows]
    return markdown_table(header, body, text_columns=len(named) + 3)


def _line(
    table: PaperTable,
    row: Row,
    best: dict[str, float | None],
    pairs: Sequence[tuple[str, str]],
) -> list[str]:
    made = [row.network or "not built here", row.score or NONE, SCALES[row.form] or NONE]
    figures = [_bold(row, name, best[name]) for name in COLUMNS]
    time = row.figures["time"][0] if row.figures else None
    printed = [
        f"{row.printed[name][column]:g}" if column in row.printed.get(name, {}) else NONE
        for name, column in pairs
    ]
    return [
        *([row.method] if table.paper else []),
        *made,
        _seeds(row),
        *figures,
        NONE if time is None else f"{time:.2f}",
        *printed,
    ]


def _seeds(row: Row) -> str:
    if not row.network:
        return NONE
    return str(len(row.seeds)) if row.seeds else "not run"


def _protocol(column: str) -> str:
    return {"pooled": "pooled ", "per_image": "images "}.get(column.partition(" ")[0], "")


def _best(rows: Sequence[Row], name: str) -> float | None:
    means = [mean for row in rows if row.figures and (mean := row.figures[name][0]) is not None]
    return (min if name in LOWER else max)(means, default=None)


def _bold(row: Row, name: str, best: float | None) -> str:
    if not row.figures or row.figures[name][0] is None:
        return NONE
    text = spread(*row.figures[name])
    return f"**{text}**" if row.figures[name][0] == best else text


def _segments(table: SegmentTable, rows: Sequence[Row]) -> str:
    titles = {"false": "FP", "missed": "FN", "f1": "F1", "delta": "delta"}
    sides = {"before": "", "after": ", meta"}
    pairs = [(side, count) for side in SIDES for count in COUNTS]
    ours = [f"{titles[count]}{sides[side]}" for side, count in pairs]
    theirs = [f"paper: {name}" for name in ours]
    body = []
    for row in rows:
        figures = [_count(row, f"{side} {count}") for side, count in pairs]
        printed = [
            f"{table.printed[row.form][side][COUNTS.index(count)]:g}" for side, count in pairs
        ]
        body.append([row.network, row.form, _seeds(row), *figures, *printed])
    return markdown_table(["network", "tau", "seeds", *ours, *theirs], body, text_columns=2)


def _count(row: Row, name: str) -> str:
    mean, deviation = row.figures.get(name, (None, None))
    if mean is None:
        return NONE
    if name.endswith("delta"):
        mean, deviation = 100 * mean, None if deviation is None else 100 * deviation
    digits = 0 if name.endswith(("false", "missed")) else 2
    return f"{mean:.{digits}f}" + ("" if deviation is None else f" ± {deviation:.{digits}f}")


def _commands(network: str, benchmark: str, drawn: Drawn) -> list[str]:
    return commands(network, benchmark, drawn.table.name, drawn.base)


def _made_by(drawn: Drawn, rows: Sequence[Row]) -> str:
    lines = []
    for name in dict.fromkeys(row.network for row in rows):
        if name:
            made = " ".join(f"`{line}`" for line in _commands(name, rows[0].benchmark, drawn))
            lines.append(f"- {name}: {TITLES[name]}. {made}")
    return "\n".join(["Networks, and the commands that make their rows:", "", *lines])


def _missing(drawn: Drawn, benchmark: str) -> str:
    seeds: dict[tuple[str, str], list[int]] = {}
    for key, why in drawn.missing.items():
        if key.benchmark == benchmark:
            seeds.setdefault((key.network, why), []).extend(key.seeds)
    lines = [
        f"- {network}, seed {' '.join(map(str, own))}: {why}"
        for (network, why), own in seeds.items()
    ]
    return "\n".join(["Not run:", "", *lines]) if lines else ""


def _without_meta(rows: Sequence[Row]) -> str:
    lines = [
        f"- {row.network} at {row.form}, seed {' '.join(map(str, row.notes))}: "
        + "; ".join(dict.fromkeys(row.notes.values()))
        for row in rows
        if row.notes
    ]
    return "\n".join(["No meta classifier, and why:", "", *lines]) if lines else ""
