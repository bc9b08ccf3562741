"""Pre-activated and attentive networks as graphs: the same numbers, in float16 nearly so, engines.

Narrow and shallow ones of the same code; `benchmarks/ahead_engines.py` builds the whole ones.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from owseg.bundle import load_bundle
from owseg.engines import OnnxRuntimeEngine, PrototypeSlots
from owseg_export import ahead
from owseg_export.ahead import TARGETS, in_precision, prove, untrained_bundle
from owseg_export.precision import PRECISIONS
from owseg_training.config import NetworkConfig
from owseg_training.models import BACKBONES, DMLNet, build_network
from owseg_training.models.deeplab import DeepLabV3Plus
from owseg_training.models.mit import VARIANTS
from owseg_training.models.wider_resnet import WiderResNet
from owseg_training.recipes import get_recipe

needs_rtx = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx_bindings") is None,
    reason="TensorRT for RTX is not installed: pip install 'owseg_ros[rtx]'",
)
SIZE = (50, 70)  # no multiple of any stride


@dataclass(frozen=True)
class Graph:
    """A bundle, and the network that it was made from before anything was folded."""

    path: Path
    network: DMLNet


def narrow(config: NetworkConfig) -> nn.Module:
    return DeepLabV3Plus(WiderResNet(width=4, blocks=(1, 1, 1, 1, 1, 1)), 8)


def lively(config: NetworkConfig, classes: int) -> DMLNet:
    """Build a network with statistics and embeddings that are not those of a fresh one."""
    torch.manual_seed(0)
    network = build_network(config, classes).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.8, 1.3)
            nn.init.normal_(module.bias, std=0.1)
    nn.init.normal_(network.embed.weight, std=0.3)
    return network


@pytest.fixture(scope="module", params=["cityscapes_wrn38", "camvid_mit_b0"])
def graph(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Graph:
    if "mit" in request.param:
        pytest.importorskip("transformers", reason="pip install 'owseg_ros[transformers]'")
    recipe = get_recipe(request.param)
    recipe = replace(recipe, network=replace(recipe.network, size=SIZE, imagenet=False))
    path = tmp_path_factory.mktemp("bundles") / "graph.onnx"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKBONES, "deeplab_wrn38", narrow)
        patch.setitem(VARIANTS, "b0", VARIANTS["b0"]._replace(depths=(1, 1, 1, 1)))
        patch.setattr(ahead, "build_network", lively)
        bundle = untrained_bundle(recipe, path)
        network = lively(recipe.network, len(bundle.manifest.classes))
    return Graph(path, network)


def images() -> np.ndarray:
    """Two images of smooth colours."""
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.uniform(0, 255, (2, 3, 5, 7)))
    smooth = nn.functional.interpolate(coarse, SIZE, mode="bicubic").clamp(0, 255)
    return smooth.permute(0, 2, 3, 1).to(torch.uint8).numpy()


def embedding_of(path: Path) -> np.ndarray:
    bundle = load_bundle(path)
    with OnnxRuntimeEngine(bundle, "cpu", threads=1, heads="graph") as engine:
        slots = PrototypeSlots.empty(bundle.manifest)
        found = engine.infer(images(), slots, 0.5, ("anomaly", "embedding"))
    assert np.isfinite(found["anomaly"]).all()
    return found["embedding"]


def expected(graph: Graph) -> np.ndarray:
    x = torch.from_numpy(images()).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        return graph.network(x).embedding.numpy()


def test_the_graph_computes_what_the_network_does(graph: Graph) -> None:
    wanted, found = expected(graph), embedding_of(graph.path)
    assert found.shape == wanted.shape
    # Weights of convolutions are stored as float16.
    np.testing.assert_allclose(found, wanted, atol=5e-3 * np.abs(wanted).max())
    assert wanted.std(axis=(2, 3)).min() > 1e-3 * np.abs(wanted).max()


def test_in_float16_it_computes_nearly_the_same(graph: Graph, tmp_path: Path) -> None:
    bundle = in_precision(load_bundle(graph.path), "fp16", tmp_path / "half.onnx")
    wanted, found = embedding_of(graph.path), embedding_of(bundle.path)
    assert np.abs(found - wanted).mean() < 5e-3 * np.abs(wanted).max()
    for node in onnx.load(str(bundle.path)).graph.node:
        if node.op_type == "LayerNormalization":
            types = {a.name: a.i for a in node.attribute}
            assert types.get("stash_type", 1) == onnx.TensorProto.FLOAT  # of mean and variance


@needs_rtx
@pytest.mark.parametrize(("precision", "target"), [*zip(PRECISIONS, TARGETS, strict=True)])
def test_it_has_an_engine(graph: Graph, precision: str, target: str, tmp_path: Path) -> None:
    bundle = in_precision(load_bundle(graph.path), precision, tmp_path / "m.onnx")
    (proof,) = prove(bundle, (target,))
    assert (proof.target, proof.precision) == (target, precision)
