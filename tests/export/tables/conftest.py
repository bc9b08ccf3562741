"""A recipe of two steps, and finished runs of some networks on tiny images."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from owseg.cli import main
from owseg_export.tables import measure
from owseg_training import loop
from owseg_training.config import AugmentConfig, NetworkConfig, OptimConfig, Recipe
from owseg_training.recipes import RECIPES, get_recipe
from owseg_training.scorers import density

RECIPE = "two_steps"
SEEDS = (0, 3)
NETWORKS = ("softmax", "metric", "dropout", "ensemble")


def two_steps() -> Recipe:
    base = get_recipe("camvid_goss_tiny")
    network = NetworkConfig(backbone="fast_scnn", head="softmax", strategy="joint", size=(64, 96))
    return replace(
        base,
        name=RECIPE,
        augment=AugmentConfig(crop=(64, 96)),
        network=network,
        optim=OptimConfig(warmup=1, ema=0.0, lr=0.02),
        loop=replace(base.loop, steps=2, amp=False, checkpoint_every=1),
    )


@contextmanager
def quick() -> Iterator[None]:
    """Make the recipe known by its name, and leave out what takes time and decides nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(RECIPES, RECIPE, two_steps)
        patch.setattr(loop, "plot_curves", lambda *args, **options: None)
        patch.setattr(loop, "keep_freed_memory", lambda: None)
        patch.setattr(density, "STEPS", 5)
        patch.setattr(measure, "ROUNDS", 1)
        patch.setattr(measure, "FIT_EVERY", 1)
        yield


@pytest.fixture(autouse=True)
def recipe() -> Iterator[str]:
    with quick():
        yield RECIPE


def table(*argv: object) -> int:
    """Run `owseg table`."""
    try:
        return main(["table", *map(str, argv)])
    except SystemExit as stop:
        return int(stop.code or 0)


@pytest.fixture(scope="session")
def done(camvid_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run some networks with two seeds, and count the segments of one; not to be changed."""
    out = tmp_path_factory.mktemp("runs") / "tables"
    common = ("--root", camvid_tree, "--out", out, "--recipe", RECIPE)
    with quick():
        assert table("scores", *common, "--networks", *NETWORKS, "--seeds", *SEEDS) == 0
        assert (
            table("unknown_2", "--on", "camvid_a", *common, "--networks", "softmax", "--seeds", 0)
            == 0
        )
    return out


@pytest.fixture
def out(done: Path, tmp_path: Path) -> Path:
    """Give a copy of finished runs."""

    def copy(source: str, target: str) -> object:
        return os.link(source, target) if source.endswith(".pt") else shutil.copy(source, target)

    return Path(shutil.copytree(done, tmp_path / "copy", copy_function=copy))


@pytest.fixture
def again(camvid_tree: Path) -> Callable[..., int]:
    """Give a function that runs the command in a folder: (name, out, options)."""

    def call(name: str, out: Path, *options: object) -> int:
        argv = (name, "--root", camvid_tree, "--out", out, "--recipe", RECIPE)
        return table(*argv, "--seeds", *SEEDS, *options)

    return call
