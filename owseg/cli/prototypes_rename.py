"""`owseg prototypes rename`: give a class another name."""

from __future__ import annotations

import argparse

from owseg.cli.prototypes import add_store_argument, print_change
from owseg.prototypes import PrototypeStore

SUMMARY = "give a class another name"
EXAMPLE = "owseg prototypes rename classes.db car taxi"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_store_argument(parser)
    parser.add_argument("old", metavar="OLD", help="name of the class")
    parser.add_argument("new", metavar="NEW", help="its new name")


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    with PrototypeStore(args.store) as store:
        print_change(args.store, store.rename(args.old, args.new))
    return 0
