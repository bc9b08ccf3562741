"""What the direction branch teaches: its own layers, the whole network, or one of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from owseg.errors import UsageError
from owseg_training import loop
from owseg_training.checkpoint import load_checkpoint
from owseg_training.config import AugmentConfig, LossConfig, NetworkConfig, OptimConfig, Recipe
from owseg_training.incremental.network import PLMNetwork
from owseg_training.loop import load_backbone, train
from owseg_training.models import DMLNet, build_network
from owseg_training.recipes import get_recipe, goss

STRATEGIES = ("detached", "joint", "separate")


def network(strategy: str, backbone: str = "fast_scnn", **options: Any) -> DMLNet:
    torch.manual_seed(0)
    return build_network(
        NetworkConfig(backbone=backbone, width=8, strategy=strategy, **options),  # type: ignore[arg-type]
        3,
    )


def touched(made: DMLNet) -> set[str]:
    """Return the children that have a gradient."""
    return {n.split(".")[0] for n, p in made.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("detached", {"direction"}),
        ("joint", {"direction", "backbone"}),
        ("separate", {"direction", "direction_backbone"}),
    ],
)
def test_gradient_of_the_direction_reaches_what_the_strategy_says(
    strategy: str, expected: set[str]
) -> None:
    made = network(strategy)
    made(torch.rand(2, 3, 64, 96)).direction.square().sum().backward()
    assert touched(made) == expected
    if strategy == "joint":
        stem = next(made.backbone.parameters()).grad
        assert stem is not None
        assert float(stem.abs().sum()) > 0


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_gradient_of_the_classes_stays_out_of_the_direction_branch(strategy: str) -> None:
    made = network(strategy)
    made(torch.rand(2, 3, 64, 96)).embedding.sum().backward()
    assert touched(made) == {"backbone", "embed"}


def test_separate_branches_are_two_networks_with_weights_of_their_own() -> None:
    made = network("separate").eval()
    x = torch.rand(1, 3, 64, 96)
    before = made(x)
    nn.init.zeros_(next(made.backbone.parameters()))
    after = made(x)
    torch.testing.assert_close(after.direction, before.direction)
    assert not torch.equal(after.embedding, before.embedding)
    assert not torch.equal(
        network("separate").backbone.state_dict()["downsample.0.0.weight"],  # type: ignore[index]
        made.direction_backbone.state_dict()["downsample.0.0.weight"],  # type: ignore[union-attr]
    )


def test_learners_hold_every_weight_once() -> None:
    for strategy, count in (("detached", 1), ("joint", 1), ("separate", 2)):
        made = network(strategy)
        groups = made.learners()
        assert len(groups) == count
        ids = [id(p) for group in groups for p in group]
        assert sorted(ids) == sorted(id(p) for p in made.parameters())


def test_a_separate_base_can_learn_classes_later() -> None:
    made = network("separate", backbone="ddrnet").eval()
    extended = PLMNetwork(made)
    extended.add(extended.new_head())
    x = torch.rand(1, 3, 64, 96)
    torch.testing.assert_close(extended(x).direction, made(x).direction)
    torch.testing.assert_close(made.embed_only(made.trunk(x)), made(x).embedding)


# In the loop ------------------------------------------------------------------------------------


def short(strategy: str, **loss: Any) -> Recipe:
    base = get_recipe("camvid_tiny")
    return replace(
        base,
        augment=AugmentConfig(crop=(64, 96)),
        network=NetworkConfig(backbone="fast_scnn", size=(64, 96), strategy=strategy),  # type: ignore[arg-type]
        loss=LossConfig(**loss),
        optim=OptimConfig(lr=5e-3, warmup=1, clip=0.5),
        loop=replace(base.loop, steps=2, amp=False),
    )


def classes_after(tree: Path, out: Path, recipe: Recipe) -> dict[str, torch.Tensor]:
    state = load_checkpoint(train(recipe, tree, out)).network
    return {n: v for n, v in state.items() if n.startswith(("backbone.", "embed."))}


def test_separate_classes_learn_as_if_there_were_no_direction(
    camvid_tree: Path, tmp_path: Path
) -> None:
    heavy, light = (
        classes_after(camvid_tree, tmp_path / str(w), short("separate", direction=w))
        for w in (50.0, 0.1)
    )
    assert all(torch.equal(heavy[name], light[name]) for name in heavy)


def test_joint_classes_do_not(camvid_tree: Path, tmp_path: Path) -> None:
    heavy, light = (
        classes_after(camvid_tree, tmp_path / str(w), short("joint", direction=w))
        for w in (50.0, 0.1)
    )
    assert not all(torch.equal(heavy[name], light[name]) for name in heavy)


def test_a_contrastive_run_resumes_to_the_bit(
    camvid_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "LOG_EVERY", 1)
    base = short("joint")
    recipe = replace(
        base,
        network=replace(base.network, projection=8),
        loss=LossConfig(contrast=0.5),
        loop=replace(base.loop, checkpoint_every=1),
    )
    whole = load_checkpoint(train(recipe, camvid_tree, tmp_path / "whole"))
    assert min(whole.history["contrast"]) > 0.1
    assert whole.network["project.3.weight"].shape == (8, 128, 1, 1)
    half = tmp_path / "half"
    with monkeypatch.context() as patch:
        real = loop.save_checkpoint

        def die(*args: Any) -> None:
            real(*args)
            raise KeyboardInterrupt

        patch.setattr(loop, "save_checkpoint", die)
        with pytest.raises(KeyboardInterrupt):
            train(recipe, camvid_tree, half)
    torch.rand(1000)  # the state of the global generator must not matter
    resumed = load_checkpoint(train(recipe, camvid_tree, half, resume=True))
    assert all(torch.equal(resumed.network[n], v) for n, v in whole.network.items())


def test_the_projection_exists_in_training_only() -> None:
    made = network("joint", projection=16)
    output = made(torch.rand(2, 3, 64, 96))
    assert output.projection is not None
    assert output.projection.shape == (2, 16, 8, 12)
    output.projection.sum().backward()
    assert touched(made) == {"backbone", "project"}
    assert made.eval()(torch.rand(1, 3, 64, 96)).projection is None


def test_contrast_without_an_embedding_is_refused(camvid_tree: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"'camvid_tiny' has a contrastive loss but no embedding"):
        train(short("joint", contrast=0.01), camvid_tree, tmp_path)


def test_a_separate_branch_starts_from_the_given_backbone_too(
    camvid_tree: Path, tmp_path: Path
) -> None:
    checkpoint = load_checkpoint(train(short("detached"), camvid_tree, tmp_path))
    made = network("separate")
    load_backbone(made, checkpoint)
    for backbone in (made.backbone, made.direction_backbone):
        assert backbone is not None
        for name, value in backbone.state_dict().items():
            assert torch.equal(value, checkpoint.average[f"backbone.{name}"])


# Variants of recipes ----------------------------------------------------------------------------


def test_variants_change_what_they_are_about_and_nothing_else() -> None:
    base = goss.camvid_goss_small()
    assert base.network.strategy == "joint"
    made = goss.gst(base)
    assert (made.network.unknown, made.network.projection) == (True, 256)
    assert (made.loss.contrast, made.score.method, made.score.beta) == (0.01, "n_plus_1", 5.0)
    for part in ("data", "augment", "optim", "loop", "seed", "name"):
        assert getattr(made, part) == getattr(base, part)
    assert goss.softmax(made) == base
    assert goss.metric(made).network.head == "metric"
    assert not goss.metric(made).network.unknown
    assert goss.separate(base).network == replace(base.network, strategy="separate")
    assert goss.n_plus_1(made).loss.contrast == 0.0


def test_gpu_recipes_have_the_settings_of_the_paper() -> None:
    recipe = get_recipe("cityscapes_goss_contrast")
    assert (recipe.loss.direction, recipe.loss.direction_sum) == (1e-4, True)
    assert (recipe.loss.contrast, recipe.loss.sampling.temperature) == (1e-2, 0.07)
    assert (recipe.loss.sampling.anchors, recipe.loss.sampling.views) == (1024, 10)
    assert (recipe.optim.optimizer, recipe.optim.lr) == ("adam", 5e-5)
    assert (recipe.loop.steps, recipe.loop.batch, recipe.augment.crop) == (40000, 2, (641, 641))
    assert (recipe.network.backbone, recipe.network.strategy) == ("deeplab50", "joint")
    assert recipe.network.projection == 256
