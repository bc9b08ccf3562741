"""`owseg prototypes remove`: take a class out of a store."""

from __future__ import annotations

import argparse

from owseg.cli.prototypes import add_store_argument, print_change
from owseg.prototypes import PrototypeStore

SUMMARY = "take a class out of a store; undo brings it back"
EXAMPLE = "owseg prototypes remove classes.db car"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_store_argument(parser)
    parser.add_argument("name", metavar="NAME", help="name of the class")


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    with PrototypeStore(args.store) as store:
        print_change(args.store, store.remove(args.name))
    return 0
