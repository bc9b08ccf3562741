"""Checkpoints: weights, optimiser, step, loss history and the recipe that made them.

Written to a temporary file and renamed, so that an interrupted run keeps its
last good checkpoint. Read with `weights_only`: no code runs on loading.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from owseg.errors import InputError, OutputError
from owseg_training.config import Recipe, recipe_from_dict

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """The state of a run.

    Attributes:
        recipe: what is being run.
        class_names: names of the known classes, in the order of the embedding.
        step: optimiser steps done.
        network: state dict of the trained network.
        average: state dict of the weight average; the one to evaluate and export.
        optimizer: state dict of the optimiser.
        history: loss terms by name, one value a logged step.
    """

    recipe: Recipe
    class_names: tuple[str, ...]
    step: int
    network: dict[str, Any]
    average: dict[str, Any]
    optimizer: dict[str, Any]
    history: dict[str, list[float]]


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write a checkpoint so that the old or the new file is there, never half of one.

    Raises:
        OutputError: the folder cannot be written.
    """
    write_payload({"format": FORMAT, **checkpoint_to_dict(checkpoint)}, path)


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        InputError: the file is missing, damaged or not one of ours.
        UsageError: its recipe has fields that this version lacks.
    """
    raw = read_payload(path)
    if "heads" in raw:
        raise InputError(
            f"{path} has heads of classes that were learnt later; 'owseg export' reads it, here "
            "the checkpoint of its base is needed"
        )
    return checkpoint_from_dict(raw, path)


def checkpoint_to_dict(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return a checkpoint as tensors and plain types."""
    return {
        "recipe": json.dumps(checkpoint.recipe.to_dict()),
        "class_names": list(checkpoint.class_names),
        "step": checkpoint.step,
        "network": checkpoint.network,
        "average": checkpoint.average,
        "optimizer": checkpoint.optimizer,
        "history": checkpoint.history,
    }


def checkpoint_from_dict(raw: dict[str, Any], path: str | Path) -> Checkpoint:
    """Rebuild a checkpoint from `checkpoint_to_dict`.

    Raises:
        InputError: a field is missing or garbled; `path` is what the message calls the file.
        UsageError: its recipe has fields that this version lacks.
    """
    try:
        return Checkpoint(
            recipe=recipe_from_dict(json.loads(raw["recipe"])),
            class_names=tuple(raw["class_names"]),
            step=int(raw["step"]),
            network=raw["network"],
            average=raw["average"],
            optimizer=raw["optimizer"],
            history=raw["history"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"the checkpoint {path} lacks or garbles a field: {error!r}") from error


def write_payload(payload: dict[str, Any], path: Path) -> None:
    """Write tensors and plain types to a temporary file and rename it.

    Raises:
        OutputError: the folder cannot be written.
    """
    temporary = path.with_name(path.name + ".part")
    try:
        torch.save(payload, temporary)
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise OutputError(f"cannot write the checkpoint {path}: {reason}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def read_payload(path: str | Path) -> dict[str, Any]:
    """Read what `write_payload` wrote; no code runs on loading.

    Raises:
        InputError: the file is missing, damaged or of another format.
    """
    try:
        raw = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"no checkpoint at {path}") from error
    except Exception as error:
        raise InputError(
            f"{path} is not a readable checkpoint (truncated, or not written by owseg train)"
        ) from error
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        raise InputError(f"{path} is not a checkpoint of this version (format {FORMAT})")
    return raw
