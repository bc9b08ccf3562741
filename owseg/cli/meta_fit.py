"""`owseg meta fit`: a meta classifier from labelled images."""

from __future__ import annotations

import argparse
import json
from contextlib import closing
from pathlib import Path

from owseg.cli.common import Bar
from owseg.cli.meta_common import add_run_arguments, open_run
from owseg.errors import OutputError
from owseg.meta.fit import MetaOptions, fit_meta
from owseg.meta.model import KINDS
from owseg.meta.run import measure_objects
from owseg.replay.runner import make_folder

SUMMARY = "fit a meta classifier to labelled images; needs scikit-learn"
EXAMPLE = "owseg meta fit --data camvid --root CamVid --split train --out meta.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_run_arguments(parser, split="train")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument(
        "--kind", choices=tuple(KINDS), default=MetaOptions.kind, help=f"({MetaOptions.kind})"
    )
    parser.add_argument(
        "--max-missed",
        type=float,
        default=MetaOptions.max_missed,
        metavar="SHARE",
        help="share of the found objects that may be lost on drives that the fit has not seen "
        f"({MetaOptions.max_missed:g})",
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    make_folder(args.out.parent)
    if args.out.is_dir():
        raise OutputError(f"cannot write {args.out}: it is a folder; name a file with --out")
    with open_run(args) as measuring:
        pipeline, images = measuring.pipeline, measuring.images
        options = MetaOptions(
            kind=args.kind,
            max_missed=args.max_missed,
            threshold=pipeline.threshold,
            fitted_on=images.name,
        )
        with closing(Bar(len(images.samples), images.title)) as bar:
            objects = measure_objects(
                pipeline, measuring.recorder, bar(images.samples), images.truth_map
            )
        classifier = fit_meta(objects, pipeline.manifest.class_names, options)
    classifier.save(args.out)
    figures = {"threshold": options.threshold, "keep_above": classifier.keep_above}
    figures |= dict(classifier.figures)
    if args.json:
        print(json.dumps(figures, indent=2))
        return 0
    lost = figures["found_lost"]
    print(f"unknown      {figures['true']} on true objects, {figures['false']} false")
    print(
        f"judged       by others ({figures['left_out_in_turn']}): drops "
        f"{100 * float(figures['false_dropped']):.1f} % of the false ones and loses "
        f"{'-' if lost is None else f'{100 * float(lost):.1f}'} % of {figures['found']} objects"
    )
    print(f"written      {args.out}")
    return 0
