"""What a checkpoint must be to serve as base or upper bound of a protocol."""

from __future__ import annotations

import hashlib
from pathlib import Path

from owseg.errors import UsageError
from owseg_training.checkpoint import Checkpoint
from owseg_training.config import Recipe
from owseg_training.incremental.protocols import Protocol


def check_base(base: Checkpoint, protocol: Protocol, path: Path) -> None:
    """Refuse a base network that knows a new class, or does not know the base classes.

    Raises:
        UsageError: it does not fit; the message says how to train one that does.
    """
    remedy = f"train one with --truth-map {protocol.base_map}"
    seen = [name for name in protocol.novel if name in base.class_names]
    if seen:
        raise UsageError(
            f"the base {path} was trained with {_and(seen)}, which {protocol.name} learns later; "
            f"{remedy}"
        )
    if base.class_names != protocol.base_names:
        raise UsageError(
            f"the base {path} knows {_and(base.class_names)}; {protocol.name} starts with "
            f"{_and(protocol.base_names)}: {remedy}"
        )
    if base.recipe.network.head != "metric":
        raise UsageError(
            f"the base {path} has a softmax head; the methods need distances to prototypes: "
            "train it by a recipe with a metric head"
        )


def check_recipe(recipe: Recipe) -> None:
    """Refuse a recipe whose network the methods cannot start from.

    Raises:
        UsageError: it has a softmax head.
    """
    if recipe.network.head != "metric":
        raise UsageError(
            f"the recipe '{recipe.name}' has a softmax head; the methods need distances to "
            "prototypes: choose one with a metric head"
        )


def check_upper(upper: Checkpoint, protocol: Protocol, path: Path) -> None:
    """Refuse an upper bound that does not know exactly the classes of the protocol.

    Raises:
        UsageError: it does not fit; the message says how to train one that does.
    """
    if sorted(upper.class_names) != sorted(protocol.names):
        raise UsageError(
            f"the upper bound {path} knows {_and(upper.class_names)}; {protocol.name} needs all of "
            f"{_and(protocol.names)}: train one with --truth-map {protocol.full_map}"
        )


def weights_digest(checkpoint: Checkpoint) -> str:
    """Return a SHA-256 of the averaged weights, which are those in use."""
    digest = hashlib.sha256()
    for name, value in sorted(checkpoint.average.items()):
        digest.update(name.encode())
        digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _and(names: tuple[str, ...] | list[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
