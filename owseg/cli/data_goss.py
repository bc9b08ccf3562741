"""`owseg data goss`: a data set in; images, labels and segments of a GOSS benchmark out."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from owseg.cli.common import Bar, need
from owseg.datasets import Sample, open_dataset
from owseg.datasets.goss import BENCHMARKS, MANIFEST, build_goss
from owseg.replay.runner import make_folder

SUMMARY = "make a GOSS benchmark: known classes, unknown segments"
EXAMPLE = "owseg data goss cityscapes_16_3 --root cityscapes --out cityscapes_goss"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("benchmark", choices=sorted(BENCHMARKS), help="which benchmark")
    parser.add_argument("--root", type=Path, required=True, help="folder of the data set")
    parser.add_argument("--out", type=Path, required=True, help="folder for the benchmark")
    parser.add_argument(
        "--test-split",
        metavar="SPLIT",
        help="take the test images from another split, e.g. val while developing",
    )
    parser.add_argument("--json", action="store_true", help=f"print {MANIFEST}")


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    benchmark = BENCHMARKS[args.benchmark]
    need(
        args.root.resolve() != args.out.resolve(),
        f"--out {args.out} is the folder of the data set; choose another",
    )
    splits = benchmark.splits[0], args.test_split or benchmark.splits[1]
    train, test = (open_dataset(benchmark.dataset, args.root, split) for split in splits)
    make_folder(args.out)
    manifest = build_goss(benchmark, (train, test), args.out, _bar)
    if args.json:
        print(json.dumps(manifest, indent=2))
    else:
        _print(manifest, args.out)
    return 0


def _bar(samples: Iterable[Sample], total: int, title: str) -> Iterator[Sample]:
    with closing(Bar(total, title)) as bar:
        yield from bar(samples)


def _print(manifest: dict[str, Any], out: Path) -> None:
    print(f"classes      {len(manifest['known'])} known, {len(manifest['unknown'])} unknown")
    published = manifest["published"] or (None, None)
    for (name, split), images in zip(manifest["splits"].items(), published, strict=True):
        note = "" if images in (None, split["images"]) else f" (published: {images})"
        unknown = f", {split['unknown_segments']} unknown" if split["unknown_segments"] else ""
        print(f"{name:<12} {split['images']} images{note}, {split['segments']} segments{unknown}")
    print(f"manifest     {out / MANIFEST}")
