"""`owseg incremental`: learn classes from a few images, and compare the methods."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from owseg.cli.common import positive_int
from owseg.replay.runner import write_json
from owseg_training.experiments.options import (
    add_comparison_arguments,
    chosen,
    each_once,
    needs_torch,
)

SUMMARY = "learn classes from a few images and compare the methods"
EXAMPLE = "owseg incremental camvid_10+1 --root CamVid --out runs/incremental"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_comparison_arguments(
        parser,
        "camvid_10+1, camvid_8+3, cityscapes_16+1, _16+3",
        "ft, plm_latest, plm_all, npm, upper (default: all; upper trains a network)",
        "base and upper bound",
    )
    parser.add_argument(
        "--shots", type=positive_int, nargs="+", default=[1, 5], metavar="N", help="(1 5)"
    )
    parser.add_argument("--base", type=Path, help="checkpoint of the base (default: trained)")
    parser.add_argument("--upper", type=Path, help="checkpoint of the upper bound (likewise)")
    parser.add_argument(
        "--shot-manifests", type=Path, metavar="DIR", help="use these shots instead of drawing"
    )
    parser.add_argument(
        "--steps", type=positive_int, help="optimiser steps of a head and of fine-tuning (200)"
    )


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    with needs_torch("owseg incremental"):
        from owseg_training.incremental.runner import METHODS, RunOptions, run_protocol
        from owseg_training.parallel import refuse_several
    from owseg_training.incremental.protocols import get_protocol

    refuse_several("owseg incremental")
    options = RunOptions(
        protocol=get_protocol(args.protocol),
        root=args.root,
        out=args.out,
        shots=each_once(args.shots, "--shots"),
        seeds=each_once(args.seeds, "--seeds"),
        methods=chosen(args.methods, METHODS, "method"),
        base=args.base,
        upper=args.upper,
        recipe=args.recipe,
        shot_manifests=args.shot_manifests,
    )
    if args.steps:
        options = replace(options, config=replace(options.config, steps=args.steps))
    images = run_protocol(options)
    _write(options, images)
    return 0


def _write(options: Any, images: int) -> None:
    """Write the table as JSON, Markdown and picture, and print it."""
    from owseg_training.incremental.plot import plot_table
    from owseg_training.incremental.table import (
        as_json,
        as_text,
        gather,
        write_markdown,
    )

    protocol, out = options.protocol, options.out
    rows = gather(out, protocol, options.methods, options.shots, options.seeds)
    write_json(out / "results.json", as_json(rows, protocol, images))
    write_markdown(rows, protocol, images, out / "table.md")
    plot_table(rows, protocol, out / "table.png")
    print(as_text(rows, protocol, images))
    print(f"\n{out / 'results.json'}\n{out / 'table.md'}\n{out / 'table.png'}")
