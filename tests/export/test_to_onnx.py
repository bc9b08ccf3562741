"""The exported bundle in ONNX Runtime against the graph in torch, and what the file holds."""

from __future__ import annotations

import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, numpy_helper
from torch import nn

from owseg.bundle import INPUTS, OUTPUTS, load_bundle
from owseg.engines import OnnxRuntimeEngine, PrototypeSlots
from owseg.manifest import METADATA_KEY
from owseg_export.graph import GraphOutput, OpenWorldGraph
from owseg_training.scorers import SCORERS, CalibratedScore, Calibration, Evidence

UNKNOWN, CLASSES, SLOTS, SIZE = 255, 4, 32, (64, 96)


@pytest.fixture(scope="module", params=["graph", "fused"])
def engine(exported, request):
    bundle = load_bundle(exported.path)
    with OnnxRuntimeEngine(bundle, "cpu", threads=1, heads=request.param) as opened:
        yield opened


@pytest.fixture(scope="module")
def images(exported) -> np.ndarray:
    return np.stack([image for image, _ in exported.frames[:3]])


def in_torch(exported, images: np.ndarray, slots: PrototypeSlots, threshold: float) -> GraphOutput:
    metric = exported.trained.metric
    graph = OpenWorldGraph(exported.trained.network, exported.score, metric=metric)
    with torch.no_grad():
        output: GraphOutput = graph(
            torch.from_numpy(images),
            torch.from_numpy(slots.vectors),
            torch.from_numpy(slots.radius),
            torch.from_numpy(slots.valid),
            torch.tensor([threshold]),
        )
    return output


def slots_at(exported, image: np.ndarray, *cells: tuple[int, int, float, float]) -> PrototypeSlots:
    """Put prototypes on the embeddings of cells (row, column) with a radius and a valid flag."""
    slots = PrototypeSlots.empty(exported.manifest)
    with torch.no_grad():
        x = torch.from_numpy(image[None]).permute(0, 3, 1, 2).float() / 255
        embedding = exported.trained.network(x).embedding[0].numpy()
    for slot, (row, column, radius, valid) in enumerate(cells, start=1):
        slots.vectors[slot] = embedding[:, row, column]
        slots.radius[slot], slots.valid[slot] = radius, valid
    return slots


def compare(found: dict[str, np.ndarray], expected: GraphOutput) -> None:
    """Check that maps agree up to float32 rounding, labels but for a few ties."""
    for name, values in expected._asdict().items():
        got, want = found[name], values.numpy()
        assert got.dtype == want.dtype
        assert got.shape == want.shape
        if got.dtype == np.uint8:
            assert np.mean(got != want) < 1e-3, name
        else:
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=2e-4 * np.abs(want).max())


def test_equals_torch_without_novel_prototypes(exported, engine, images) -> None:
    slots = PrototypeSlots.empty(exported.manifest)
    threshold = exported.manifest.threshold("best_f1")
    found = engine.infer(images, slots, threshold, OUTPUTS)
    compare(found, in_torch(exported, images, slots, threshold))
    assert len(np.unique(found["known"])) == CLASSES
    assert 0.02 < np.mean(found["open_set"] == UNKNOWN) < 0.98
    assert found["anomaly"].std() > 0.05


def test_equals_torch_with_novel_prototypes(exported, engine, images) -> None:
    cells = ((2, 3, 1.5, 1.0), (5, 8, 4.0, 1.0), (6, 2, 9.0, 0.0))
    slots = slots_at(exported, images[0], *cells)
    found = engine.infer(images, slots, 0.3, OUTPUTS)
    compare(found, in_torch(exported, images, slots, 0.3))
    counts = np.bincount(found["known"].ravel(), minlength=256)
    assert counts[CLASSES + 1] > 5
    assert counts[CLASSES + 2] > 5
    assert counts[CLASSES] == 0
    assert counts[CLASSES + 3 :].sum() == 0  # out of use


