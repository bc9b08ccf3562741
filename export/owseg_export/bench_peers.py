"""The same network in eager torch and in torch.compile, for `owseg bench`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from owseg.datasets import load_truth_map
from owseg.engines import Engine, PrototypeSlots
from owseg.errors import EngineError, UsageError
from owseg.manifest import Manifest, OperatingPoint
from owseg.types import ClassInfo
from owseg_export.graph import OpenWorldGraph
from owseg_export.to_onnx import export_onnx, save_onnx
from owseg_export.torch_engine import TorchEngine
from owseg_export.trained import fold_batch_norm, load_trained
from owseg_training.config import Recipe, recipe_from_dict
from owseg_training.incremental.network import PLMNetwork
from owseg_training.models import DMLNet, build_network
from owseg_training.models.dmlnet import MEAN, STD
from owseg_training.recipes import get_recipe
from owseg_training.scorers import CalibratedScore, Calibration

EAGER, COMPILED = "torch", "torch.compile"
SLOTS = 32

Network = DMLNet | PLMNetwork


class TorchPeers:
    """Networks in torch; see `owseg.bench.Peers`."""

    def names(self) -> tuple[str, ...]:
        """Return the ways to run a network."""
        return EAGER, COMPILED

    def open(
        self, name: str, manifest: Manifest, checkpoint: Path | None, device: str, threads: int
    ) -> Engine:
        """Return the network of a bundle as an engine, warmed up; see `Peers.open`."""
        network = _trained(checkpoint) if checkpoint else _random(manifest)
        if network.stride != manifest.stride:
            raise UsageError(f"the network of {checkpoint} is not that of '{manifest.name}'")
        graph = OpenWorldGraph(network, _score(manifest), metric=len(manifest.prototypes) > 0)
        wrap = torch.compile if name == COMPILED else None
        engine = TorchEngine(name, manifest, graph, device=device, threads=threads, wrap=wrap)
        _warm_up(engine)
        return engine

    def bundle(
        self, recipe: str | None, checkpoint: Path | None, size: tuple[int, int] | None, out: Path
    ) -> None:
        """Write a bundle for timing; see `Peers.bundle`."""
        if checkpoint is not None:
            trained = load_trained(checkpoint)
            network, found = trained.network, trained.checkpoint.recipe
            names = trained.class_names
            if recipe is not None and found.name != recipe:
                raise UsageError(f"{checkpoint} is of the recipe '{found.name}', not '{recipe}'")
        else:
            found = get_recipe(recipe or "")
            names = load_truth_map(found.data.truth_map).known_names
            network = _untrained(found, len(names))
        manifest = _manifest(found, names, network, size or found.network.size)
        metric = len(manifest.prototypes) > 0
        graph = OpenWorldGraph(network, _score(manifest), metric=metric).eval()
        save_onnx(export_onnx(graph, manifest), out)


def _warm_up(engine: TorchEngine) -> None:
    """Run once, which is when torch.compile compiles.

    Raises:
        EngineError: it cannot.
    """
    m = engine.manifest
    request = np.zeros((1, m.height, m.width, 3), np.uint8), PrototypeSlots.empty(m), 0.5
    try:
        engine.infer(*request)
        engine.infer(*request, ("embedding",))
    except EngineError:
        raise
    except Exception as error:  # torch.compile passes on whatever its compilers raise
        reason = " ".join(str(error).split())[:200]
        raise EngineError(f"{engine.name} failed on '{m.name}': {reason}") from error


def _random(manifest: Manifest) -> Network:
    """Build the network that a bundle was made from, with random weights."""
    raw = manifest.provenance.get("recipe")
    if not isinstance(raw, dict):
        raise UsageError(
            f"the bundle '{manifest.name}' does not say of which recipe it is; leave torch out"
        )
    recipe = recipe_from_dict(raw)
    network = _untrained(recipe, len(manifest.classes) - manifest.heads)
    if not manifest.heads:
        return network
    extended = PLMNetwork(network)
    for _ in range(manifest.heads):
        extended.add(extended.new_head())
    return extended


def _untrained(recipe: Recipe, classes: int) -> DMLNet:
    """Build a network as an export would have it: no batch normalisation of its own."""
    torch.manual_seed(0)
    network = build_network(recipe.network, classes).eval().requires_grad_(False)
    fold_batch_norm(network)
    return network


def _trained(checkpoint: Path) -> Network:
    return load_trained(checkpoint).network


def _score(manifest: Manifest) -> CalibratedScore:
    """Return the score of a bundle.

    Raises:
        UsageError: it has a state, which only the graph of the bundle holds.
    """
    if "state" in manifest.score:
        raise UsageError(
            f"torch cannot compute the score '{manifest.score['method']}' of '{manifest.name}': "
            "what was fitted is in the graph of the bundle only; leave torch out"
        )
    constants: Any = manifest.score.get("constants") or {}
    return CalibratedScore(
        str(manifest.score["method"]),
        str(manifest.score.get("form", "constant")),
        {name: Calibration(**pair) for name, pair in constants.items()},
        beta=float(manifest.score.get("beta", 1.0)),
    )


def _manifest(
    recipe: Recipe, names: tuple[str, ...], network: Network, size: tuple[int, int]
) -> Manifest:
    prototypes = network.prototypes.numpy()
    name = "eds" if recipe.score.method == "mixture" else recipe.score.method
    metric = recipe.network.head == "metric"
    high = -float(np.square(prototypes - prototypes.mean(axis=0)).sum()) if metric else 1.0
    low = 2 * high if metric else 0.0
    recipe = replace(recipe, network=replace(recipe.network, size=size))
    return Manifest(
        name=recipe.name,
        classes=tuple(
            ClassInfo(id=i, name=text, color=(37 * i % 256, 91 * i % 256, 151 * i % 256))
            for i, text in enumerate(names)
        ),
        height=size[0],
        width=size[1],
        mean=MEAN,
        std=STD,
        stride=network.stride,
        prototypes=prototypes if metric else prototypes[:0],
        slots=SLOTS,
        score={
            "method": recipe.score.method,
            "form": recipe.score.form,
            "constants": {name: {"low": low, "high": high}},
        },
        operating_points=(
            OperatingPoint(name="half", threshold=0.5, fitted_on="nothing, for timing only"),
        ),
        default_operating_point="half",
        provenance={"recipe": recipe.to_dict()},
        license={"weights": "none", "training_data": "none"},
        heads=len(names) - len(prototypes),
    )


PEERS = TorchPeers()
"""The entry point."""
