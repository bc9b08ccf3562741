"""A recipe of two steps, and a finished comparison of all methods on painted images."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from owseg.cli import main
from owseg_training import loop
from owseg_training.config import AugmentConfig, NetworkConfig, OptimConfig, Recipe
from owseg_training.recipes import RECIPES, get_recipe

RECIPE = "two_steps"
SEEDS = (0, 3)


def two_steps() -> Recipe:
    base = get_recipe("camvid_goss_tiny")
    return replace(
        base,
        name=RECIPE,
        data=replace(base.data, scene_worlds=1),
        augment=AugmentConfig(crop=(64, 96)),
        network=NetworkConfig(
            backbone="fast_scnn", head="softmax", strategy="joint", size=(64, 96)
        ),
        optim=OptimConfig(warmup=1, ema=0.0),
        loop=replace(base.loop, steps=2, amp=False, checkpoint_every=1),
    )


def no_direction() -> Recipe:
    base = two_steps()
    return replace(base, name="no_direction", network=replace(base.network, direction=False))


@contextmanager
def known() -> Iterator[None]:
    """Make the recipe known by its name; curves take longer to draw than its training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(RECIPES, RECIPE, two_steps)
        patch.setitem(RECIPES, "no_direction", no_direction)
        patch.setattr(loop, "plot_curves", lambda *args, **options: None)
        yield


@pytest.fixture(autouse=True)
def recipe() -> Iterator[str]:
    with known():
        yield RECIPE


@pytest.fixture(scope="session")
def done(camvid_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run all methods with two seeds; not to be changed."""
    out = tmp_path_factory.mktemp("runs") / "goss"
    argv = ["goss", "camvid_a", "--root", camvid_tree, "--out", out, "--recipe", RECIPE]
    with known():
        assert main([*map(str, argv), "--dfc-steps", "2", "--seeds", *map(str, SEEDS)]) == 0
    return out
