"""The tables of a comparison, in the layout of the paper, from the results of single networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from owseg.evaluation import GOSS_MIN_AREA
from owseg_training.experiments.spread import Spread, mean_and_deviation, spread
from owseg_training.experiments.text import markdown_table
from owseg_training.goss.cells import CellKey, load_cell
from owseg_training.goss.methods import (
    ABLATED,
    COMPONENTS,
    DFC,
    METHODS,
    RULES,
    SUPER_BPD,
    RowKey,
    rows_of,
)
from owseg_training.goss.protocols import GossProtocol

GROUPING_TITLES = {SUPER_BPD: "super-BPD", COMPONENTS: "components", DFC: "DFC"}

COLUMNS: dict[str, tuple[str, Callable[[Any, Any, Any], float | None]]] = {
    "auroc": ("AUROC", lambda cell, m, r: m["anomaly"]["auroc"]),
    "aupr": ("AUPR", lambda cell, m, r: m["anomaly"]["aupr"]),
    "fpr95": ("FPR95", lambda cell, m, r: m["anomaly"]["fpr95"]),
    "miou": ("mIoU classes", lambda cell, m, r: cell["miou"]),
    "cluster_miou": ("mIoU", lambda cell, m, r: cell["clusters"]["strict"]["miou"]),
    "gq_cluster": ("GQ_clu", lambda cell, m, r: cell["clusters"]["strict"]["gq"]),
    "gq_known": ("GQ_kn", lambda cell, m, r: r["strict"]["gq_known"]),
    "gq_unknown": ("GQ_uk", lambda cell, m, r: r["strict"]["gq_unknown"]),
    "gq": ("GQ", lambda cell, m, r: r["strict"]["gq"]),
    "gq_cluster_min": ("GQ_clu*", lambda cell, m, r: cell["clusters"]["min_area"]["gq"]),
    "gq_unknown_min": ("GQ_uk*", lambda cell, m, r: r["min_area"]["gq_unknown"]),
    "gq_min": ("GQ*", lambda cell, m, r: r["min_area"]["gq"]),
}
"""Columns by name: title, and the figure of a cell, its method and rule."""

MAIN = tuple(COLUMNS)
GS = ("cluster_miou", "gq_cluster")
GOSS = ("gq_known", "gq_unknown", "gq", "gq_unknown_min", "gq_min")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line: a method at a threshold, on one kind of network and grouping.

    Attributes:
        method: name in `METHODS`.
        network: name in `NETWORKS`.
        grouping: "super_bpd", "components" or "dfc".
        rule: name in `RULES`.
        seeds: seeds that the means are over.
        figures: mean and deviation by column, in [0, 1].
        runs: the figures of each seed, by column.
    """

    method: str
    network: str
    grouping: str
    rule: str
    seeds: tuple[int, ...]
    figures: dict[str, Spread]
    runs: dict[str, list[float | None]]


def gather(folder: Path, methods: Sequence[str], seeds: Sequence[int]) -> list[Row]:
    """Read the results of a finished comparison: each threshold, each method.

    Raises:
        InputError: a result is missing or damaged.
    """
    keys = rows_of(methods)
    cells = {
        (key.network, key.grouping): [
            load_cell(CellKey(network=key.network, grouping=key.grouping, seed=seed), folder)
            for seed in seeds
        ]
        for key in keys
    }
    return [
        _row(key, rule, tuple(seeds), cells[key.network, key.grouping])
        for rule in RULES
        for key in keys
    ]


def _row(key: RowKey, rule: str, seeds: tuple[int, ...], cells: Sequence[dict[str, Any]]) -> Row:
    runs: dict[str, list[float | None]] = {name: [] for name in COLUMNS}
    for cell in cells:
        found = cell["methods"][key.method]
        for name, (_, pick) in COLUMNS.items():
            runs[name].append(pick(cell, found, found["rules"][rule]))
    return Row(
        **key._asdict(),
        rule=rule,
        seeds=seeds,
        figures={name: mean_and_deviation(values) for name, values in runs.items()},
        runs=runs,
    )


