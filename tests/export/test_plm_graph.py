"""Networks with later heads: the decisions of the graph by hand, and a bundle against torch."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from owseg.bundle import OUTPUTS, load_bundle
from owseg.cli import main
from owseg.engines import OnnxRuntimeEngine, PrototypeSlots
from owseg.errors import BundleError
from owseg.manifest import Manifest, parse_manifest
from owseg.pipeline import Pipeline
from owseg.prototypes import NovelClass, PrototypeSet
from owseg.types import Frame
from owseg_export import export as module
from owseg_export.export import ExportOptions, export_bundle
from owseg_export.graph import GraphOutput, OpenWorldGraph
from owseg_export.parity import measure
from owseg_export.trained import load_trained
from owseg_training.checkpoint import load_checkpoint
from owseg_training.incremental.checkpoint import base_network, plm_checkpoint, save_plm
from owseg_training.incremental.config import IncrementalConfig
from owseg_training.incremental.network import PLMNetwork
from owseg_training.incremental.shots import ShotManifest
from owseg_training.models import NetworkOutput
from owseg_training.scorers import CalibratedScore, Calibration

UNKNOWN, SLOTS, BASE = 255, 4, 3
KNOWN = torch.tensor([[0.0, 0.0], [8.0, 0.0], [0.0, 8.0]])
SCORE = CalibratedScore("eds", "constant", {"eds": Calibration(low=-600.0, high=0.0)})


# Decisions, on a network whose heads answer to blue ----------------------------------------------


class ColourNetwork(nn.Module):
    """Embedding: red and green. Head 0 claims blue 100..149 and 200.., head 1 blue 150 and more."""

    stride = 1

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("prototypes", KNOWN)

    def forward(self, image: torch.Tensor) -> NetworkOutput:
        colours = (image * 255).round()
        blue = colours[:, 2:]
        first = ((blue >= 100) & (blue < 150)) | (blue >= 200)
        second = blue >= 150
        heads = (
            torch.cat([torch.ones_like(blue).expand(-1, 3, -1, -1), 2.0 * first], dim=1),
            torch.cat([torch.ones_like(blue).expand(-1, 4, -1, -1), 2.0 * second], dim=1),
        )
        return NetworkOutput(colours[:, :2], colours[:, 1:] - 4, heads)


GRAPH = OpenWorldGraph(ColourNetwork(), SCORE, metric=True)  # type: ignore[arg-type]


def run(
    colours: list[tuple[int, int, int]],
    novel: list[tuple[float, float, float]] | None = None,
    threshold: float = 1.0,
) -> GraphOutput:
    slots = np.zeros((SLOTS, 3), np.float32)
    slots[: len(novel or ())] = np.array(novel or np.zeros((0, 3)), np.float32)
    valid = np.arange(SLOTS) < len(novel or ())
    with torch.no_grad():
        output: GraphOutput = GRAPH(
            torch.from_numpy(np.array([[colours]], np.uint8)),
            torch.from_numpy(slots[:, :2].copy()),
            torch.from_numpy(slots[:, 2].copy()),
            torch.from_numpy(valid.astype(np.float32)),
            torch.tensor([threshold]),
        )
    return output


def test_later_heads_overwrite_the_base_and_each_other() -> None:
    pixels = [(1, 1, 0), (7, 1, 0), (1, 1, 120), (7, 1, 160), (2, 7, 230)]
    assert run(pixels).known[0, 0].tolist() == [0, 1, 3, 4, 4]


def test_slots_come_after_the_heads_and_do_not_take_what_a_head_claims() -> None:
    pixels = [(30, 30, 0), (30, 30, 120), (30, 30, 160), (34, 30, 0), (1, 1, 0)]
    output = run(pixels, [(30, 30, 5.0), (34, 30, 5.0)])
    assert output.known[0, 0].tolist() == [5, 3, 4, 6, 0]


def test_what_a_head_claims_is_not_unknown_though_its_score_is_that_of_the_base() -> None:
    pixels = [(4, 4, 0), (4, 4, 120), (4, 4, 160), (30, 30, 0)]
    output = run(pixels, threshold=0.5)
    assert output.open_set[0, 0].tolist() == [UNKNOWN, 3, 4, 1]
    scores = output.anomaly[0, 0].tolist()
    assert scores[:3] == pytest.approx([1 - 96 / 600] * 3)
    assert output.embedding[0, :, 0, 1].tolist() == [4, 4]
    everything = run(pixels, [(4, 4, 1.0)], threshold=0.0)
    assert everything.open_set[0, 0].tolist() == [5, 3, 4, 1]  # far away means score 0


# A bundle ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plm_file(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a checkpoint with two heads that claim a part of each image."""
    base = load_checkpoint(checkpoint)
    network = PLMNetwork(base_network(base, checkpoint))
    shots = []
    for name, like in (("car", 1), ("pedestrian", 2)):
        torch.manual_seed(like)
        head = network.new_head()
        with torch.no_grad():
            for parameter in head.backbone.parameters():
                parameter.mul_(1 + 0.1 * torch.randn(parameter.shape))
            head.embed.weight[-1] = head.embed.weight[like] * 1.1
            assert head.embed.bias is not None
            head.embed.bias[-1] = head.embed.bias[like]
        network.add(head)
        shots.append(
            ShotManifest(
                dataset="camvid",
                split="train",
                class_name=name,
                shots=1,
                seed=0,
                fallback=False,
                images=("frame_0",),
            )
        )
    path = tmp_path_factory.mktemp("runs") / "plm.pt"
    save_plm(plm_checkpoint(base, network, IncrementalConfig(), shots), path)
    return path


