"""`owseg prototypes`: the commands that look after a prototype store."""

from __future__ import annotations

import argparse
from pathlib import Path

from owseg.prototypes import Change

SUMMARY = "learn new classes and look after those learnt"
EXAMPLE = "owseg prototypes list classes.db"

COMMANDS = {
    "add": ("owseg.cli.prototypes_add", "learn a new class from a few examples"),
    "list": ("owseg.cli.prototypes_list", "list the classes of a store"),
    "rename": ("owseg.cli.prototypes_rename", "give a class another name"),
    "remove": ("owseg.cli.prototypes_remove", "take a class out of a store; undo brings it back"),
    "undo": ("owseg.cli.prototypes_undo", "revert the last change of a store"),
}
"""Commands by name: module and summary, as in the table of `owseg.cli.main`."""


def add_store_argument(parser: argparse.ArgumentParser) -> None:
    """Add the path of the store."""
    parser.add_argument("store", type=Path, metavar="STORE", help="prototype store, a file")


def print_change(path: Path, change: Change) -> None:
    """Say in one line what happened, and the version that it made."""
    print(f"{change.text}; {path} is at version {change.version}")
