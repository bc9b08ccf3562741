"""`owseg table`: redraw a table of the papers from stored runs, and run what is missing."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from owseg.cli.common import need
from owseg.replay.runner import make_folder, write_json
from owseg_training.experiments.options import chosen, each_once, needs_torch, seed_int
from owseg_training.experiments.text import write_text

if TYPE_CHECKING:
    from owseg_export.tables.draw import Request
    from owseg_export.tables.text import Drawn

SUMMARY = "redraw a table of the papers from stored runs, and run what is missing"
EXAMPLE = "owseg table dmlnet_1 --on camvid_a --root CamVid --out runs/tables"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "table", help="dmlnet_1, dmlnet_2, dmlnet_3, unknown_1, unknown_2, or scores (everything)"
    )
    parser.add_argument(
        "--on",
        nargs="+",
        metavar="B",
        help="camvid_a, camvid_b, camvid_c, street_hazards, lost_and_found, road_anomaly, "
        "lost_and_found_no_known, road_obstacle21 (default: those of the paper; scores: camvid_a)",
    )
    parser.add_argument(
        "--root",
        nargs="+",
        action="extend",
        default=[],
        metavar="[DATASET=]DIR",
        help="folder of each data set, e.g. camvid=CamVid coco=COCO; DIR where there is but one",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument(
        "--seeds", type=seed_int, nargs="+", default=[0, 1, 2], metavar="S", help="(0 1 2)"
    )
    parser.add_argument("--networks", nargs="+", metavar="N", help="only these (default: all)")
    parser.add_argument("--scores", nargs="+", metavar="S", help="of the table scores, only these")
    parser.add_argument("--recipe", help="recipe whose variants are trained (default: by --on)")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--stored", action="store_true", help="redraw what is there, run nothing")
    what.add_argument(
        "--no-train", action="store_true", help="measure networks that are trained, train none"
    )
    parser.add_argument("--into", type=Path, metavar="FILE", help="also put it into a text file")


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    with needs_torch("owseg table"):
        from owseg_export.tables.draw import Request, draw, make_command
        from owseg_training.parallel import refuse_several
    from owseg_export.tables.benchmarks import get_benchmark, parse_roots
    from owseg_export.tables.gather import known_scores, table_of
    from owseg_export.tables.networks import ENSEMBLE, NETWORKS
    from owseg_export.tables.papers import check_table
    from owseg_export.tables.runner import RunOptions

    refuse_several("owseg table")
    check_table(args.table)
    networks = None
    if args.networks is not None:
        networks = chosen(args.networks, (*NETWORKS, ENSEMBLE), "network")
    scores = None if args.scores is None else chosen(args.scores, known_scores(), "score")
    need(scores is None or args.table == "scores", "--scores is for the table scores")
    table = table_of(args.table, networks, scores)
    benchmarks = tuple(get_benchmark(name) for name in args.on or table.benchmarks)
    request = Request(
        table=table,
        benchmarks=benchmarks,
        networks=networks,
        seeds=each_once(args.seeds, "--seeds"),
        stored=args.stored,
        options=RunOptions(
            out=args.out,
            roots=parse_roots(args.root, benchmarks),
            base=args.recipe,
            train=not args.no_train,
        ),
    )
    drawn = draw(request)
    _write(drawn, request, args.into)
    for key in drawn.missing:
        print(f"not run: {key.name} on {key.benchmark}: {make_command(key, request)}")
    return 0


def _write(drawn: Drawn, request: Request, into: Path | None) -> None:
    """Write the table as JSON, Markdown and picture, and print it."""
    from owseg_export.tables.insert import insert
    from owseg_export.tables.plot import plot
    from owseg_export.tables.text import as_json, as_markdown

    text = as_markdown(drawn)
    name = "_".join([drawn.table.name, *drawn.rows])
    folder = request.options.out / "tables" / name
    make_folder(folder)
    write_json(folder / "results.json", as_json(drawn))
    write_text(text, folder / "table.md")
    plot(drawn, folder / "table.png")
    if into is not None:
        write_text(insert(text, into, f"owseg table {name}"), into)
    print(text)
    for file in ("results.json", "table.md", "table.png"):
        print(folder / file)
