"""`owseg data check`: says what is wrong with a data set on disk."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

from owseg.cli.common import Bar
from owseg.datasets import READERS, Sample
from owseg.datasets.check import Report, SplitReport, check_dataset

SUMMARY = "say what is wrong with a data set on disk; exit code 1 where anything is"
EXAMPLE = "owseg data check cityscapes /data/cityscapes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("name", choices=sorted(READERS), help="data set")
    parser.add_argument("root", type=Path, help="folder of the data set")
    parser.add_argument("--split", default="", help="only this split (default: all)")
    parser.add_argument(
        "--names-only",
        action="store_true",
        help="compare names and numbers; do not open the files, which can take minutes",
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    report = check_dataset(
        READERS[args.name], args.root, _bar, split=args.split, open_files=not args.names_only
    )
    if args.json:
        print(json.dumps(report.as_dict(), indent=2))
    else:
        _print(report)
    return 1 if report.findings else 0


def _bar(samples: Iterable[Sample], total: int, title: str) -> Iterator[Sample]:
    with closing(Bar(total, title)) as bar:
        yield from bar(samples)


def _print(report: Report) -> None:
    for split in report.splits:
        print(f"{split.name:<12} {_summary(split)}")
        for finding in split.findings:
            print(f"{'':<12} wrong: {finding.text}")
        for note in split.notes:
            print(f"{'':<12} note: {note}")
    for note in report.notes:
        print(f"{'note':<12} {note}")
    opened = "" if report.opened else ", by the names only"
    count = report.findings
    verdict = f"{count} finding{'s' * (count > 1)}" if count else "fine"
    print(f"{'verdict':<12} {verdict}{opened}")


def _summary(split: SplitReport) -> str:
    if not split.there:
        return "not there"
    published = "" if split.published is None else f" (published: {split.published})"
    return f"{split.images} images{published}, {split.pairs} with a label map"
