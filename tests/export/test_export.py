"""The export as a whole: manifest, parity gate, and what is left behind when it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from owseg.bundle import load_bundle
from owseg.engines import OnnxRuntimeEngine, PrototypeSlots
from owseg.errors import BundleError, InputError, OutputError, UsageError
from owseg_export import export as module
from owseg_export.export import ExportOptions, export_bundle
from owseg_export.graph import OpenWorldGraph
from owseg_export.parity import ParityLimits, check_parity, measure
from owseg_training.config import ScoreConfig


def perturbed(path: Path, amount: float) -> onnx.ModelProto:
    """Return the model of a bundle with one kernel scaled by 1 + amount."""
    model = onnx.load(path)
    kernels = [t for t in model.graph.initializer if len(t.dims) == 4]
    largest = max(kernels, key=lambda t: int(np.prod(t.dims)))
    values = numpy_helper.to_array(largest)
    changed = (values.astype(np.float32) * (1 + amount)).astype(values.dtype)
    largest.CopyFrom(numpy_helper.from_array(changed, largest.name))
    return model


def test_bundle_describes_itself(exported) -> None:
    loaded = load_bundle(exported.path).manifest
    assert loaded.to_json() == exported.manifest.to_json()
    assert loaded.class_names == ("sky", "building", "road", "tree")
    assert loaded.classes[2].color == (110, 92, 128)
    assert (loaded.height, loaded.width, loaded.stride, loaded.slots) == (64, 96, 8, 32)
    np.testing.assert_array_equal(loaded.prototypes, 3 * np.eye(4))
    assert loaded.score["method"] == "eds"
    assert loaded.score["constants"]["eds"]["high"] == pytest.approx(-27)
    assert "camvid train" in loaded.score["fitted_on"]
    names = [p.name for p in loaded.operating_points]
    assert names == ["fpr_1", "fpr_5", "tpr_95", "best_f1"]
    assert loaded.default_operating_point == "fpr_1"
    assert all(p.fitted_on == "four, camvid train, 4 images" for p in loaded.operating_points)


def test_provenance_and_licence(exported) -> None:
    provenance = exported.manifest.provenance
    assert provenance["recipe"]["name"] == "camvid_tiny"
    assert (provenance["dataset"], provenance["split"], provenance["steps"]) == (
        "camvid",
        "train",
        7,
    )
    assert provenance["metrics"]["data"] == "four, camvid train, 4 images"
    assert 0 < provenance["metrics"]["auroc"] < 1
    assert "CC BY-NC" in exported.manifest.license["training_data"]


def test_operating_points_hold_in_the_runtime(exported) -> None:
    slots = PrototypeSlots.empty(exported.manifest)
    with OnnxRuntimeEngine(load_bundle(exported.path), "cpu", threads=1) as engine:
        normal, anomaly = [], []
        for image, truth in exported.frames:
            scores = engine.infer(image[None], slots, 1.0, ("anomaly",))["anomaly"][0]
            normal.append(scores[truth.valid & ~truth.anomaly])
            anomaly.append(scores[truth.valid & truth.anomaly])
    share = np.mean(np.concatenate(normal) > exported.manifest.threshold("fpr_5"))
    assert share == pytest.approx(0.05, abs=0.005)


def test_parity_of_a_true_bundle_is_rounding_only(exported) -> None:
    with OnnxRuntimeEngine(load_bundle(exported.path), "cpu", threads=1) as engine:
        figures = check_parity(exported.trained, exported.score, engine, exported.frames)
    assert figures.score < 1e-5
    assert figures.score_max < 1e-3
    assert figures.labels < 1e-3
    assert figures.auroc is not None
    assert figures.auroc < 1e-4
    assert figures.frames == 4


def test_parity_figures_hand_worked(exported) -> None:
    """An engine that answers with torch's own maps, changed in a known way."""

    class Changed:
        manifest = exported.manifest

        def infer(self, images, slots, threshold, outputs):
            evidence = exported.trained.evidence(torch.from_numpy(images))
            known = evidence.logits.argmax(dim=1).numpy().astype(np.uint8)
            anomaly = exported.score(evidence).numpy().copy()
            known[0, :16] = 77
            anomaly[0, :32] += 0.25
            return {"known": known, "anomaly": anomaly}

    figures = measure(exported.trained, exported.score, Changed(), exported.frames[:2])
    assert figures.labels == pytest.approx(0.25)
    assert figures.score == pytest.approx(0.125, rel=1e-5)
    assert figures.score_max == pytest.approx(0.25, rel=1e-5)


