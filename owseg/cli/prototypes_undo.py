"""`owseg prototypes undo`: revert the last change of a store."""

from __future__ import annotations

import argparse

from owseg.cli.prototypes import add_store_argument, print_change
from owseg.prototypes import PrototypeStore

SUMMARY = "revert the last change of a store"
EXAMPLE = "owseg prototypes undo classes.db"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_store_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    with PrototypeStore(args.store) as store:
        print_change(args.store, store.undo())
    return 0
