"""`owseg meta eval`: what a meta classifier changes, at one threshold or several."""

from __future__ import annotations

import argparse
import json
from contextlib import closing
from pathlib import Path
from typing import Any

from owseg.cli.common import Bar, need
from owseg.cli.meta_common import add_run_arguments, open_run
from owseg.meta.model import load_meta
from owseg.meta.run import evaluate_meta

SUMMARY = "count false and missed objects without and with a meta classifier"
EXAMPLE = "owseg meta eval --data camvid --root CamVid --split val --meta meta.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_run_arguments(parser, split="val")
    parser.add_argument("--meta", type=Path, required=True, help="file of 'owseg meta fit'")
    parser.add_argument(
        "--thresholds",
        type=float,
        nargs="+",
        metavar="T",
        help="anomaly thresholds (default: that which the meta classifier was fitted at)",
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    need(
        args.thresholds is None or (args.threshold is None and args.operating_point is None),
        "--thresholds already says it; leave --threshold and --operating-point out",
    )
    classifier = load_meta(args.meta)
    chosen = args.threshold is not None or args.operating_point is not None
    rows = []
    with open_run(args) as measuring:
        pipeline, images = measuring.pipeline, measuring.images
        classifier.check(pipeline.manifest)
        default = [pipeline.threshold if chosen else classifier.threshold]
        for threshold in args.thresholds or default:
            pipeline.threshold = threshold
            with closing(Bar(len(images.samples), f"{images.title}, {threshold:.3f}")) as bar:
                figures = evaluate_meta(
                    pipeline,
                    measuring.recorder,
                    classifier,
                    bar(images.samples),
                    images.truth_map,
                )
            rows.append({"threshold": threshold, **figures.as_dict()})
    if args.json:
        print(json.dumps({"data": images.name, "kind": classifier.kind, "rows": rows}, indent=2))
    else:
        _print(rows)
    return 0


def _print(rows: list[dict[str, Any]]) -> None:
    print("           without                          with")
    print("threshold  false missed    F1  delta        false missed    F1  delta")
    for row in rows:
        sides = "        ".join(_side(row[key]) for key in ("before", "after"))
        print(f"{row['threshold']:9.3f}  {sides}")


def _side(counts: dict[str, Any]) -> str:
    f1 = "    -" if counts["f1"] is None else f"{counts['f1']:5.2f}"
    delta = "     -" if counts["delta"] is None else f"{100 * counts['delta']:5.2f}%"
    return f"{counts['false']:5d} {counts['missed']:6d} {f1} {delta}"
