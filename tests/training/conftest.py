"""Painted data sets whose truth can be read off the image, and recipes that run in seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from owseg.datasets import CAMVID11
from owseg_training import loop
from owseg_training.config import AugmentConfig, LoopConfig, NetworkConfig, OptimConfig, Recipe
from owseg_training.recipes import get_recipe

SIZE = (64, 96)
CODE = 20
"""Grey value of a painted class: its id times CODE."""


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Make results, and the time they take on a busy machine, independent of its cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True, scope="session")
def own_allocator() -> Iterator[None]:
    """Leave the allocator of the test process and OpenCV's threads as they are."""
    threads = cv2.getNumThreads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "keep_freed_memory", lambda: None)
        yield
    cv2.setNumThreads(threads)


def paint(seed: int, size: tuple[int, int] = SIZE) -> tuple[np.ndarray, np.ndarray]:
    """Return an image whose grey value is CODE * label, and the label map: blocks of all ids."""
    rng = np.random.default_rng(seed)
    rows, columns = size[0] // 16, size[1] // 16
    ids = rng.permutation(np.resize(np.arange(12), rows * columns)).reshape(rows, columns)
    labels = np.kron(ids, np.ones((16, 16))).astype(np.uint8)
    image = np.repeat((labels * CODE)[..., None], 3, axis=2)
    return image, labels


@dataclass
class PaintedSample:
    """A sample that needs no disk."""

    seed: int
    size: tuple[int, int] = SIZE

    def load(self) -> tuple[np.ndarray, np.ndarray]:
        return paint(self.seed, self.size)


class PaintedReader:
    """A reader of painted images."""

    name, split, label_space = "painted", "train", CAMVID11

    def __init__(self, count: int = 4, size: tuple[int, int] = SIZE) -> None:
        self.samples = [PaintedSample(i, size) for i in range(count)]

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.samples)


@pytest.fixture
def painted_reader() -> PaintedReader:
    return PaintedReader()


def write_tree(root: Path, count: int) -> Path:
    """Write a CamVid folder with the splits train and val of painted images."""
    for folder in ("images", "labels", "splits"):
        (root / folder).mkdir(parents=True)
    names = [f"painted_{i}" for i in range(count)]
    for i, name in enumerate(names):
        image, labels = paint(i)
        cv2.imwrite(str(root / "images" / f"{name}.png"), image)
        cv2.imwrite(str(root / "labels" / f"{name}.png"), labels)
    for split in ("train", "val"):
        (root / "splits" / f"{split}.txt").write_text("\n".join(names) + "\n")
    return root


@pytest.fixture(scope="session")
def camvid_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tree(tmp_path_factory.mktemp("data") / "CamVid", 3)


@pytest.fixture(scope="session")
def single_image_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tree(tmp_path_factory.mktemp("data") / "CamVid", 1)


@pytest.fixture(scope="session")
def tiny() -> Callable[..., Recipe]:
    """Return a function that makes a small float32 recipe; keywords are those of LoopConfig."""

    def make(**loop_options: Any) -> Recipe:
        options = {"steps": 6, "batch": 2, "amp": False, "workers": 0, "checkpoint_every": 3}
        return replace(
            get_recipe("camvid_tiny"),
            augment=AugmentConfig(crop=SIZE),
            network=NetworkConfig(backbone="fast_scnn", size=SIZE),
            optim=OptimConfig(warmup=2, lr=5e-3),
            loop=LoopConfig(**{**options, **loop_options}),
        )

    return make
