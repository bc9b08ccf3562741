"""NVIDIA's parser and compiler take every graph that is exported. No GPU is needed for that."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from owseg.bundle import load_bundle
from owseg.engines import OnnxRuntimeEngine, PrototypeSlots
from owseg_export.ahead import TARGETS, graph_key, in_precision, prove, untrained_bundle
from owseg_export.graph import OpenWorldGraph
from owseg_export.to_onnx import export_onnx
from owseg_training.models import NetworkOutput
from owseg_training.recipes import RECIPES, get_recipe
from owseg_training.scorers import SCORERS, CalibratedScore, Calibration, Evidence

needs_rtx = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx_bindings") is None,
    reason="TensorRT for RTX is not installed: pip install 'owseg_ros[rtx]'",
)
WIDENED = ("float16 weights widened",)


def kind_of(name):
    """Return what decides the operators of the graph of a recipe, not its size or classes."""
    network, _, score = graph_key(get_recipe(name))
    return replace(network, size=(0, 0), projection=0), score


RELATIVES = ("deeplab101", "deeplab_wrn38", "mit_b0", "mit_b2")
"""Backbones that take minutes, and have smaller relatives in test_paper_networks.py and here;
`benchmarks/ahead_engines.py` builds them."""

QUICK = [name for name in RECIPES if get_recipe(name).network.backbone not in RELATIVES]
DIFFERENT = list({kind_of(name): name for name in reversed(QUICK)}.values())
"""Recipes with graphs that differ; the others train the same network in another way."""


def test_every_recipe_has_a_graph_among_these():
    assert {kind_of(name) for name in QUICK} == {kind_of(name) for name in DIFFERENT}
    assert len({kind_of(name) for name in DIFFERENT}) == len(DIFFERENT) >= 8
    others = {get_recipe(name).network.backbone for name in set(RECIPES) - set(QUICK)}
    assert others == set(RELATIVES)


@needs_rtx
@pytest.mark.slow
@pytest.mark.parametrize("name", DIFFERENT)
def test_every_recipe_has_an_engine(name, tmp_path):
    torch.manual_seed(0)
    bundle = untrained_bundle(get_recipe(name), tmp_path / "m.onnx")
    proofs = prove(bundle, batch=4)
    assert [proof.target for proof in proofs] == list(TARGETS)
    kernels = onnx.load(str(bundle.path)).graph.initializer
    stored = sum(int(np.prod(tensor.dims)) for tensor in kernels if len(tensor.dims) == 4)
    for proof in proofs:
        assert proof.precision == "fp32"
        assert proof.changes == WIDENED
        assert proof.size > 4 * stored * 0.9


@needs_rtx
@pytest.mark.parametrize("which", ["exported", "exported_softmax"])
def test_a_trained_bundle_has_an_engine(which, request):
    bundle = load_bundle(request.getfixturevalue(which).path)
    proofs = prove(bundle)
    assert [proof.target for proof in proofs] == list(TARGETS)
    assert {proof.changes for proof in proofs} == {WIDENED}


@needs_rtx
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_trained_bundle_has_an_engine_in_every_precision(precision, exported, tmp_path):
    plain = load_bundle(exported.path)
    bundle = in_precision(plain, precision, tmp_path / "m.onnx")
    assert bundle.manifest.precision == precision
    proofs = prove(bundle)
    assert [proof.target for proof in proofs] == list(TARGETS)
    assert {proof.precision for proof in proofs} == {precision}


def test_float32_is_what_a_bundle_is_in(exported, tmp_path):
    plain = load_bundle(exported.path)
    assert in_precision(plain, "fp32", tmp_path / "m.onnx") is plain
    assert not list(tmp_path.iterdir())


# What the graph does with bytes ------------------------------------------------------------------


def test_bytes_are_cast_first_and_last_and_by_way_of_floats(exported):
    graph = onnx.load(str(exported.path)).graph
    makers = {name: node for node in graph.node for name in node.output}
    (first,) = [node for node in graph.node if "image" in node.input]
    assert (first.op_type, first.attribute[0].i) == ("Cast", onnx.TensorProto.FLOAT)
    for name in ("known", "open_set"):
        last = makers[name]
        before = makers[last.input[0]]
        assert (last.op_type, last.attribute[0].i) == ("Cast", onnx.TensorProto.UINT8)
        assert (before.op_type, before.attribute[0].i) == ("Cast", onnx.TensorProto.FLOAT)


# All scores and later heads in one small graph ---------------------------------------------------


class SmallNetwork(nn.Module):
    """A convolution as embedding, and two heads."""

    stride = 2

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 4, 2, stride=2)
        self.first, self.second = nn.Conv2d(3, 5, 2, stride=2), nn.Conv2d(3, 6, 2, stride=2)
        self.register_buffer("prototypes", 3 * torch.eye(4))

    def forward(self, x: Tensor) -> NetworkOutput:
        embedding = 3 * self.embed(x)
        return NetworkOutput(embedding, embedding[:, :2], (self.first(x), self.second(x)))


class EveryScore(nn.Module):
    """The mean of all scores in both forms."""

    def __init__(self) -> None:
        super().__init__()
        constants = dict.fromkeys(SCORERS, Calibration(low=-9.0, high=9.0))
        self.scores = nn.ModuleList(
            CalibratedScore(name, form, constants)
            for form in ("constant", "paper")
            for name in (*SCORERS, "mixture")
        )

    def forward(self, evidence: Evidence) -> Tensor:
        return torch.stack([score(evidence) for score in self.scores]).mean(dim=0)


@pytest.fixture(scope="module")
def everything(exported, tmp_path_factory) -> Path:
    torch.manual_seed(1)
    network = SmallNetwork().eval()
    graph = OpenWorldGraph(network, EveryScore(), metric=True).eval()  # type: ignore[arg-type]
    more = tuple(replace(exported.manifest.classes[0], id=i, name=f"new {i}") for i in (4, 5))
    manifest = replace(
        exported.manifest,
        height=24,
        width=32,
        stride=2,
        classes=(*exported.manifest.classes, *more),
        heads=2,
    )
    path = tmp_path_factory.mktemp("bundles") / "everything.onnx"
    onnx.save(export_onnx(graph, manifest), str(path))
    return path


@needs_rtx
def test_every_score_and_later_heads_have_an_engine(everything):
    proofs = prove(load_bundle(everything), batch=2)
    assert [proof.target for proof in proofs] == list(TARGETS)


def test_that_graph_computes_something(everything):
    bundle = load_bundle(everything)
    images = np.random.default_rng(0).integers(0, 256, (2, 24, 32, 3), dtype=np.uint8)
    with OnnxRuntimeEngine(bundle, "cpu", threads=1, heads="graph") as engine:
        found = engine.infer(images, PrototypeSlots.empty(bundle.manifest), 0.5)
    assert len(np.unique(found["known"])) > 2
    assert found["anomaly"].std() > 1e-3
