"""The fused heads against the graph: every score in torch, and whole bundles in ONNX Runtime."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from owseg.bundle import OUTPUTS, load_bundle
from owseg.engines import OnnxRuntimeEngine, PrototypeSlots
from owseg.engines.heads import FusedHeads, HeadSpec
from owseg.engines.heads.spec import METHODS
from owseg.errors import EngineError
from owseg.manifest import Manifest
from owseg_export.graph import OpenWorldGraph
from owseg_export.to_onnx import export_onnx
from owseg_training.distances import squared_distances
from owseg_training.models import NetworkOutput
from owseg_training.scorers import (
    METRIC_ONLY,
    CalibratedScore,
    Calibration,
    Evidence,
    get_scorer,
)

MAPS = ("known", "anomaly", "open_set")
GRID, SIZE, CLASSES = (16, 24), (64, 96), 6


class GivenEmbedding(nn.Module):
    """A network whose embedding is what it is told, whatever the image."""

    stride, unknown = 4, False

    def __init__(self, embedding: np.ndarray, prototypes: np.ndarray) -> None:
        super().__init__()
        self.embedding = torch.from_numpy(embedding)
        self.register_buffer("prototypes", torch.from_numpy(prototypes))

    def forward(self, image: torch.Tensor) -> NetworkOutput:
        return NetworkOutput(self.embedding, self.embedding[:, :2])


def draw(seed: int = 0) -> tuple[np.ndarray, np.ndarray, PrototypeSlots]:
    """Embedding (2, D, h, w), prototypes (N, D), and slots of which half are used."""
    rng = np.random.default_rng(seed)
    prototypes = rng.normal(0, 1, (CLASSES, CLASSES)).astype(np.float32)
    embedding = rng.normal(0, 1, (2, CLASSES, *GRID)).astype(np.float32)
    slots = PrototypeSlots(
        vectors=rng.normal(0, 1, (32, CLASSES)).astype(np.float32),
        radius=rng.uniform(1.0, 4.0, 32).astype(np.float32),
        valid=(rng.random(32) < 0.5).astype(np.float32),
    )
    return embedding, prototypes, slots


def spread(name: str, embedding: np.ndarray, prototypes: np.ndarray, metric: bool):
    """Return constants that clip a tenth of the pixels at each end."""
    logits = torch.from_numpy(embedding)
    distances = squared_distances(logits, torch.from_numpy(prototypes)) if metric else None
    logits = -distances if distances is not None else logits
    raw = get_scorer(name)(Evidence(logits, distances)).numpy()
    return float(np.quantile(raw, 0.1)), float(np.quantile(raw, 0.9))


@pytest.mark.parametrize("form", ["constant", "paper"])
@pytest.mark.parametrize(
    ("method", "metric"),
    [(m, True) for m in METHODS] + [(m, False) for m in METHODS if m not in METRIC_ONLY],
)
def test_every_score_equals_the_graph_in_torch(method: str, form: str, metric: bool) -> None:
    embedding, prototypes, slots = draw()
    name = "eds" if method == "mixture" else method
    low, high = spread(name, embedding, prototypes, metric)
    score = CalibratedScore(method, form, {name: Calibration(low=low, high=high)})
    network = GivenEmbedding(embedding, prototypes)
    graph = OpenWorldGraph(network, score, metric=metric)  # type: ignore[arg-type]
    with torch.no_grad():
        image = torch.zeros(2, *SIZE, 3, dtype=torch.uint8)
        arrays = [torch.from_numpy(a) for a in (slots.vectors, slots.radius, slots.valid)]
        threshold = float(graph(image, *arrays, torch.tensor([1.0])).anomaly.quantile(0.3))
        want = graph(image, *arrays, torch.tensor([threshold]))
    spec = HeadSpec(
        prototypes=prototypes if metric else prototypes[:0],
        classes=CLASSES,
        method=method,
        form=form,
        low=0.0 if form == "paper" else low,
        high=1.0 if form == "paper" else high,
    )
    found = FusedHeads(spec, SIZE).run(embedding, slots, threshold, MAPS)
    assert found is not None
    assert float(want.anomaly.std()) > 0.03
    np.testing.assert_allclose(found["anomaly"], want.anomaly.numpy(), rtol=0, atol=2e-5)
    for name in ("known", "open_set"):
        assert np.mean(found[name] != getattr(want, name).numpy()) < 1e-3, name
    assert 0.01 < (found["open_set"] == 255).mean() < 0.8
    assert 0.01 < (found["known"] >= CLASSES).mean() < 0.95


# Whole bundles ------------------------------------------------------------------------------------


def both(path: Path, threads: int = 1) -> tuple[OnnxRuntimeEngine, OnnxRuntimeEngine]:
    bundle = load_bundle(path)
    graph = OnnxRuntimeEngine(bundle, "cpu", threads, heads="graph")
    return graph, OnnxRuntimeEngine(bundle, "cpu", threads, heads="fused")


def slots_in(manifest: Manifest, embedding: np.ndarray, used: int) -> PrototypeSlots:
    """Put prototypes on cells of the embedding, each reaching some of the others."""
    rng = np.random.default_rng(5)
    cells = embedding.transpose(0, 2, 3, 1).reshape(-1, embedding.shape[1])
    slots = PrototypeSlots.empty(manifest)
    for slot in rng.permutation(manifest.slots)[:used]:
        slots.vectors[slot] = cells[rng.integers(len(cells))]
        gaps = np.square(cells - slots.vectors[slot]).sum(axis=1)
        slots.radius[slot] = np.quantile(gaps, rng.uniform(0.02, 0.3))
        slots.valid[slot] = 1
    return slots


def check_alike(graph, fused, images: np.ndarray, slots: PrototypeSlots, threshold: float) -> None:
    want = graph.infer(images, slots, threshold, OUTPUTS)
    found = fused.infer(images, slots, threshold, OUTPUTS)
    for name in ("known", "open_set"):
        assert np.mean(want[name] != found[name]) < 5e-4, name
    np.testing.assert_allclose(found["anomaly"], want["anomaly"], rtol=0, atol=1e-4)
    for name in ("embedding", "direction"):
        np.testing.assert_allclose(found[name], want[name], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("used", [0, 1, 7, 32])
@pytest.mark.parametrize("which", ["exported", "exported_softmax"])
def test_exported_bundles_on_frames(which: str, used: int, request: pytest.FixtureRequest) -> None:
    exported = request.getfixturevalue(which)
    graph, fused = both(exported.path, 1 + used % 2)
    with graph, fused:
        assert (graph.heads, fused.heads) == ("graph", "fused")
        images = np.stack([image for image, _ in exported.frames])
        empty = PrototypeSlots.empty(exported.manifest)
        embedding = graph.infer(images, empty, 0.5, ("embedding",))["embedding"]
        slots = slots_in(exported.manifest, embedding, used)  # type: ignore[arg-type]
        for threshold in (0.0, 0.3, 1.0):
            check_alike(graph, fused, images, slots, threshold)
        known = fused.infer(images, slots, 0.5, ("known",))["known"]
        assert ((known >= len(exported.manifest.classes)).mean() > 0.02) == bool(used)
        assert fused.heads == "fused"


@pytest.mark.parametrize("which", ["exported", "exported_softmax"])
def test_fused_heads_are_the_default_on_a_cpu(which: str, request: pytest.FixtureRequest) -> None:
    exported = request.getfixturevalue(which)
    with OnnxRuntimeEngine(load_bundle(exported.path), "cpu") as engine:
        image, _ = exported.frames[0]
        engine.infer(image[None], PrototypeSlots.empty(exported.manifest), 0.5)
        assert (engine.heads, engine.note) == ("fused", "")
        assert list(engine.timings_ms) == ["network", "heads"]
        assert min(engine.timings_ms.values()) > 0


def test_constants_that_the_graph_does_not_have_are_found_out(exported, tmp_path: Path) -> None:
    model = onnx.load(str(exported.path))
    manifest = exported.manifest
    constants = manifest.score["constants"]["eds"]
    wrong = {"low": constants["low"], "high": constants["low"] * 0.5}
    lie = replace(manifest, score={**manifest.score, "constants": {"eds": wrong}})
    for entry in model.metadata_props:
        entry.value = lie.to_json()
    path = tmp_path / "lie.onnx"
    onnx.save(model, str(path))
    images, slots = exported.frames[0][0][None], PrototypeSlots.empty(manifest)
    with OnnxRuntimeEngine(load_bundle(path), "cpu") as engine:
        engine.infer(images, slots, 0.5)
        assert engine.heads == "graph"
        assert "differ from the graph" in engine.note
    with (
        OnnxRuntimeEngine(load_bundle(path), "cpu", heads="fused") as engine,
        pytest.raises(EngineError, match="differ from the graph"),
    ):
        engine.infer(images, slots, 0.5)


class Quotient(nn.Module):
    """Embedding: red and green over the distance of blue to 255, so that blue 255 divides by 0."""

    stride = 4

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("prototypes", torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 3.0]]))

    def forward(self, image: torch.Tensor) -> NetworkOutput:
        cells = (image[:, :, ::4, ::4] * 255).round()
        embedding = cells[:, :2] / (255 - cells[:, 2:])
        return NetworkOutput(embedding, cells[:, :2])


@pytest.fixture(scope="module")
def quotient(tmp_path_factory: pytest.TempPathFactory, tiny_manifest: Manifest) -> Path:
    score = CalibratedScore("eds", "constant", {"eds": Calibration(low=-60.0, high=-12.0)})
    manifest = replace(
        tiny_manifest,
        prototypes=np.array([[0, 0], [3, 0], [0, 3]], np.float32),
        score={"method": "eds", "constants": {"eds": {"low": -60.0, "high": -12.0}}},
    )
    graph = OpenWorldGraph(Quotient(), score, metric=True).eval()  # type: ignore[arg-type]
    path = tmp_path_factory.mktemp("quotient") / "quotient.onnx"
    onnx.save(export_onnx(graph, manifest), str(path))
    return path


@pytest.mark.parametrize("pixel", [(0, 0, 255), (9, 0, 255), (255, 255, 254), (40, 90, 254)])
def test_what_is_not_finite_is_as_in_the_graph(quotient: Path, pixel: tuple[int, ...]) -> None:
    """0 / 0, 9 / 0 and values around 255, of which float32 still knows the distances."""
    graph, fused = both(quotient)
    with graph, fused:
        rng = np.random.default_rng(1)
        images = rng.integers(0, 60, (2, 24, 32, 3), dtype=np.uint8)
        images[0, 8, 12] = pixel
        slots = PrototypeSlots.empty(graph.manifest)
        slots.vectors[2], slots.radius[2], slots.valid[2] = (0.1, 0.1), 0.01, 1
        want = graph.infer(images, slots, 0.6, MAPS)
        found = fused.infer(images, slots, 0.6, MAPS)
        exact = pixel[2] == 255
        for name in MAPS:
            np.testing.assert_allclose(
                found[name], want[name], rtol=0, atol=0 if exact else 1e-4, err_msg=name
            )
        assert (found["known"] == 5).any()
        assert fused.heads == "fused"
