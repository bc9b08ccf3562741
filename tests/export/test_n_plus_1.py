"""An N+1 network with two backbones as a bundle: score, decision, direction, and refusals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from owseg.bundle import load_bundle
from owseg.cli import main
from owseg.datasets import load_truth_map, open_dataset
from owseg.engines import OnnxRuntimeEngine, PrototypeSlots
from owseg.errors import BundleError
from owseg.grouping import SuperBpd
from owseg_export.calibrate import available_scores, load_resized
from owseg_export.parity import check_parity
from owseg_export.trained import TrainedNetwork, load_trained
from owseg_training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from owseg_training.config import NetworkConfig, ScoreConfig
from owseg_training.models import DMLNet, build_network
from owseg_training.scorers import FITTED_SCORERS, CalibratedScore

SIZE, N, BETA = (64, 96), 4, 5.0


@torch.no_grad()
def spread(network: DMLNet, images: torch.Tensor) -> None:
    """Let the network answer to what it sees, with every class somewhere."""
    for _ in range(20):
        network.train()(images)
    network.embed.weight.normal_()
    embedding = network.eval()(images).embedding
    scale = embedding.std(dim=(0, 2, 3))
    network.embed.weight.div_(scale[:, None, None, None])
    assert network.embed.bias is not None
    network.embed.bias.copy_(-embedding.mean(dim=(0, 2, 3)) / scale)


@pytest.fixture(scope="module")
def own_checkpoint(
    checkpoint: Path, camvid_tree: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Write a random network with a class for unknown pixels, on the data of the metric one."""
    base = load_checkpoint(checkpoint).recipe
    config = NetworkConfig(
        backbone="fast_scnn",
        head="softmax",
        strategy="separate",
        unknown=True,
        projection=8,
        size=SIZE,
    )
    recipe = replace(base, network=config, score=ScoreConfig(method="n_plus_1", beta=BETA))
    torch.manual_seed(5)
    network = build_network(config, N)
    files = sorted((camvid_tree / "images").iterdir())
    images = np.stack([cv2.imread(str(path))[..., ::-1] for path in files])
    spread(network, torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255)
    path = tmp_path_factory.mktemp("runs") / "n_plus_1.pt"
    save_checkpoint(
        Checkpoint(
            recipe=recipe,
            class_names=("sky", "building", "road", "tree"),
            step=1,
            network={},
            average=network.state_dict(),
            optimizer={},
            history={},
        ),
        path,
    )
    return path


@pytest.fixture(scope="module")
def bundle(
    own_checkpoint: Path, camvid_tree: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("bundles") / "n_plus_1.onnx"
    argv = ["export", own_checkpoint, "--root", camvid_tree, "--out", out]
    assert main([*map(str, argv), "--operating-point", "argmax"]) == 0
    return out


@pytest.fixture(scope="module")
def trained(own_checkpoint: Path) -> TrainedNetwork:
    return load_trained(own_checkpoint)


def frame(tree: Path, index: int = 1) -> np.ndarray:
    return np.ascontiguousarray(cv2.imread(str(tree / "images" / f"frame_{index}.png"))[..., ::-1])


def test_the_bundle_says_what_it_is(bundle: Path) -> None:
    manifest = load_bundle(bundle).manifest
    assert len(manifest.classes) == N
    assert (manifest.embedding_size, manifest.prototypes.shape) == (N + 1, (0, N + 1))
    assert (manifest.score["method"], manifest.score["beta"]) == ("n_plus_1", BETA)
    assert manifest.threshold() == manifest.threshold("argmax") == 0.5
    assert manifest.provenance["parity"]["score"] < 1e-5


def test_label_score_and_decision_are_those_of_the_softmax(
    bundle: Path, trained: TrainedNetwork, camvid_tree: Path
) -> None:
    image = frame(camvid_tree)[None]
    with OnnxRuntimeEngine(load_bundle(bundle), "cpu", threads=1) as engine:
        assert engine.heads == "graph"  # the fused heads do not know this score, and say so
        assert "'n_plus_1'" in engine.note
        found = engine.infer(image, PrototypeSlots.empty(engine.manifest), 0.5)
    with torch.no_grad():
        small = trained.base(torch.from_numpy(image).permute(0, 3, 1, 2).float() / 255).embedding
        logits = torch.nn.functional.interpolate(small, SIZE, mode="bilinear")[0].numpy()
    c = np.exp(logits - logits.max(axis=0))
    c[-1] *= BETA
    np.testing.assert_array_equal(found["known"][0], c[:N].argmax(axis=0))
    expected = c[-1] / (c[-1] + c[:N].max(axis=0))
    np.testing.assert_allclose(found["anomaly"][0], expected, atol=1e-4)
    sure = np.abs(expected - 0.5) > 1e-4
    wins = c.argmax(axis=0) == N
    assert 0.05 < wins.mean() < 0.95
    np.testing.assert_array_equal((found["open_set"][0] == 255)[sure], wins[sure])


def test_the_direction_of_the_second_backbone_is_in_the_graph(
    bundle: Path, trained: TrainedNetwork, camvid_tree: Path
) -> None:
    image = frame(camvid_tree)[None]
    with OnnxRuntimeEngine(load_bundle(bundle), "cpu", threads=1) as engine:
        outputs = engine.infer(
            image, PrototypeSlots.empty(engine.manifest), 0.5, ("open_set", "direction")
        )
    with torch.no_grad():
        x = torch.from_numpy(image).permute(0, 3, 1, 2).float() / 255
        expected = trained.base(x).direction.numpy()
    np.testing.assert_allclose(outputs["direction"], expected, atol=1e-3 * np.abs(expected).max())
    assert expected.std() > 0.01
    clusters = SuperBpd(8)(outputs["open_set"][0], outputs["direction"][0])
    assert clusters.shape == SIZE


def test_the_parity_gate_notices_another_beta(
    bundle: Path, trained: TrainedNetwork, camvid_tree: Path
) -> None:
    recipe = trained.checkpoint.recipe
    truth = load_truth_map(recipe.data.truth_map)
    samples = list(open_dataset("camvid", camvid_tree, "train"))[:2]
    frames = [load_resized(s, truth, trained.class_names, SIZE) for s in samples]
    with OnnxRuntimeEngine(load_bundle(bundle), "cpu", threads=1) as engine:
        same = CalibratedScore("n_plus_1", "constant", {}, beta=BETA)
        assert check_parity(trained, same, engine, frames).score < 1e-5
        other = CalibratedScore("n_plus_1", "constant", {}, beta=1.0)
        with pytest.raises(BundleError, match="differs from torch: score map"):
            check_parity(trained, other, engine, frames)


def test_scores_of_the_network(trained: TrainedNetwork) -> None:
    found = available_scores(trained)
    assert found == ("msp", "max_logit", "entropy", "energy", "n_plus_1", *FITTED_SCORERS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--score", "n_plus_1"), "needs a class for unknown pixels, which this network has not"),
        (("--operating-point", "argmax"), "no operating point 'argmax'; there are fpr_1, fpr_5"),
    ],
)
def test_other_networks_have_no_such_score(
    options: tuple[str, ...],
    message: str,
    softmax_checkpoint: Path,
    camvid_tree: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    argv = ["export", softmax_checkpoint, "--root", camvid_tree, "--out", tmp_path / "x.onnx"]
    given = options if "--score" in options else (*options, "--score", "msp")
    assert main([*map(str, argv), *given]) == 2
    assert message in capsys.readouterr().err
