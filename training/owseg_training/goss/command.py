"""`owseg goss`: compare methods of generalised open-set segmentation."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

from owseg.cli.common import positive_int
from owseg.replay.runner import write_json
from owseg_training.experiments.options import (
    add_comparison_arguments,
    chosen,
    each_once,
    needs_torch,
)

SUMMARY = "train and compare methods that find and group unknown objects (GOSS)"
EXAMPLE = "owseg goss camvid_a --root CamVid --out runs/goss_a"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_comparison_arguments(
        parser,
        "camvid_a, camvid_b, cityscapes_16_3, cityscapes_13_6",
        "msp, max_logit, dml, n_plus_1, n_plus_1_ca, gst, gst_strange, gst_open, gst_n; "
        "separate (two networks instead of one) and dfc (another grouping), both with msp and "
        "max_logit; components (another grouping, with all that are named) (default: all)",
        "the networks",
    )
    parser.add_argument("--split", help="split that is evaluated (val)")
    parser.add_argument(
        "--dfc-steps", type=positive_int, help="most optimiser steps for an image of dfc (100)"
    )


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    with needs_torch("owseg goss"):
        from owseg_training.goss.runner import RunOptions, run_comparison
        from owseg_training.parallel import refuse_several
    from owseg_training.goss.methods import ABLATIONS, METHODS
    from owseg_training.goss.protocols import get_protocol

    refuse_several("owseg goss")
    protocol = get_protocol(args.protocol)
    if args.split:
        protocol = replace(protocol, split=args.split)
    options = RunOptions(
        protocol=protocol,
        root=args.root,
        out=args.out,
        seeds=each_once(args.seeds, "--seeds"),
        methods=chosen(args.methods, (*METHODS, *ABLATIONS), "method"),
        recipe=args.recipe,
    )
    if args.dfc_steps:
        options = replace(options, dfc=replace(options.dfc, steps=args.dfc_steps))
    images = run_comparison(options)
    _write(options, images)
    return 0


def _write(options: Any, images: int) -> None:
    """Write the tables as JSON, Markdown and picture, and print them."""
    from owseg_training.experiments.text import write_text
    from owseg_training.goss.plot import plot_rows
    from owseg_training.goss.table import as_json, as_markdown, gather

    protocol, out = options.protocol, options.out
    recipe = options.recipe or protocol.recipe
    rows = gather(out, options.methods, options.seeds)
    write_json(out / "results.json", as_json(rows, protocol, recipe, images))
    text = as_markdown(rows, protocol, recipe, images)
    write_text(text, out / "table.md")
    plot_rows(rows, protocol, out / "table.png")
    print(text)
    print(f"{out / 'results.json'}\n{out / 'table.md'}\n{out / 'table.png'}")
