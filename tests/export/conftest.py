"""A tiny network with four classes, its data set, and one exported bundle for the whole session."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from owseg.bundle import load_bundle
from owseg.cli import main
from owseg.datasets import CAMVID11, Truth, load_truth_map, open_dataset
from owseg.manifest import Manifest
from owseg_export.calibrate import load_resized
from owseg_export.export import ExportOptions, export_bundle
from owseg_export.trained import TrainedNetwork, load_trained
from owseg_training.checkpoint import Checkpoint, save_checkpoint
from owseg_training.config import NetworkConfig, Recipe
from owseg_training.models import build_network
from owseg_training.recipes import get_recipe
from owseg_training.scorers import CalibratedScore, Calibration

SIZE = (64, 96)
KNOWN = ("sky", "building", "road", "tree")
FRAMES = 4


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Make results, and the time they take on a busy machine, independent of its cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@dataclass(frozen=True)
class Exported:
    """A bundle, what it was made from, and the frames to compare on."""

    path: Path
    manifest: Manifest
    trained: TrainedNetwork
    score: CalibratedScore
    frames: list[tuple[np.ndarray, Truth]]


def write_frame(root: Path, name: str, seed: int) -> None:
    """Blocks of random classes, in noisy colours of their class."""
    rng = np.random.default_rng(seed)
    labels = np.kron(rng.integers(0, 12, (4, 6)), np.ones((16, 16))).astype(np.uint8)
    colors = np.array([*CAMVID11.colors, (0, 0, 0)])[labels]
    image = np.clip(colors + rng.normal(0, 25, colors.shape), 0, 255).astype(np.uint8)
    cv2.imwrite(str(root / "images" / f"{name}.png"), image[..., ::-1])
    cv2.imwrite(str(root / "labels" / f"{name}.png"), labels)


@pytest.fixture(scope="session")
def camvid_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data") / "CamVid"
    for folder in ("images", "labels", "splits"):
        (root / folder).mkdir(parents=True)
    names = [f"frame_{i}" for i in range(FRAMES)]
    for seed, name in enumerate(names):
        write_frame(root, name, seed)
    for split in ("train", "val"):
        (root / "splits" / f"{split}.txt").write_text("\n".join(names) + "\n")
    return root


@pytest.fixture(scope="session")
def truth_map(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four classes are known, cars are anomalies, the rest counts nowhere."""
    labels = {str(i): name for i, name in enumerate((*CAMVID11.names, "void"))}
    ignore = [name for name in labels.values() if name not in (*KNOWN, "car")]
    text = {"schema": 1, "name": "four", "labels": labels, "held_out": ["car"], "ignore": ignore}
    path = tmp_path_factory.mktemp("maps") / "four.json"
    path.write_text(json.dumps(text))
    return path


def make_checkpoint(
    path: Path, truth_map: Path, root: Path, head: str, backbone: str = "fast_scnn"
) -> Path:
    """Write the checkpoint of a random network whose embeddings spread over the prototypes."""
    torch.manual_seed(3)
    config = NetworkConfig(backbone=backbone, head=head, size=SIZE)  # type: ignore[arg-type]
    base = get_recipe("camvid_tiny")
    recipe = replace(base, network=config, data=replace(base.data, truth_map=str(truth_map)))
    network = build_network(config, len(KNOWN))
    images = np.stack([cv2.imread(str(p))[..., ::-1] for p in sorted((root / "images").iterdir())])
    batch = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        for _ in range(30):  # running statistics
            network.train()(batch)
        network.embed.weight.normal_()
        embedding = network.eval()(batch).embedding
        spread = embedding.std(dim=(0, 2, 3))
        network.embed.weight.mul_(1.2 / spread[:, None, None, None])
        network.embed.bias.copy_(0.75 - 1.2 * embedding.mean(dim=(0, 2, 3)) / spread)
    state = network.state_dict()
    save_checkpoint(checkpoint_of(recipe, state), path)
    return path


def checkpoint_of(recipe: Recipe, state: dict[str, torch.Tensor]) -> Checkpoint:
    zeros = {name: torch.zeros_like(value) for name, value in state.items()}
    return Checkpoint(
        recipe=recipe,
        class_names=KNOWN,
        step=7,
        network=zeros,  # the average is what must be exported
        average=state,
        optimizer={},
        history={},
    )


@pytest.fixture(scope="session")
def write_checkpoint(truth_map: Path, camvid_tree: Path) -> Callable[[Path, str, str], Path]:
    """Give a function that writes the checkpoint of another backbone: (path, head, backbone)."""
    return lambda path, head, name: make_checkpoint(path, truth_map, camvid_tree, head, name)


@pytest.fixture(scope="session")
def checkpoint(
    tmp_path_factory: pytest.TempPathFactory, truth_map: Path, camvid_tree: Path
) -> Path:
    path = tmp_path_factory.mktemp("runs") / "metric.pt"
    return make_checkpoint(path, truth_map, camvid_tree, "metric")


@pytest.fixture(scope="session")
def softmax_checkpoint(
    tmp_path_factory: pytest.TempPathFactory, truth_map: Path, camvid_tree: Path
) -> Path:
    path = tmp_path_factory.mktemp("runs") / "softmax.pt"
    return make_checkpoint(path, truth_map, camvid_tree, "softmax")


def describe(path: Path, manifest: Manifest, checkpoint: Path, root: Path) -> Exported:
    trained = load_trained(checkpoint)
    constants = {n: Calibration(**c) for n, c in manifest.score["constants"].items()}
    score = CalibratedScore(manifest.score["method"], manifest.score["form"], constants)
    four = load_truth_map(trained.checkpoint.recipe.data.truth_map)
    frames = [load_resized(s, four, KNOWN, SIZE) for s in open_dataset("camvid", root, "train")]
    return Exported(path, manifest, trained, score, frames)


@pytest.fixture(scope="session")
def exported(
    checkpoint: Path, camvid_tree: Path, tmp_path_factory: pytest.TempPathFactory
) -> Exported:
    """Export the metric network with the recipe's score (EDS, fitted constants)."""
    path = tmp_path_factory.mktemp("bundles") / "new folder" / "metric.onnx"
    manifest = export_bundle(checkpoint, ExportOptions(root=camvid_tree, out=path))
    return describe(path, manifest, checkpoint, camvid_tree)


@pytest.fixture(scope="session")
def exported_softmax(
    softmax_checkpoint: Path, camvid_tree: Path, tmp_path_factory: pytest.TempPathFactory
) -> Exported:
    """Export the softmax network with the energy in the per-image form, by the command line."""
    path = tmp_path_factory.mktemp("bundles") / "softmax.onnx"
    argv = ["export", softmax_checkpoint, "--root", camvid_tree, "--out", path]
    options = ["--score", "energy", "--form", "paper", "--operating-point", "tpr_95"]
    assert main([str(a) for a in argv] + options) == 0
    return describe(path, load_bundle(path).manifest, softmax_checkpoint, camvid_tree)
