"""Command-line options that experiments share."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from owseg.errors import UsageError

LARGEST_SEED = 2**32 - 1
"""Of numpy's global generator."""


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
