"""`owseg prototypes list`: the classes of a store, as a table or as JSON."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from owseg.cli.prototypes import add_store_argument
from owseg.prototypes import NovelClass, PrototypeSet, PrototypeStore

SUMMARY = "list the classes of a store"
EXAMPLE = "owseg prototypes list classes.db"

COLUMNS = ("id", "name", "colour", "prototypes", "radius", "shots", "pixels", "changed")
_LEFT = {"name", "colour", "changed"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_store_argument(parser)
    parser.add_argument("--json", action="store_true", help="print the classes as JSON")


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    with PrototypeStore(args.store, read_only=True) as store:
        found = store.read()
    if args.json:
        print(json.dumps(as_json(args.store, found), indent=2))
    else:
        for line in as_lines(args.store, found):
            print(line)
    return 0


def as_json(path: Path, found: PrototypeSet) -> dict[str, Any]:
    """Return the set without its vectors; times are nanoseconds since the epoch."""
    return {
        "store": str(path),
        "version": found.version,
        "space": found.space,
        "classes": [
            {
                "id": item.id,
                "name": item.name,
                "color": list(item.color),
                "prototypes": len(item.vectors),
                "embedding_size": item.vectors.shape[1],
                "radius": item.radius,
                "shots": [asdict(shot) for shot in item.shots],
                "created_ns": item.created_ns,
                "changed_ns": item.changed_ns,
            }
            for item in found.classes
        ],
    }


def as_lines(path: Path, found: PrototypeSet) -> list[str]:
    """Return a head line and a table for people; times are local."""
    model = f"model {found.space[:12]}" if found.space else "of no model yet"
    head = f"{path}: version {found.version}, {model}"
    if not found.classes:
        return [head, "no classes; 'owseg prototypes add' learns one"]
    rows = [COLUMNS, *(_cells(item) for item in found.classes)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    return [head, *(_line(row, widths) for row in rows)]


def _cells(item: NovelClass) -> tuple[str, ...]:
    changed = datetime.fromtimestamp(item.changed_ns // 10**9)
    return (
        str(item.id),
        item.name,
        f"#{bytes(item.color).hex()}",
        str(len(item.vectors)),
        f"{item.radius:.4g}",
        str(len(item.shots)),
        str(sum(shot.pixels for shot in item.shots)),
        changed.strftime("%Y-%m-%d %H:%M:%S"),
    )


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    parts = zip(COLUMNS, cells, widths, strict=True)
    padded = (cell.ljust(w) if name in _LEFT else cell.rjust(w) for name, cell, w in parts)
    return "  ".join(padded).rstrip()