def test_parity_refuses_a_perturbed_bundle(exported, tmp_path: Path) -> None:
    onnx.save(perturbed(exported.path, 0.05), tmp_path / "bad.onnx")
    with (
        OnnxRuntimeEngine(load_bundle(tmp_path / "bad.onnx"), "cpu", threads=1) as engine,
        pytest.raises(BundleError, match=r"differs from torch: score map .*limit 0\.0002"),
    ):
        check_parity(exported.trained, exported.score, engine, exported.frames)


def test_frames_without_anomalies_have_no_ranking_figures(exported) -> None:
    image, truth = exported.frames[0]
    clean = replace(truth, anomaly=np.zeros_like(truth.anomaly))
    with OnnxRuntimeEngine(load_bundle(exported.path), "cpu", threads=1) as engine:
        figures = check_parity(exported.trained, exported.score, engine, [(image, clean)])
    assert (figures.auroc, figures.aupr) == (None, None)


def test_export_refuses_and_leaves_no_file_and_the_old_bundle(
    exported, checkpoint: Path, camvid_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "model.onnx"
    out.write_bytes(b"the old bundle")
    monkeypatch.setattr(module, "export_onnx", lambda *_: perturbed(exported.path, 0.05))
    with pytest.raises(BundleError, match="no bundle was written"):
        export_bundle(checkpoint, ExportOptions(root=camvid_tree, out=out))
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]
    assert out.read_bytes() == b"the old bundle"


def test_limits_are_those_of_the_options(
    exported, checkpoint: Path, camvid_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "export_onnx", lambda *_: perturbed(exported.path, 0.05))
    options = ExportOptions(
        root=camvid_tree,
        out=tmp_path / "model.onnx",
        limits=ParityLimits(score=1, labels=1, ranking=1, unclipped=1),
        max_images=2,
        parity_frames=1,
    )
    manifest = export_bundle(checkpoint, options)
    assert manifest.provenance["parity"]["frames"] == 1
    assert manifest.operating_points[0].fitted_on == "four, camvid train, 2 images"
    assert load_bundle(options.out).manifest.to_json() == manifest.to_json()


def test_metric_scores_need_a_metric_head(
    softmax_checkpoint: Path, camvid_tree: Path, tmp_path: Path
) -> None:
    options = ExportOptions(
        root=camvid_tree, out=tmp_path / "m.onnx", score=ScoreConfig(method="eds")
    )
    with pytest.raises(UsageError, match="'eds' needs a metric head"):
        export_bundle(softmax_checkpoint, options)


@pytest.mark.parametrize("place", ["file/model.onnx", "folder"])
def test_unwritable_place_is_found_before_the_work(
    place: str, checkpoint: Path, camvid_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder").mkdir()

    def never(path: Path) -> None:
        raise AssertionError("the work has begun")

    monkeypatch.setattr(module, "load_trained", never)
    with pytest.raises(OutputError):
        export_bundle(checkpoint, ExportOptions(root=camvid_tree, out=tmp_path / place))


def test_missing_checkpoint(camvid_tree: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no checkpoint at"):
        export_bundle(tmp_path / "x.pt", ExportOptions(root=camvid_tree, out=tmp_path / "m.onnx"))


def test_graph_module_is_the_one_that_is_exported(exported) -> None:
    """The reference of the gate is plain torch, not the graph; both agree."""
    image = torch.from_numpy(exported.frames[0][0][None])
    graph = OpenWorldGraph(exported.trained.network, exported.score, metric=True)
    slots = torch.zeros(32, 4), torch.zeros(32), torch.zeros(32)
    with torch.no_grad():
        output = graph(image, *slots, torch.tensor([1.0]))
    evidence = exported.trained.evidence(image)
    torch.testing.assert_close(output.anomaly, exported.score(evidence), rtol=0, atol=1e-4)
    assert float((output.known != evidence.logits.argmax(dim=1)).float().mean()) < 1e-3
