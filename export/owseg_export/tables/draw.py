"""From a request to a table: checks what is there, runs what is missing, gathers the rows."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from owseg.errors import UsageError
from owseg_export.tables.benchmarks import Benchmark
from owseg_export.tables.cells import CellKey, load_cell
from owseg_export.tables.gather import Cells, Row, needed, score_rows, segment_rows
from owseg_export.tables.networks import ENSEMBLE, NETWORKS
from owseg_export.tables.papers import PaperTable, SegmentTable
from owseg_export.tables.runner import Runner, RunOptions, recipe_of_key
from owseg_export.tables.text import Drawn


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is drawn.

    Attributes:
        table: the table.
        benchmarks: where.
        networks: names of networks; None = all of the table.
        seeds: seeds that the means are over.
        stored: run nothing.
        options: folders, and what may be run.
    """

    table: PaperTable | SegmentTable
    benchmarks: tuple[Benchmark, ...]
    networks: tuple[str, ...] | None
    seeds: tuple[int, ...]
    stored: bool
    options: RunOptions

    def __post_init__(self) -> None:
        """Refuse what no table can show."""
        names = [benchmark.name for benchmark in self.benchmarks]
        if len(set(names)) < len(names):
            raise UsageError(f"--on names a benchmark twice: {' '.join(names)}")
        if not self.chosen():
            raise UsageError(
                f"the table {self.table.name} has none of these networks; it has "
                f"{', '.join(self.table.networks)}"
            )
        for benchmark in self.benchmarks:
            if isinstance(self.table, SegmentTable) and benchmark.meta is None:
                raise UsageError(
                    f"{benchmark.name} has no images to fit a meta classifier on; choose another "
                    "--on"
                )

    def chosen(self) -> tuple[str, ...]:
        """Return the networks that are shown, in the order of the table."""
        wanted = self.networks or (*NETWORKS, ENSEMBLE)
        if isinstance(self.table, SegmentTable) and self.networks:
            return tuple(name for name in self.networks if name != ENSEMBLE)
        return tuple(name for name in self.table.networks if name in wanted)

    def keys(self, benchmark: Benchmark) -> list[CellKey]:
        """Return the cells that are needed of a benchmark."""
        return needed(self.table, benchmark.name, self.chosen(), self.seeds)


def draw(request: Request) -> Drawn:
    """Draw a table, and run what is missing unless only stored runs are asked for.

    Raises:
        UsageError: a folder is not given, or holds something made by another recipe.
        InputError: a cell or checkpoint cannot be read.
        DatasetError: a data set cannot be used.
        OutputError: the folder of runs cannot be written.
    """
    stored = {benchmark.name: dict(_stored(request, benchmark)) for benchmark in request.benchmarks}
    missing: dict[CellKey, str] = {}
    rows: dict[str, list[Row]] = {}
    if request.stored:
        for benchmark in request.benchmarks:
            absent = [key for key in request.keys(benchmark) if key not in stored[benchmark.name]]
            missing.update(dict.fromkeys(absent, "no stored run"))
    else:
        runners = [Runner(benchmark, request.options) for benchmark in request.benchmarks]
        for benchmark, runner in zip(request.benchmarks, runners, strict=True):
            for key in request.keys(benchmark):
                why = runner.make(key)
                if why:
                    missing[key] = why
            stored[benchmark.name] = dict(_stored(request, benchmark))
    for benchmark in request.benchmarks:
        rows[benchmark.name] = _rows(request, benchmark, stored[benchmark.name])
    return Drawn(table=request.table, rows=rows, missing=missing, base=request.options.base)


def _stored(request: Request, benchmark: Benchmark) -> Iterator[tuple[CellKey, dict[str, object]]]:
    """Yield the cells that are there, checked."""
    options = request.options
    for key in request.keys(benchmark):
        if key.path(options.out).is_file():
            recipe = recipe_of_key(key, benchmark, options)
            yield key, load_cell(key, recipe, None, options.out)


def _rows(request: Request, benchmark: Benchmark, cells: Cells) -> list[Row]:
    table, networks = request.table, request.chosen()
    if isinstance(table, SegmentTable):
        return segment_rows(table, benchmark.name, networks, cells)
    return score_rows(table, benchmark.name, networks, cells)


def make_command(key: CellKey, request: Request) -> str:
    """Return the command that makes a cell, with the folders that were given."""
    options = request.options
    benchmark = next(each for each in request.benchmarks if each.name == key.benchmark)
    names = [*benchmark.datasets]
    if key.network in NETWORKS and NETWORKS[key.network].outliers:
        names.append("coco")
    roots = [f"{name}={options.roots.get(name, 'DIR')}" for name in names]
    words = ["owseg", "table", request.table.name, "--on", key.benchmark, "--root", *roots]
    words += ["--out", str(options.out), "--networks", key.network]
    words += ["--seeds", *map(str, key.seeds)]
    if options.base:
        words += ["--recipe", options.base]
    return shlex.join(words)
