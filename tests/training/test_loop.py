"""The loop: it learns, resumes to the bit, refuses what does not fit, and leaves curves behind."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from owseg.datasets import load_truth_map
from owseg.errors import DatasetError, InputError, OutputError, UsageError
from owseg_training import loop
from owseg_training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from owseg_training.config import AugmentConfig, NetworkConfig, OptimConfig, Recipe
from owseg_training.curves import plot_curves
from owseg_training.loop import train

Make = Callable[..., Recipe]


@pytest.fixture
def every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Log the loss of every step."""
    monkeypatch.setattr(loop, "LOG_EVERY", 1)


@pytest.fixture(scope="module")
def finished(
    tiny: Make, camvid_tree: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Checkpoint]:
    """One uninterrupted run of six steps that logs every step."""
    out = tmp_path_factory.mktemp("runs") / "deep" / "finished"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "LOG_EVERY", 1)
        path = train(tiny(), camvid_tree, out)
    return out, load_checkpoint(path)


def equal(a: Any, b: Any) -> bool:
    """Whether two nests of tensors are equal to the bit."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(equal, a, b))
    return bool(a == b)


def test_checkpoint_carries_the_whole_run(finished: tuple[Path, Checkpoint], tiny: Make) -> None:
    _, checkpoint = finished
    assert checkpoint.recipe == tiny()
    assert checkpoint.step == 6
    assert len(checkpoint.class_names) == 10
    assert "car" not in checkpoint.class_names
    assert all(len(values) == 6 for values in checkpoint.history.values())
    assert not equal(checkpoint.average, checkpoint.network)


GOLDEN = (2.3322, 2.3215, 2.2452, 2.2573, 2.1682)
"""Classification loss of the first steps. A change of stream, network, loss or optimiser shows
here; record new values only for a change that is meant."""


def test_golden_loss_curve(tiny: Make, camvid_tree: Path, tmp_path: Path, every_step: None) -> None:
    # A narrow DDRNet, SGD and a batch of 8: other networks blow rounding errors up to per cents
    # within five steps, so that the curve would depend on the processor.
    recipe = replace(
        tiny(steps=5, batch=8),
        network=NetworkConfig(width=8, size=(64, 96)),
        optim=OptimConfig(optimizer="sgd", lr=0.02, warmup=2),
    )
    found = load_checkpoint(train(recipe, camvid_tree, tmp_path)).history["classification"]
    assert found[0] == pytest.approx(GOLDEN[0], rel=2e-4)
    assert found == pytest.approx(GOLDEN, rel=0.012)


def test_loss_terms_add_up_in_the_history(finished: tuple[Path, Checkpoint]) -> None:
    terms = {name: np.array(values) for name, values in finished[1].history.items()}
    expected = terms["classification"] + 0.01 * terms["variance"] + terms["direction"]
    np.testing.assert_allclose(terms["total"], expected, rtol=1e-5)
    assert (terms["variance"] > 1).all()


def test_learns_a_single_image(
    tiny: Make, single_image_tree: Path, tmp_path: Path, every_step: None
) -> None:
    still = AugmentConfig(crop=(64, 96), scale=(1, 1), flip=0, jitter=0, hue=0, copy_paste=0)
    recipe = replace(tiny(steps=30, checkpoint_every=30), augment=still)
    loss = load_checkpoint(train(recipe, single_image_tree, tmp_path)).history["classification"]
    assert np.mean(loss[-3:]) < 0.6 * np.mean(loss[:3])


class KilledError(Exception):
    """Stands for a process that is killed."""


def interrupt_after_first_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    def save_and_die(checkpoint: Checkpoint, path: Path) -> None:
        save_checkpoint(checkpoint, path)
        raise KilledError

    monkeypatch.setattr(loop, "save_checkpoint", save_and_die)


def test_resume_gives_the_same_bits_as_an_uninterrupted_run(
    finished: tuple[Path, Checkpoint],
    tiny: Make,
    camvid_tree: Path,
    tmp_path: Path,
    every_step: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        interrupt_after_first_checkpoint(patch)
        with pytest.raises(KilledError):
            train(tiny(), camvid_tree, tmp_path)
    assert load_checkpoint(tmp_path / "checkpoint.pt").step == 3
    resumed = load_checkpoint(train(tiny(), camvid_tree, tmp_path, resume=True))
    whole = finished[1]
    assert resumed.step == whole.step
    for field in ("network", "average", "optimizer", "history"):
        assert equal(getattr(resumed, field), getattr(whole, field)), field


def test_resuming_a_finished_run_changes_nothing(
    finished: tuple[Path, Checkpoint], tiny: Make, camvid_tree: Path
) -> None:
    out, before = finished
    after = load_checkpoint(train(tiny(), camvid_tree, out, resume=True))
    assert equal(after.network, before.network)


def test_another_seed_is_another_run(
    finished: tuple[Path, Checkpoint], tiny: Make, camvid_tree: Path, tmp_path: Path
) -> None:
    recipe = replace(tiny(steps=1), seed=1)
    other = load_checkpoint(train(recipe, camvid_tree, tmp_path)).history["classification"][0]
    assert other != finished[1].history["classification"][0]


@pytest.mark.parametrize("change", [{"steps": 9}, {"checkpoint_every": 2}])
def test_resuming_another_recipe_is_refused(
    change: dict[str, int], finished: tuple[Path, Checkpoint], tiny: Make, camvid_tree: Path
) -> None:
    with pytest.raises(UsageError, match="made by another recipe, seed or split"):
        train(tiny(**change), camvid_tree, finished[0], resume=True)


def test_a_run_starts_from_the_averaged_backbone_of_another(
    finished: tuple[Path, Checkpoint], tiny: Make, camvid_tree: Path
) -> None:
    source = str(finished[0] / "checkpoint.pt")
    recipe = replace(tiny(), network=replace(tiny().network, init=source, head="softmax"))
    started = loop._Run(recipe, camvid_tree).network.state_dict()
    given = finished[1].average
    backbone = [name for name in given if name.startswith("backbone.")]
    assert len(backbone) > 100
    assert all(torch.equal(started[name], given[name]) for name in backbone)
    assert not torch.equal(started["embed.weight"], given["embed.weight"])


def test_a_run_starts_from_the_whole_of_the_same_network(
    finished: tuple[Path, Checkpoint], tiny: Make, camvid_tree: Path
) -> None:
    source = str(finished[0] / "checkpoint.pt")
    same = replace(tiny(), network=replace(tiny().network, init=source))
    given = finished[1].average
    run = loop._Run(same, camvid_tree)
    for network in (run.network, run.average.network):
        assert all(torch.equal(network.state_dict()[name], given[name]) for name in given)
    other = replace(same, data=replace(same.data, truth_map="camvid_c"))
    assert len(load_truth_map("camvid_c").known_names) != len(finished[1].class_names)
    started = loop._Run(other, camvid_tree).network.state_dict()
    assert started["embed.weight"].shape != given["embed.weight"].shape
    first = "backbone.downsample.0.0.weight"
    assert torch.equal(started[first], given[first])


def test_starting_from_another_backbone_is_refused(
    finished: tuple[Path, Checkpoint], tiny: Make, camvid_tree: Path
) -> None:
    source = str(finished[0] / "checkpoint.pt")
    network = replace(tiny().network, backbone="ddrnet", init=source)
    with pytest.raises(UsageError, match="it has another backbone"):
        loop._Run(replace(tiny(), network=network), camvid_tree)


def test_resuming_without_a_checkpoint(tiny: Make, camvid_tree: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no checkpoint at .*checkpoint\.pt"):
        train(tiny(), camvid_tree, tmp_path, resume=True)


def test_missing_data_set(tiny: Make, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no CamVid folder at"):
        train(tiny(), tmp_path / "nowhere", tmp_path / "out")


def test_unwritable_out(tiny: Make, camvid_tree: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot create the folder"):
        train(tiny(), camvid_tree, tmp_path / "file")


def test_folder_without_permission_is_found_before_training(
    tiny: Make, camvid_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(OutputError, match="cannot write into"):
        train(tiny(), camvid_tree, tmp_path)


def test_mixed_precision_trains_and_keeps_float32_weights(
    finished: tuple[Path, Checkpoint],
    tiny: Make,
    camvid_tree: Path,
    tmp_path: Path,
    every_step: None,
) -> None:
    checkpoint = load_checkpoint(train(tiny(steps=2, amp=True), camvid_tree, tmp_path))
    assert np.isfinite(checkpoint.history["total"]).all()
    floats = [v for v in checkpoint.network.values() if v.is_floating_point()]
    assert {v.dtype for v in floats} == {torch.float32}
    exact = finished[1].history["classification"][0]
    assert checkpoint.history["classification"][0] == pytest.approx(exact, rel=0.01)
    assert checkpoint.history["classification"][0] != exact


def test_curves_are_drawn_for_each_term(finished: tuple[Path, Checkpoint]) -> None:
    picture = cv2.imread(str(finished[0] / "curves.png"))
    assert picture is not None
    assert picture.shape[1] > 4 * 400
    dark_blue = (np.abs(picture.astype(int) - (0x79, 0x4E, 0x1F)).max(axis=2) < 40).any(axis=0)
    quarters = np.array_split(dark_blue, 4)
    assert all(quarter.any() for quarter in quarters)


def test_curves_of_an_empty_history_and_an_unwritable_place(tmp_path: Path) -> None:
    plot_curves({"total": []}, tmp_path / "empty.png", title="nothing")
    assert (tmp_path / "empty.png").stat().st_size > 0
    with pytest.raises(OutputError, match="cannot write the curves"):
        plot_curves({"total": [1.0, 2.0]}, tmp_path / "no" / "folder.png", title="x")


def test_class_weights_favour_rare_classes_and_keep_the_mean_weight_at_one(
    tiny: Make, camvid_tree: Path
) -> None:
    run = loop._Run(tiny(), camvid_tree)
    frequency = np.array([0.4, 0.1, 0.3, 0.2], np.float32)
    run.stream.frequencies = frequency
    weights = run._class_weights()
    assert weights is not None
    assert float((weights.numpy() * frequency).sum()) == pytest.approx(1, rel=1e-5)
    assert float(weights[1] / weights[0]) == pytest.approx(4**0.25, rel=1e-5)


def test_learning_rate_and_clipping_reach_the_optimiser(
    tiny: Make, camvid_tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clipped: list[float] = []
    clip = torch.nn.utils.clip_grad_norm_
    monkeypatch.setattr(
        torch.nn.utils,
        "clip_grad_norm_",
        lambda parameters, limit: clipped.append(limit) or clip(parameters, limit),
    )
    run = loop._Run(tiny(steps=3), camvid_tree)
    rates = []
    for _ in run.steps():
        rates.append([group["lr"] for group in run.optimizer.param_groups])
    assert rates == [[2.5e-3] * 2, [5e-3] * 2, [5e-3] * 2]
    assert clipped == [5.0] * 3
