"""Rows of tables, from cells: which are needed, and their means over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from owseg_export.tables.cells import SCORES, SEGMENTS, CellKey
from owseg_export.tables.measure import FIGURES, PROTOCOLS, forms_of
from owseg_export.tables.networks import ENSEMBLE, NETWORKS, scores_of
from owseg_export.tables.papers import TABLES, PaperRow, PaperTable, Printed, SegmentTable
from owseg_training.experiments.spread import Spread, mean_and_deviation

Cells = Mapping[CellKey, Mapping[str, Any]]
"""Figures of the cells that are there."""

COLUMNS = (*(f"{protocol} {figure}" for protocol in PROTOCOLS for figure in FIGURES), "miou")
"""Names of the columns of a table of scores, beside the time."""

SIDES, COUNTS = ("before", "after"), ("false", "missed", "f1", "delta")
"""Columns of a table of segments: without and with the meta classifier."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line.

    Attributes:
        benchmark: where it was measured.
        method: what it is.
        network: name in `NETWORKS`, "ensemble", or "" for one that is not built here.
        score: name of the score.
        form: "constant", "paper", "raw", or a threshold of the entropy.
        seeds: seeds that the means are over; none = not run.
        figures: mean and deviation by column, in [0, 1] (numbers of segments as they are).
        runs: the figures of each seed, by column.
        printed: the paper's figures, by its benchmark.
        notes: by seed why figures are not there.
    """

    benchmark: str
    method: str
    network: str
    score: str
    form: str
    seeds: tuple[int, ...] = ()
    figures: Mapping[str, Spread] = field(default_factory=dict)
    runs: Mapping[str, Sequence[float | None]] = field(default_factory=dict)
    printed: Mapping[str, Printed] = field(default_factory=dict)
    notes: Mapping[int, str] = field(default_factory=dict)


def all_scores(networks: Sequence[str], scores: Sequence[str] | None) -> PaperTable:
    """Return the table of all scores of some networks; `scores` None = all."""
    return PaperTable(
        name="scores",
        title="All scores",
        paper="",
        benchmarks=("camvid_a",),
        rows=tuple(
            PaperRow(method="", network=network, score=score)
            for network in networks
            for score in scores_of(network)
            if scores is None or score in scores
        ),
    )


def known_scores() -> tuple[str, ...]:
    """Return the names of all scores that any network supports."""
    names = [score for network in (*NETWORKS, ENSEMBLE) for score in scores_of(network)]
    return tuple(dict.fromkeys(names))


def needed(
    table: PaperTable | SegmentTable,
    benchmark: str,
    networks: Sequence[str],
    seeds: Sequence[int],
) -> list[CellKey]:
    """Return the cells of networks of a table, seed by seed; those of ensembles last."""
    kind = SEGMENTS if isinstance(table, SegmentTable) else SCORES
    single = [name for name in networks if name != ENSEMBLE]
    keys = [
        CellKey(kind=kind, benchmark=benchmark, network=name, seeds=(seed,))
        for seed in seeds
        for name in single
    ]
    if ENSEMBLE in networks:
        keys.append(CellKey(kind=kind, benchmark=benchmark, network=ENSEMBLE, seeds=tuple(seeds)))
    return keys


def score_rows(
    table: PaperTable, benchmark: str, networks: Sequence[str], cells: Cells
) -> list[Row]:
    """Return the rows of a table on one benchmark; those that were not run have no figures."""
    rows = []
    for line in table.rows:
        if line.network and line.network not in networks:
            continue
        for form in forms_of(line.score) if line.network else ("",):
            rows.append(_score_row(line, benchmark, form, cells))
    return rows


def _score_row(line: PaperRow, benchmark: str, form: str, cells: Cells) -> Row:
    own = _own(cells, benchmark, line.network)
    runs: dict[str, list[float | None]] = {name: [] for name in (*COLUMNS, "time")}
    for figures in own.values():
        found = figures["scores"][line.score][form]
        for protocol in PROTOCOLS:
            for figure in FIGURES:
                runs[f"{protocol} {figure}"].append(found[protocol][figure])
        runs["miou"].append(figures["miou"])
        runs["time"].append(figures["time"].get(line.score))
    return Row(
        benchmark=benchmark,
        method=line.method,
        network=line.network,
        score=line.score,
        form=form,
        seeds=tuple(seed for key in own for seed in key.seeds),
        figures={name: mean_and_deviation(values) for name, values in runs.items()} if own else {},
        runs=runs if own else {},
        printed=line.printed,
    )


def segment_rows(
    table: SegmentTable, benchmark: str, networks: Sequence[str], cells: Cells
) -> list[Row]:
    """Return the rows of a table of segments on one benchmark: each network, each threshold."""
    return [
        _segment_row(benchmark, network, tau, cells)
        for network in networks
        for tau in table.printed
    ]


def _segment_row(benchmark: str, network: str, tau: str, cells: Cells) -> Row:
    own = _own(cells, benchmark, network)
    runs: dict[str, list[float | None]] = {
        f"{side} {count}": [] for side in SIDES for count in COUNTS
    }
    notes = {}
    for key, figures in own.items():
        found = figures["thresholds"][tau]
        for name, values in runs.items():
            side, count = name.split()
            values.append(found[side][count] if found[side] else None)
        if found["why_no_meta"]:
            notes[key.seeds[0]] = found["why_no_meta"]
    return Row(
        benchmark=benchmark,
        method=f"entropy at {tau} or above",
        network=network,
        score="entropy",
        form=tau,
        seeds=tuple(seed for key in own for seed in key.seeds),
        figures={name: mean_and_deviation(values) for name, values in runs.items()} if own else {},
        runs=runs if own else {},
        notes=notes,
    )


def _own(cells: Cells, benchmark: str, network: str) -> dict[CellKey, Mapping[str, Any]]:
    return {
        key: figures
        for key, figures in cells.items()
        if (key.benchmark, key.network) == (benchmark, network)
    }


def table_of(
    name: str, networks: Sequence[str] | None, scores: Sequence[str] | None
) -> PaperTable | SegmentTable:
    """Return a table by name; "scores" has all networks, or the chosen ones."""
    if name in TABLES:
        return TABLES[name]
    return all_scores(networks or (*NETWORKS, ENSEMBLE), scores)
