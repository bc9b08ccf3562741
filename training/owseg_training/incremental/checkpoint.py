"""Checkpoints of a network with heads: base, heads, configuration and shots in one file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from owseg.errors import InputError
from owseg_training.checkpoint import (
    FORMAT,
    Checkpoint,
    checkpoint_from_dict,
    checkpoint_to_dict,
    read_payload,
    write_payload,
)
from owseg_training.config import Recipe
from owseg_training.incremental.config import IncrementalConfig, incremental_config_from_dict
from owseg_training.incremental.network import PLMNetwork
from owseg_training.incremental.shots import ShotManifest, manifest_from_dict
from owseg_training.models import DMLNet, build_network


@dataclass(frozen=True, kw_only=True)
class PLMCheckpoint:
    """A base network and the heads that were trained later.

    Attributes:
        base: checkpoint of the base, without the state of its training.
        config: how the heads were trained.
        shots: what each head was trained on, in the order of the heads.
        heads: state dict of each head.
    """

    base: Checkpoint
    config: IncrementalConfig
    shots: tuple[ShotManifest, ...]
    heads: tuple[dict[str, Any], ...]

    @property
    def recipe(self) -> Recipe:
        """The recipe of the base."""
        return self.base.recipe

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of all classes: the base, then one for each head."""
        return (*self.base.class_names, *(shot.class_name for shot in self.shots))


def plm_checkpoint(
    base: Checkpoint,
    network: PLMNetwork,
    config: IncrementalConfig,
    shots: Sequence[ShotManifest],
) -> PLMCheckpoint:
    """Gather what is needed to rebuild a network with heads."""
    return PLMCheckpoint(
        base=replace(base, network={}, optimizer={}, history={}),
        config=config,
        shots=tuple(shots),
        heads=tuple(head.state_dict() for head in network.heads),
    )


def save_plm(checkpoint: PLMCheckpoint, path: Path) -> None:
    """Write a checkpoint so that the old or the new file is there, never half of one.

    Raises:
        OutputError: the folder cannot be written.
    """
    payload = {
        "format": FORMAT,
        "base": checkpoint_to_dict(checkpoint.base),
        "config": json.dumps(asdict(checkpoint.config)),
        "shots": json.dumps([asdict(shot) for shot in checkpoint.shots]),
        "heads": list(checkpoint.heads),
    }
    write_payload(payload, path)


def load_plm(path: str | Path) -> PLMCheckpoint:
    """Read a checkpoint with heads.

    Raises:
        InputError: the file is missing, damaged or has no heads.
        UsageError: it has settings that this version lacks.
    """
    raw = read_payload(path)
    if "heads" not in raw:
        raise InputError(f"{path} has no heads of classes that were learnt later")
    return _from_dict(raw, path)


def load_any(path: str | Path) -> Checkpoint | PLMCheckpoint:
    """Read a checkpoint with or without heads.

    Raises:
        InputError: the file is missing, damaged or not one of ours.
        UsageError: it has settings that this version lacks.
    """
    raw = read_payload(path)
    return _from_dict(raw, path) if "heads" in raw else checkpoint_from_dict(raw, path)


def _from_dict(raw: dict[str, Any], path: str | Path) -> PLMCheckpoint:
    try:
        checkpoint = PLMCheckpoint(
            base=checkpoint_from_dict(raw["base"], path),
            config=incremental_config_from_dict(json.loads(raw["config"])),
            shots=tuple(manifest_from_dict(shot) for shot in json.loads(raw["shots"])),
            heads=tuple(raw["heads"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"the checkpoint {path} lacks or garbles a field: {error!r}") from error
    if len(checkpoint.heads) != len(checkpoint.shots):
        raise InputError(
            f"the checkpoint {path} has {len(checkpoint.heads)} heads for "
            f"{len(checkpoint.shots)} classes"
        )
    return checkpoint


def base_network(checkpoint: Checkpoint, path: str | Path) -> DMLNet:
    """Build the averaged network of a checkpoint, in evaluation mode.

    Raises:
        InputError: its weights do not fit its recipe; `path` is what the message calls the file.
    """
    network = build_network(checkpoint.recipe.network, len(checkpoint.class_names))
    try:
        network.load_state_dict(checkpoint.average)
    except RuntimeError as error:
        raise InputError(f"the weights in {path} do not fit the network of its recipe") from error
    return network.eval()


def plm_network(checkpoint: PLMCheckpoint, path: str | Path) -> PLMNetwork:
    """Build a network with its heads, frozen.

    Raises:
        InputError: weights do not fit the recipe; `path` is what the message calls the file.
    """
    network = PLMNetwork(base_network(checkpoint.base, path))
    for state in checkpoint.heads:
        head = network.new_head()
        try:
            head.load_state_dict(state)
        except RuntimeError as error:
            raise InputError(f"a head in {path} does not fit the network of its base") from error
        network.add(head)
    return network