def test_claims_are_those_of_equation_12_on_the_fetched_embedding(exported, engine, images) -> None:
    cells = ((2, 3, 1.5, 1.0), (5, 8, 4.0, 1.0))
    slots = slots_at(exported, images[0], *cells)
    found = engine.infer(images[:1], slots, 1.0, OUTPUTS)
    f = torch.from_numpy(found["embedding"]).double()
    prototypes = np.concatenate([exported.manifest.prototypes, slots.vectors[1:3]])
    distances = np.stack(
        [((f - torch.from_numpy(p).double()[None, :, None, None]) ** 2).sum(1) for p in prototypes]
    )
    lifted = nn.functional.interpolate(
        torch.from_numpy(distances).permute(1, 0, 2, 3), SIZE, mode="bilinear"
    )[0].numpy()
    best, limit = lifted[:CLASSES].argmin(axis=0), lifted[:CLASSES].min(axis=0)
    novel = lifted[CLASSES:]
    novel = np.where(novel < slots.radius[1:3, None, None], novel, np.inf)
    claimed = novel.min(axis=0) < limit
    expected = np.where(claimed, novel.argmin(axis=0) + CLASSES + 1, best)
    assert np.mean(found["known"][0] != expected) < 1e-3


def test_open_set_follows_from_known_anomaly_and_threshold(exported, engine, images) -> None:
    slots = slots_at(exported, images[0], (5, 8, 4.0, 1.0))
    for threshold in (0.0, 0.2, 1.0):
        found = engine.infer(images, slots, threshold)
        unknown = (found["anomaly"] > np.float32(threshold)) & (found["known"] < CLASSES)
        expected = np.where(unknown, UNKNOWN, found["known"])
        np.testing.assert_array_equal(found["open_set"], expected)


def test_outside_claimed_pixels_novel_prototypes_change_no_bit(exported, engine, images) -> None:
    slots = slots_at(exported, images[0], (2, 3, 1.5, 1.0), (5, 8, 4.0, 1.0))
    without = engine.infer(images, PrototypeSlots.empty(exported.manifest), 0.3, OUTPUTS)
    with_them = engine.infer(images, slots, 0.3, OUTPUTS)
    claimed = with_them["known"] >= CLASSES
    assert claimed.any()
    for name in ("known", "open_set"):
        np.testing.assert_array_equal(without[name][~claimed], with_them[name][~claimed])
    for name in ("anomaly", "direction", "embedding"):
        np.testing.assert_array_equal(without[name], with_them[name])


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_any_batch_size_gives_the_images_one_by_one(exported, engine, images, batch: int) -> None:
    slots = slots_at(exported, images[0], (5, 8, 4.0, 1.0))
    together = engine.infer(images[:batch], slots, 0.3, OUTPUTS)
    for i in range(batch):
        alone = engine.infer(images[i : i + 1], slots, 0.3, OUTPUTS)
        for name in OUTPUTS:
            if alone[name].dtype == np.uint8:
                assert np.mean(alone[name][0] != together[name][i]) < 1e-3
            else:
                np.testing.assert_allclose(alone[name][0], together[name][i], atol=1e-3)


def test_inputs_and_outputs_are_those_of_the_contract(exported) -> None:
    session = onnxruntime.InferenceSession(exported.path, providers=["CPUExecutionProvider"])
    inputs = {n.name: (n.type, n.shape) for n in session.get_inputs()}
    outputs = {n.name: (n.type, n.shape) for n in session.get_outputs()}
    batch = inputs["image"][1][0]
    assert isinstance(batch, str)
    assert tuple(inputs) == INPUTS
    assert tuple(outputs) == OUTPUTS
    assert inputs == {
        "image": ("tensor(uint8)", [batch, 64, 96, 3]),
        "prototypes": ("tensor(float)", [SLOTS, CLASSES]),
        "prototype_radius": ("tensor(float)", [SLOTS]),
        "prototype_valid": ("tensor(float)", [SLOTS]),
        "anomaly_threshold": ("tensor(float)", [1]),
    }
    assert outputs == {
        "known": ("tensor(uint8)", [batch, 64, 96]),
        "anomaly": ("tensor(float)", [batch, 64, 96]),
        "open_set": ("tensor(uint8)", [batch, 64, 96]),
        "direction": ("tensor(float)", [batch, 2, 8, 12]),
        "embedding": ("tensor(float)", [batch, CLASSES, 8, 12]),
    }


