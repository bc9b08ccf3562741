"""Proof without a GPU: graphs read and built ahead of time by NVIDIA's own parser and compiler.

TensorRT for RTX builds an engine for a GPU that is not there. It cannot run it there, so this
says that a graph has an engine, not what the engine computes.

    pip install 'owseg_ros[rtx]'
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import torch
from torch import nn

from owseg.bundle import Bundle, load_bundle
from owseg.datasets import load_truth_map
from owseg.engines.tensorrt import BuildOptions
from owseg.engines.tensorrt.build import WORKSPACE_MB, EngineBuilder
from owseg.engines.tensorrt.runtime import find_tensorrt
from owseg.errors import EngineError
from owseg.manifest import Manifest, OperatingPoint
from owseg.types import ClassInfo
from owseg_export.export import SLOTS
from owseg_export.graph import OpenWorldGraph
from owseg_export.precision.convert import with_manifest
from owseg_export.precision.fp16 import to_fp16
from owseg_export.precision.int8 import to_int8
from owseg_export.precision.parts import unpack_weights
from owseg_export.to_onnx import export_onnx, save_onnx
from owseg_export.trained import fold_batch_norm, round_weights
from owseg_training.config import Recipe, ScoreConfig
from owseg_training.incremental.network import PLMNetwork
from owseg_training.models import DMLNet, build_network
from owseg_training.models.dmlnet import MEAN, STD
from owseg_training.scorers import (
    FITTED_SCORERS,
    SCORERS,
    CalibratedScore,
    Calibration,
    Cells,
)

TARGETS = ("SM86", "SM89", "SM120")
"""GPUs that graphs are built for: Ampere, Ada and Blackwell."""

MAGIC = b"vtrt"
"""The first bytes of an engine of TensorRT for RTX."""

_SPAN = Calibration(low=0.0, high=1.0)


class Proof(NamedTuple):
    """An engine that was built.

    Attributes:
        target: the GPU.
        size: of the engine in bytes.
        precision: that it computes in.
        changes: what had to be said in another way for the parser; () = nothing.
    """

    target: str
    size: int
    precision: str
    changes: tuple[str, ...]


def prove(
    bundle: Bundle,
    targets: Sequence[str] = TARGETS,
    batch: int = 4,
    workspace: int = WORKSPACE_MB,
) -> list[Proof]:
    """Build the engine of a bundle for GPUs that are not here.

    Args:
        bundle: the model.
        targets: the GPUs.
        batch: largest number of images at once.
        workspace: memory that one layer may use, MiB.

    Raises:
        MissingDependencyError: TensorRT for RTX is not installed.
        EngineError: it cannot read or build the graph; the message names the node.
    """
    trt = find_tensorrt(("tensorrt_rtx",))
    builder = EngineBuilder(trt, bundle, BuildOptions(batch=batch, workspace=workspace))
    proofs = []
    for target in targets:
        plan = builder.build(target, b"", lambda share, phase: None).plan
        if not plan.startswith(MAGIC):
            raise EngineError(f"{trt.title} gave no engine for {target} but {plan[:8]!r}")
        proofs.append(Proof(target, len(plan), builder.precision, builder.changes))
    return proofs


def untrained_bundle(
    recipe: Recipe, path: Path, score: ScoreConfig | None = None, heads: int = 0
) -> Bundle:
    """Export the graph of a recipe with the random weights that a run starts from.

    Args:
        recipe: network, classes and score.
        path: the bundle to write.
        score: another score than that of the recipe.
        heads: number of heads for classes learnt later.
    """
    chosen = score or recipe.score
    base = tuple(load_truth_map(recipe.data.truth_map).known_names)
    network = _network(recipe, len(base), heads)
    names = (*base, *(f"learnt {number}" for number in range(heads)))
    spans = dict.fromkeys((*SCORERS, *FITTED_SCORERS), _SPAN)
    state = random_state(chosen.method, len(base), int(network.prototypes.shape[1]))
    calibrated = CalibratedScore(chosen.method, chosen.form, spans, beta=chosen.beta, fitted=state)
    metric = recipe.network.head == "metric"
    graph = OpenWorldGraph(network, calibrated, metric=metric).eval()
    model = export_onnx(graph, _manifest(recipe, chosen, names, network, heads))
    onnx.save(model, str(path))
    return load_bundle(path)


def random_state(method: str, classes: int, size: int) -> nn.Module | None:
    """Return a state of a score, fitted on noise; None for a score without one.

    Args:
        method: name of the score.
        classes: N, known classes.
        size: D, channels of the embedding.
    """
    if method not in FITTED_SCORERS:
        return None
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(50 * classes) % classes
    noise = torch.randn(len(labels), size, generator=generator)
    return FITTED_SCORERS[method](Cells(noise, noise[:, :classes], labels))


def graph_key(recipe: Recipe) -> tuple[Any, ...]:
    """Return what decides the graph of a recipe; the rest is how its network is trained."""
    network = replace(recipe.network, init="", imagenet=False)
    return network, recipe.data.truth_map, recipe.score


def in_precision(bundle: Bundle, precision: str, path: Path) -> Bundle:
    """Write the graph of a float32 bundle in another precision, in the form for TensorRT.

    The scales of int8 come from one image of noise: they change numbers, not the graph.

    Args:
        bundle: in float32.
        precision: "fp32", "fp16" or "int8".
        path: the bundle to write.
    """
    if precision == "fp32":
        return bundle
    manifest = bundle.manifest
    model = onnx.load(str(bundle.path))
    unpack_weights(model)
    if precision == "fp16":
        model = to_fp16(model)
    else:
        size = (manifest.height, manifest.width, 3)
        noise = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
        model = to_int8(model, [noise], "tensorrt")
    noted = {**manifest.provenance, "precision": {"name": precision}}
    save_onnx(with_manifest(model, replace(manifest, provenance=noted)), path)
    return load_bundle(path)


def _network(recipe: Recipe, classes: int, heads: int) -> DMLNet | PLMNetwork:
    base = build_network(replace(recipe.network, imagenet=False), classes).eval()
    network: DMLNet | PLMNetwork = base
    if heads:
        network = PLMNetwork(base)
        for _ in range(heads):
            network.add(network.new_head())
    fold_batch_norm(network)
    round_weights(network)
    return network.requires_grad_(False)


def _manifest(
    recipe: Recipe,
    score: ScoreConfig,
    names: tuple[str, ...],
    network: DMLNet | PLMNetwork,
    heads: int,
) -> Manifest:
    prototypes = network.prototypes.numpy()
    return Manifest(
        name=recipe.name,
        classes=tuple(
            ClassInfo(id=i, name=name, color=(9 * i % 256, 99 * i % 256, 199 * i % 256))
            for i, name in enumerate(names)
        ),
        height=recipe.network.size[0],
        width=recipe.network.size[1],
        mean=MEAN,
        std=STD,
        stride=network.stride,
        prototypes=prototypes if recipe.network.head == "metric" else prototypes[:0],
        slots=SLOTS,
        score={"method": score.method, "form": score.form},
        operating_points=(OperatingPoint(name="half", threshold=0.5, fitted_on="nothing"),),
        default_operating_point="half",
        license={"weights": "none", "training_data": "none"},
        heads=heads,
    )