def main_rows(rows: Sequence[Row]) -> list[Row]:
    """Return the rows of Tables 3 and 4: one network for both branches, super-BPD."""
    return [row for row in rows if row.grouping == SUPER_BPD and row.network != "separate"]


def strategy_rows(rows: Sequence[Row]) -> list[Row]:
    """Return the rows of Table 5, nothing where two networks were not compared."""
    if not any(row.network == "separate" for row in rows):
        return []
    single = [row for row in main_rows(rows) if row.method in ABLATED]
    return [*single, *(row for row in rows if row.network == "separate")]


def clustering_rows(rows: Sequence[Row]) -> list[Row]:
    """Return the rows of Table 6, nothing where groupings were not compared."""
    others = [row for row in rows if row.grouping != SUPER_BPD]
    compared = {row.method for row in others}
    return [*(row for row in main_rows(rows) if row.method in compared), *others]


def as_json(
    rows: Sequence[Row], protocol: GossProtocol, recipe: str, images: int
) -> dict[str, Any]:
    """Return the content of results.json; figures in [0, 1]."""
    return {
        "protocol": protocol.name,
        "evaluated_on": f"{protocol.dataset} {protocol.split}",
        "images": images,
        "recipe": recipe,
        "unknown_classes": list(protocol.truth.held_out),
        "min_area_pixels": GOSS_MIN_AREA,
        "rules": RULES,
        "rows": [
            {
                "method": row.method,
                "network": row.network,
                "grouping": row.grouping,
                "rule": row.rule,
                "seeds": list(row.seeds),
                **{
                    name: {"mean": mean, "std": deviation, "runs": row.runs[name]}
                    for name, (mean, deviation) in row.figures.items()
                },
            }
            for row in rows
        ],
    }


def as_markdown(rows: Sequence[Row], protocol: GossProtocol, recipe: str, images: int) -> str:
    """Return all tables with their conditions; percent."""
    parts = [f"# GOSS: {protocol.name}", caption(rows, protocol, recipe, images)]
    tables = (
        ("Methods (Tables 3 and 4 of the paper)", main_rows(rows), MAIN),
        ("One network or two (Table 5)", strategy_rows(rows), ("miou", *GS, *GOSS)),
        ("Grouping (Table 6)", clustering_rows(rows), (*GS, *GOSS)),
    )
    for title, chosen, columns in tables:
        if chosen:
            parts.append(f"## {title}")
        for rule, meaning in RULES.items() if chosen else ():
            parts.append(f"Threshold: {meaning}.")
            parts.append(_table([row for row in chosen if row.rule == rule], columns))
    return "\n\n".join(parts) + "\n"


def _table(rows: Sequence[Row], columns: Sequence[str]) -> str:
    header = ["Identification", "Strategy", "Clustering", *(COLUMNS[name][0] for name in columns)]
    body = [[*labels(row), *(spread(*row.figures[name]) for name in columns)] for row in rows]
    return markdown_table(header, body, text_columns=3)


def labels(row: Row) -> list[str]:
    """Return method, strategy and grouping of a row, as printed."""
    strategy = "separate" if row.network == "separate" else "single"
    return [METHODS[row.method].title, strategy, GROUPING_TITLES[row.grouping]]


def caption(rows: Sequence[Row], protocol: GossProtocol, recipe: str, images: int) -> str:
    """Return what the columns mean, and the conditions."""
    count = len(rows[0].seeds)
    over = f"; mean ± standard deviation over {count} seeds" if count > 1 else "; one seed"
    return (
        f"{protocol.dataset} {protocol.split}, {images} images, recipe {recipe}{over}. In percent. "
        f"Unknown: {', '.join(protocol.truth.held_out)}. AUROC, AUPR, FPR95: pooled over all "
        "pixels. mIoU classes: closed set. mIoU: mean over the true segments of whole images of "
        "the best IoU with a cluster. GQ: GOSS quality of the known classes (kn), the unknown "
        f"segments (uk), both, and the partition (clu); *: true segments below {GOSS_MIN_AREA} "
        "pixels void. Thresholds and smallest objects are fixed or come from training images."
    )
