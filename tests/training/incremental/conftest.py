"""A random base network of ten classes, shots on noise images, and a small run of all methods."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from owseg.cli import main
from owseg.datasets import load_truth_map
from owseg_training.checkpoint import Checkpoint, save_checkpoint
from owseg_training.config import AugmentConfig, NetworkConfig, OptimConfig
from owseg_training.incremental.bank import AnnotatedImage, to_tensor
from owseg_training.incremental.config import IncrementalConfig
from owseg_training.models import DMLNet, build_network
from owseg_training.recipes import get_recipe

SIZE = (64, 96)


def random_base(backbone: str = "fast_scnn", classes: int = 10) -> DMLNet:
    """Return a network with random weights and statistics."""
    torch.manual_seed(0)
    config = NetworkConfig(backbone=backbone, width=8, size=SIZE)
    network = build_network(config, classes)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            module.running_mean.normal_(std=0.1)
    nn.init.normal_(network.embed.weight, std=0.3)
    return network.eval()


@torch.no_grad()
def fit(network: DMLNet, images: Tensor) -> DMLNet:
    """Fit statistics and embedding to images, so that the network answers to what it sees."""
    for _ in range(20):
        network.train()(images)
    nn.init.normal_(network.embed.weight)
    embedding = network.eval()(images).embedding
    scale = embedding.std(dim=(0, 2, 3))
    network.embed.weight.div_(scale[:, None, None, None])
    assert network.embed.bias is not None
    network.embed.bias.copy_(-embedding.mean(dim=(0, 2, 3)) / scale)
    return network


def stack(images: Sequence[np.ndarray]) -> Tensor:
    return torch.cat([to_tensor(image, torch.device("cpu")) for image in images])


@pytest.fixture(scope="session")
def make_base() -> Callable[..., DMLNet]:
    """Give the function that makes a random network: (backbone, classes)."""
    return random_base


@pytest.fixture(scope="session")
def fitted_base(shots: list[AnnotatedImage]) -> DMLNet:
    return fit(random_base(), stack([shot.image for shot in shots]))


@pytest.fixture
def base(fitted_base: DMLNet) -> DMLNet:
    """Return a network of ten classes, all of which it sees in the shots."""
    return copy.deepcopy(fitted_base)


@pytest.fixture(scope="session")
def quick() -> IncrementalConfig:
    """Return a configuration of a few steps in float32."""
    return IncrementalConfig(
        steps=4,
        batch=2,
        views=6,
        amp=False,
        augment=AugmentConfig(scale=(0.8, 1.2), copy_paste=0.0),
        optim=OptimConfig(lr=2e-3, weight_decay=0.01, warmup=1, ema=0.0),
    )


@pytest.fixture(scope="session")
def shots() -> list[AnnotatedImage]:
    """Return two images of noise with a bright car each."""
    made = []
    for seed in range(2):
        rng = np.random.default_rng(seed)
        image = rng.integers(0, 120, (*SIZE, 3), dtype=np.uint8)
        mask = np.zeros(SIZE, np.uint8)
        mask[20:44, 10 + 30 * seed : 50 + 30 * seed] = 1
        image[mask == 1] += 130
        made.append(AnnotatedImage(image, mask))
    return made


@pytest.fixture(scope="session")
def write_checkpoint(camvid_tree: Path) -> Callable[..., Path]:
    """Give the function that writes a checkpoint of a random network fitted to painted images.

    (path, truth map, head="metric", seed=0): it knows the classes of the truth map.
    """
    images = stack(
        [cv2.imread(str(p))[..., ::-1] for p in sorted((camvid_tree / "images").iterdir())]
    )

    def write(path: Path, truth_map: str, head: str = "metric", seed: int = 0) -> Path:
        tiny = get_recipe("camvid_tiny")
        network = NetworkConfig(backbone="fast_scnn", size=SIZE, head=head)  # type: ignore[arg-type]
        recipe = replace(tiny, network=network, data=replace(tiny.data, truth_map=truth_map))
        names = load_truth_map(truth_map).known_names
        torch.manual_seed(seed)
        state = fit(build_network(network, len(names)), images).state_dict()
        checkpoint = Checkpoint(
            recipe=recipe,
            class_names=names,
            step=30,
            network={name: torch.zeros_like(value) for name, value in state.items()},
            average=state,  # the one in use
            optimizer={},
            history={},
        )
        save_checkpoint(checkpoint, path)
        return path

    return write


@pytest.fixture(scope="session")
def base_checkpoint(
    tmp_path_factory: pytest.TempPathFactory, write_checkpoint: Callable[..., Path]
) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("runs") / "base.pt", "camvid_a")


@pytest.fixture(scope="session")
def done(
    camvid_tree: Path, base_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Run all methods that train no network of their own, with two seeds; not to be changed."""
    out = tmp_path_factory.mktemp("runs") / "ten and one"
    argv = ["incremental", "camvid_10+1", "--root", camvid_tree, "--out", out]
    argv += ["--base", base_checkpoint, "--shots", 1, 2, "--seeds", 0, 3, "--steps", 2]
    assert main([*map(str, argv), "--methods", "ft", "plm_latest", "plm_all", "npm"]) == 0
    return out
