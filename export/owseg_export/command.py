"""`owseg export`: from a checkpoint to a model bundle."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from owseg.errors import MissingDependencyError

SUMMARY = "export a checkpoint as a model bundle"
EXAMPLE = "owseg export runs/camvid_small/checkpoint.pt --root CamVid --out model.onnx"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("checkpoint", type=Path, help="of owseg train or incremental")
    parser.add_argument("--root", type=Path, required=True, help="folder of its data set")
    parser.add_argument("--out", type=Path, required=True, help="bundle to write, *.onnx")
    parser.add_argument("--score", help="anomaly score (default: as in the recipe)")
    parser.add_argument(
        "--form",
        choices=("constant", "paper"),
        help="constants fitted on training data, or the paper's per-image form "
        "(default: as in the recipe)",
    )
    parser.add_argument("--operating-point", default="fpr_1", help="default threshold (fpr_1)")


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    try:
        from owseg_export.export import ExportOptions, export_bundle
        from owseg_training.incremental.checkpoint import load_any
    except ImportError as error:
        raise MissingDependencyError(
            f"owseg export needs torch and onnx ({error}): pip install 'owseg_ros[train]'"
        ) from error
    wanted = load_any(args.checkpoint).recipe.score
    score = replace(wanted, method=args.score or wanted.method, form=args.form or wanted.form)
    options = ExportOptions(
        root=args.root, out=args.out, score=score, default_point=args.operating_point
    )
    manifest = export_bundle(args.checkpoint, options)
    size = args.out.stat().st_size / 1e6
    print(f"{args.out}  {size:.1f} MB, score {manifest.score['method']}")
    for point in manifest.operating_points:
        print(f"  {point.name:<8} threshold {point.threshold:.4f}")
    return 0