def test_kernels_are_stored_in_float16_and_are_exactly_those_of_torch(exported) -> None:
    model = onnx.load(exported.path)
    stored = [t for t in model.graph.initializer if len(t.dims) == 4]
    large = [t for t in stored if np.prod(t.dims) >= 256]
    assert len(large) > 40
    assert {t.data_type for t in large} == {TensorProto.FLOAT16}
    kernels = [p for p in exported.trained.network.parameters() if p.ndim == 4]
    sizes = sum(p.numel() for p in kernels)
    assert exported.path.stat().st_size < 2 * sizes + 200_000
    found = {numpy_helper.to_array(t).astype(np.float32).tobytes() for t in stored}
    assert all(p.numpy().tobytes() in found for p in kernels)


def test_file_carries_its_manifest_and_nothing_of_the_machine_that_made_it(exported) -> None:
    model = onnx.load(exported.path)
    assert [entry.key for entry in model.metadata_props] == [METADATA_KEY]
    raw = json.loads(model.metadata_props[0].value)
    assert raw["provenance"]["parity"]["frames"] == 4
    assert not any(node.doc_string or node.metadata_props for node in model.graph.node)
    assert b"/owseg_training/" not in exported.path.read_bytes()
    assert model.producer_name == "owseg"


# Every score as a graph. One cheap export holds them all.


class AllScores(nn.Module):
    """Distances in, all scores in both forms out."""

    def __init__(self) -> None:
        super().__init__()
        constants = {
            name: Calibration(low=low, high=high)
            for name, (low, high) in {
                "msp": (0.05, 0.75),
                "max_logit": (0.5, 12.0),
                "entropy": (0.1, 0.9),
                "energy": (0.2, 11.0),
                "mmsp": (0.05, 0.75),
                "eds": (-90.0, -27.0),
            }.items()
        }
        names = [*SCORERS, "mixture"]
        self.scores = nn.ModuleList(
            CalibratedScore(name, form, constants)
            for form in ("constant", "paper")
            for name in names
        )

    def forward(self, distances: torch.Tensor) -> torch.Tensor:
        evidence = Evidence(-distances, distances)
        return torch.stack([score(evidence) for score in self.scores])


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_every_score_is_the_same_in_onnx_runtime() -> None:
    generator = torch.Generator().manual_seed(2)
    f = torch.rand(2, CLASSES, 10, 12, generator=generator) * 3
    prototypes = 3 * torch.eye(CLASSES)[None, :, :, None, None]
    distances = (f[:, None] - prototypes).square().sum(dim=2)
    scores = AllScores().eval()
    expected = scores(distances).numpy()
    program = torch.onnx.export(scores, (distances,), dynamo=True, opset_version=18, verbose=False)
    assert program is not None
    session = onnxruntime.InferenceSession(
        program.model_proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (found,) = session.run(None, {session.get_inputs()[0].name: distances.numpy()})
    assert found.shape == (14, 2, 10, 12)
    np.testing.assert_allclose(found, expected, atol=2e-6)
    assert (expected.reshape(14, -1).std(axis=1) > 0.01).all()


# A softmax head, exported by the command line with a per-image score.


def test_softmax_bundle_equals_torch(exported_softmax, images) -> None:
    manifest = exported_softmax.manifest
    assert (manifest.score["method"], manifest.score["form"]) == ("energy", "paper")
    assert manifest.default_operating_point == "tpr_95"
    assert manifest.prototypes.shape == (0, CLASSES)
    slots = slots_at(exported_softmax, images[0], (5, 8, 2.0, 1.0))
    with OnnxRuntimeEngine(load_bundle(exported_softmax.path), "cpu", threads=1) as engine:
        found = engine.infer(images, slots, 0.5, OUTPUTS)
    compare(found, in_torch(exported_softmax, images, slots, 0.5))
    assert (found["known"] == CLASSES + 1).sum() > 5
    for image in found["anomaly"]:
        assert (image.min(), image.max()) == (pytest.approx(0, abs=1e-6), pytest.approx(1))
