"""The class for unknown pixels: what it learns, and its score."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from owseg.datasets import CAMVID11, TruthMap, load_truth_map
from owseg.errors import UsageError
from owseg_training.checkpoint import load_checkpoint
from owseg_training.config import AugmentConfig, DataConfig, LossConfig, NetworkConfig, Recipe
from owseg_training.data import OUTLIER_ID, Batch, TrainingStream
from owseg_training.data.augment import UNLABELLED_ID
from owseg_training.loop import train
from owseg_training.losses import total_loss
from owseg_training.models import NetworkOutput, build_network
from owseg_training.scorers import CalibratedScore, Evidence, get_scorer, softmax_evidence
from owseg_training.scorers.n_plus_1 import n_plus_1

N = 10
VOID, CAR = 11, CAMVID11.id_of("car")
SPLIT_A = load_truth_map("camvid_a")
STILL = AugmentConfig(crop=(64, 96), scale=(1, 1), flip=0, jitter=0, hue=0, copy_paste=0)


@pytest.fixture
def recipe(tiny: Callable[..., Recipe]) -> Recipe:
    network = NetworkConfig(backbone="fast_scnn", size=(64, 96), head="softmax", unknown=True)
    return replace(tiny(steps=2), augment=STILL, data=DataConfig(cache=False), network=network)


# What is learnt ---------------------------------------------------------------------------------


def test_void_is_learnt_and_held_out_classes_are_not(painted_reader: Any, recipe: Recipe) -> None:
    stream = TrainingStream(painted_reader, SPLIT_A, recipe, 8)
    draw = stream[0]
    painted = np.round(draw.image[..., 0] / 20).astype(int)
    assert (draw.labels[painted == VOID] == UNLABELLED_ID).all()
    assert (draw.labels[painted == CAR] == 255).all()
    known = (painted != VOID) & (painted != CAR)
    assert (draw.labels[known] < N).all()
    assert {VOID, CAR} <= set(np.unique(painted).tolist())


def test_void_has_a_frequency_but_no_direction(painted_reader: Any, recipe: Recipe) -> None:
    stream = TrainingStream(painted_reader, SPLIT_A, recipe, 8)
    assert stream.frequencies.shape == (N + 1,)
    labels = np.stack([sample.load()[1] for sample in painted_reader])
    learnt = (labels != CAR).sum()
    assert stream.frequencies[-1] == pytest.approx((labels == VOID).sum() / learnt)
    assert stream.frequencies.sum() == pytest.approx(1, abs=1e-5)
    draw = stream[0]
    cells = draw.labels[4::8, 4::8]
    assert (draw.direction_weight[(cells == UNLABELLED_ID) | (cells == 255)] == 0).all()
    assert (draw.direction_weight[cells < N] > 0).all()


def test_plain_networks_see_void_as_before(painted_reader: Any, recipe: Recipe) -> None:
    plain = replace(recipe, network=replace(recipe.network, unknown=False))
    labels = TrainingStream(painted_reader, SPLIT_A, plain, 8)[0].labels
    assert UNLABELLED_ID not in labels
    assert 255 in labels


def test_without_void_pixels_there_is_nothing_to_learn(painted_reader: Any, recipe: Recipe) -> None:
    names = dict(enumerate(CAMVID11.names))
    everything = TruthMap(name="full", labels={**names, VOID: "rest"}, held_out=("car",))
    with pytest.raises(UsageError, match="painted train has none with the truth map 'full'"):
        TrainingStream(painted_reader, everything, recipe, 8)


def case() -> tuple[NetworkOutput, Batch]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, 4, 2, 2, generator=generator).requires_grad_()
    labels = torch.tensor([[[0, 2], [UNLABELLED_ID, OUTLIER_ID]]])
    direction = torch.zeros(1, 2, 2, 2)
    return NetworkOutput(logits, direction), Batch(
        torch.zeros(1, 3, 2, 2), labels, direction, torch.zeros(1, 2, 2)
    )


def test_void_and_strange_pixels_are_the_last_class() -> None:
    wanted = Recipe(
        name="test",
        network=NetworkConfig(head="softmax", unknown=True, direction=False),
        loss=LossConfig(class_balance=0.0),
    )
    output, batch = case()
    found = total_loss(output, batch, wanted, torch.eye(4), None).total
    log_p = output.embedding.log_softmax(dim=1)[0]
    own = [log_p[0, 0, 0], log_p[2, 0, 1], log_p[3, 1, 0], log_p[3, 1, 1]]
    torch.testing.assert_close(found, -torch.stack(own).mean())


def test_void_says_nothing_to_networks_without_the_class() -> None:
    wanted = Recipe(
        name="test",
        network=NetworkConfig(head="softmax", direction=False),
        loss=LossConfig(class_balance=0.0),
    )
    output, batch = case()
    found = total_loss(output, batch, wanted, torch.eye(4), None).total
    log_p = output.embedding.log_softmax(dim=1)[0]
    torch.testing.assert_close(found, -(log_p[0, 0, 0] + log_p[2, 0, 1]) / 2)


def test_contrast_looks_at_known_pixels_alone() -> None:
    wanted = Recipe(
        name="test",
        network=NetworkConfig(head="softmax", unknown=True, direction=False, projection=2),
        loss=LossConfig(class_balance=0.0, contrast=1.0),
    )
    generator = torch.Generator().manual_seed(0)
    projection = torch.randn(1, 2, 4, 4, generator=generator).requires_grad_()
    labels = torch.zeros(1, 4, 4, dtype=torch.long)
    labels[0, 2:], labels[0, 3] = 1, UNLABELLED_ID
    logits = torch.randn(1, 4, 4, 4, generator=generator)
    batch = Batch(torch.zeros(1, 3, 4, 4), labels, torch.zeros(1, 2, 4, 4), torch.zeros(1, 4, 4))
    output = NetworkOutput(logits, batch.direction, projection=projection)
    terms = total_loss(output, batch, wanted, torch.eye(4), None, torch.Generator())
    terms.contrast.backward()
    assert projection.grad is not None
    touched = projection.grad.abs().sum(dim=1)[0] > 0
    assert not touched[3].any()
    assert touched[:3].all()


def test_a_metric_head_has_no_such_class() -> None:
    with pytest.raises(UsageError, match="needs the softmax head, not the metric head"):
        build_network(NetworkConfig(backbone="fast_scnn", unknown=True), 3)


def test_a_run_learns_one_logit_more(recipe: Recipe, camvid_tree: Path, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(train(recipe, camvid_tree, tmp_path))
    assert len(checkpoint.class_names) == N
    assert checkpoint.network["embed.weight"].shape[0] == N + 1
    assert checkpoint.network["prototypes"].shape == (N + 1, N + 1)


# Its score --------------------------------------------------------------------------------------


@pytest.mark.parametrize("beta", [1.0, 5.0, 0.2])
def test_score_against_the_softmax(beta: float) -> None:
    logits = 4 * torch.randn(2, 4, 3, 5, generator=torch.Generator().manual_seed(0))
    evidence = softmax_evidence(logits, unknown=True)
    c = logits.double().softmax(dim=1)
    unknown, best = beta * c[:, -1], c[:, :-1].amax(dim=1)
    found = n_plus_1(evidence, beta)
    torch.testing.assert_close(found.double(), unknown / (unknown + best), rtol=1e-5, atol=1e-6)
    assert torch.equal(found > 0.5, unknown > best)
    assert evidence.logits.shape == (2, 3, 3, 5)


def test_adjusting_the_confidence_finds_more_and_keeps_the_order() -> None:
    logits = torch.randn(1, 4, 20, 20, generator=torch.Generator().manual_seed(0))
    evidence = softmax_evidence(logits, unknown=True)
    plain, adjusted = (
        CalibratedScore("n_plus_1", "constant", {}, beta=beta)(evidence) for beta in (1.0, 5.0)
    )
    assert 0 < int((plain > 0.5).sum()) < int((adjusted > 0.5).sum())
    assert torch.equal(plain.flatten().argsort(), adjusted.flatten().argsort())
    assert torch.equal(get_scorer("n_plus_1")(evidence), plain)


def test_extreme_logits_are_finite() -> None:
    evidence = Evidence(torch.full((1, 2, 1, 1), -3e4), None, torch.full((1, 1, 1), 3e4))
    assert n_plus_1(evidence, 5.0).item() == 1.0