@pytest.fixture(scope="module")
def plm_bundle(plm_file: Path, camvid_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Export it by the command line."""
    out = tmp_path_factory.mktemp("bundles") / "plm.onnx"
    argv = ["export", plm_file, "--root", camvid_tree, "--out", out]
    assert main([str(a) for a in argv]) == 0
    return out


@pytest.fixture(scope="module")
def engine(plm_bundle: Path) -> Any:
    with OnnxRuntimeEngine(load_bundle(plm_bundle), "cpu", threads=1) as opened:
        yield opened


def test_the_manifest_lists_all_classes_and_the_prototypes_of_the_base(
    plm_bundle: Path, exported: Any
) -> None:
    manifest = load_bundle(plm_bundle).manifest
    assert manifest.class_names == (*exported.manifest.class_names, "car", "pedestrian")
    assert manifest.heads == 2
    np.testing.assert_array_equal(manifest.prototypes, exported.manifest.prototypes)
    heads = manifest.provenance["heads"]
    assert [shot["class_name"] for shot in heads["shots"]] == ["car", "pedestrian"]
    assert heads["config"]["steps"] == IncrementalConfig().steps
    assert manifest.provenance["parity"]["labels"] < 5e-4


def test_thresholds_and_score_are_those_of_the_base(plm_bundle: Path, exported: Any) -> None:
    manifest = load_bundle(plm_bundle).manifest
    assert manifest.score == exported.manifest.score
    assert manifest.operating_points == exported.manifest.operating_points


def test_bundle_equals_torch(plm_file: Path, engine: Any, exported: Any) -> None:
    trained = load_trained(plm_file)
    figures = measure(trained, exported.score, engine, exported.frames)
    assert figures.labels < 5e-4
    assert figures.score < 2e-4
    labels = [
        engine.infer(image[None], PrototypeSlots.empty(engine.manifest), 1.0, ("known",))["known"]
        for image, _ in exported.frames
    ]
    counts = np.bincount(np.concatenate(labels).ravel(), minlength=6)
    assert (counts[[0, 3, 4, 5]] > 50).all()
    assert counts.sum() == counts[:6].sum()


def test_outside_of_the_claims_it_is_the_base_bundle(engine: Any, exported: Any) -> None:
    images = np.stack([image for image, _ in exported.frames])
    threshold = exported.manifest.threshold("best_f1")
    with OnnxRuntimeEngine(load_bundle(exported.path), "cpu", threads=1) as base:
        before = base.infer(images, PrototypeSlots.empty(base.manifest), threshold, OUTPUTS)
    after = engine.infer(images, PrototypeSlots.empty(engine.manifest), threshold, OUTPUTS)
    held = after["known"] >= 4
    assert 0.02 < held.mean() < 0.9
    assert np.mean(before["known"][~held] != after["known"][~held]) < 1e-3
    assert np.mean(before["open_set"][~held] != after["open_set"][~held]) < 1e-3
    assert (after["open_set"][held] == after["known"][held]).all()
    assert (before["open_set"][held] == UNKNOWN).any()
    for name in ("anomaly", "direction", "embedding"):
        np.testing.assert_allclose(before[name], after[name], rtol=1e-4, atol=1e-4)


def test_a_class_learnt_on_the_vehicle_gets_an_id_after_the_heads(
    plm_bundle: Path, exported: Any
) -> None:
    image, _ = exported.frames[0]
    with OnnxRuntimeEngine(load_bundle(plm_bundle), "cpu", threads=1) as opened:
        pipeline = Pipeline(opened)
        plain = pipeline.process(Frame(image=image)).known
        empty = PrototypeSlots.empty(opened.manifest)
        embedding = opened.infer(image[None], empty, 1.0, ("embedding",))["embedding"][0]
        rows, columns = np.nonzero(plain[4::8, 4::8] < 4)
        novel = NovelClass(
            id=6,
            name="kiosk",
            color=(1, 2, 3),
            radius=4.0,
            vectors=embedding[:, rows[0], columns[0]][None].astype(np.float32),
        )
        pipeline.set_prototypes(PrototypeSet(space=opened.space, classes=(novel,)))
        result = pipeline.process(Frame(image=image))
    taken = result.known == 6
    assert taken.sum() > 10
    assert (plain[taken] < 4).all()
    np.testing.assert_array_equal(result.known[~taken], plain[~taken])
    assert [info.name for info in result.classes][4:] == ["car", "pedestrian", "kiosk"]


def test_weights_of_heads_are_rounded_as_the_bundle_stores_them(plm_file: Path) -> None:
    trained = load_trained(plm_file)
    kernels = [p for p in trained.network.heads.parameters() if p.ndim == 4]  # type: ignore[union-attr,operator]
    assert len(kernels) > 30
    assert all(torch.equal(p, p.half().float()) for p in kernels)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in trained.network.modules())


def test_the_gate_sees_a_head_that_differs(
    plm_file: Path,
    plm_bundle: Path,
    camvid_tree: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A head that is exported with another bias claims other pixels."""
    model = onnx.load(str(plm_bundle))
    (bias,) = [t for t in model.graph.initializer if t.name.endswith("heads.0.embed.bias")]
    values = numpy_helper.to_array(bias).copy()
    values[-1] += 0.5
    bias.CopyFrom(numpy_helper.from_array(values, bias.name))
    monkeypatch.setattr(module, "export_onnx", lambda *_: model)
    options = ExportOptions(root=camvid_tree, out=tmp_path / "m.onnx", parity_frames=2)
    with pytest.raises(BundleError, match=r"differs from torch: labels 0\.\d+ \(limit 0\.0005\)"):
        export_bundle(plm_file, options)
    assert list(tmp_path.iterdir()) == []


# The manifest field ------------------------------------------------------------------------------


def test_heads_survive_json_and_are_written_only_where_there_are_some(
    tiny_manifest: Manifest,
) -> None:
    assert "heads" not in json.loads(tiny_manifest.to_json())
    with_heads = replace(tiny_manifest, prototypes=tiny_manifest.prototypes[:2], heads=1)
    assert parse_manifest(with_heads.to_json(), "m").heads == 1
    assert parse_manifest(tiny_manifest.to_json(), "m").heads == 0


@pytest.mark.parametrize(
    ("heads", "rows", "says"),
    [
        (1, 3, "expected one prototype per class without a head"),
        (0, 2, "expected one prototype per class without a head"),
        (3, 0, "3 of 3 classes have heads of their own"),
        (-1, 3, "-1 of 3 classes have heads"),
    ],
)
def test_manifests_that_contradict_themselves(
    tiny_manifest: Manifest, heads: int, rows: int, says: str
) -> None:
    with pytest.raises(BundleError, match=says):
        replace(tiny_manifest, prototypes=tiny_manifest.prototypes[:rows], heads=heads)
