"""The commands that make the rows of a table."""

from __future__ import annotations

from owseg_export.tables.benchmarks import BENCHMARKS
from owseg_export.tables.networks import ENSEMBLE, MEMBERS, NETWORKS, recipe_name


def commands(network: str, benchmark: str, table: str, base: str | None) -> list[str]:
    """Return the commands that make the rows of a network: training, and all the rest.

    The second does the first too. Folders are written DIR, COCO and RUNS, the seed SEED.

    Args:
        network: name in `NETWORKS`, or "ensemble".
        benchmark: name in `BENCHMARKS`.
        table: name of the table.
        base: recipe whose variants the networks are; None = that of the benchmark.
    """
    where = BENCHMARKS[benchmark]
    own = MEMBERS if network == ENSEMBLE else network
    roots = [f"{name}=DIR" for name in where.datasets]
    roots += ["coco=COCO"] if NETWORKS[own].outliers else []
    words = f"owseg table {table} --on {benchmark} --root {' '.join(roots)} --out RUNS"
    seeds = "SEEDS" if network == ENSEMBLE else "SEED"
    words += (f" --recipe {base}" if base else "") + f" --networks {network} --seeds {seeds}"
    recipe = recipe_name(where.source, own, base)
    if recipe is None:
        return [words]
    outliers = " --outliers COCO" if NETWORKS[own].outliers else ""
    return [
        f"owseg train {recipe} --truth-map {where.source.train.truth_map} --seed SEED --root DIR"
        f"{outliers} --out RUNS/models/{where.source.name}/{own}-SEED",
        words,
    ]
