"""Command-line options that experiments share."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from owseg.errors import MissingDependencyError, UsageError

LARGEST_SEED = 2**32 - 1
"""Of numpy's global generator."""


def add_comparison_arguments(
    parser: argparse.ArgumentParser, protocols: str, methods: str, networks: str
) -> None:
    """Add the options of a comparison of methods under a protocol.

    Args:
        parser: of the command.
        protocols: their names, for the help.
        methods: the names of the methods and what has to be said of them, likewise.
        networks: what a recipe is for, likewise.
    """
    parser.add_argument("protocol", help=protocols)
    parser.add_argument("--root", type=Path, required=True, help="folder of the data set")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--methods", nargs="+", metavar="M", help=f"of {methods}")
    parser.add_argument(
        "--seeds", type=seed_int, nargs="+", default=[0, 1, 2], metavar="S", help="(0 1 2)"
    )
    parser.add_argument("--recipe", help=f"recipe of {networks} (default: by protocol)")


@contextmanager
def needs_torch(command: str) -> Iterator[None]:
    """Say how to install what a command cannot import.

    Raises:
        MissingDependencyError: an import within failed.
    """
    try:
        yield
    except ImportError as error:
        raise MissingDependencyError(
            f"{command} needs torch ({error}): pip install 'owseg_ros[train]'"
        ) from error


def seed_int(text: str) -> int:
    """Parse a seed, for argparse."""
    if not text.isdecimal() or int(text) > LARGEST_SEED:
        raise argparse.ArgumentTypeError(
            f"expected a whole number from 0 to {LARGEST_SEED}, got '{text}'"
        )
    return int(text)


def each_once(values: Sequence[int], option: str) -> tuple[int, ...]:
    """Return the values of an option.

    Raises:
        UsageError: one is named twice.
    """
    if len(set(values)) < len(values):
        raise UsageError(f"{option} names a value twice: {' '.join(map(str, values))}")
    return tuple(values)


def chosen(names: Sequence[str] | None, known: Sequence[str], what: str) -> tuple[str, ...]:
    """Return the chosen names in their usual order; None = all.

    Raises:
        UsageError: there is no such name.
    """
    unknown = [name for name in names or () if name not in known]
    if unknown:
        raise UsageError(f"no {what} '{unknown[0]}'; there are {', '.join(known)}")
    return tuple(name for name in known if names is None or name in names)
