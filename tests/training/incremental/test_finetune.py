"""The baseline: everything changes, only the annotation teaches, the old classes are lost."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import torch

from owseg_training.incremental.bank import AnnotatedImage, to_tensor
from owseg_training.incremental.config import IncrementalConfig
from owseg_training.incremental.finetune import fine_tune, with_new_class
from owseg_training.models import DMLNet


def test_every_weight_and_statistic_changes_but_not_the_network_it_starts_from(
    base: DMLNet, shots: list[AnnotatedImage], quick: IncrementalConfig
) -> None:
    before = copy.deepcopy(base.state_dict())
    tuned = fine_tune(base, shots, quick, 0).state_dict()
    assert all(torch.equal(before[n], base.state_dict()[n]) for n in before)
    constant = {"mean", "std", "prototypes"}
    learnt = [n for n in tuned if n not in constant and not n.startswith("direction.")]
    same = [
        n for n in learnt if tuned[n].shape == before[n].shape and torch.equal(tuned[n], before[n])
    ]
    assert len(learnt) > 100
    assert same == []
    assert tuned["embed.weight"].shape[0] == 11
    torch.testing.assert_close(tuned["prototypes"], 3 * torch.eye(11))


def test_it_starts_as_the_old_network(base: DMLNet, shots: list[AnnotatedImage]) -> None:
    larger = with_new_class(base.requires_grad_(False))
    x = to_tensor(shots[0].image, torch.device("cpu"))
    with torch.no_grad():
        old, new = base(x).embedding, larger(x).embedding
        torch.testing.assert_close(new[:, :10], old, rtol=0, atol=1e-4)
    assert all(p.requires_grad for p in larger.parameters())


def test_it_forgets(base: DMLNet, shots: list[AnnotatedImage], quick: IncrementalConfig) -> None:
    """The left half of a noise image is annotated; nothing defends the old classes at the right."""
    noise = np.random.default_rng(5).integers(0, 120, shots[0].image.shape, dtype=np.uint8)
    mask = np.zeros_like(shots[0].mask)
    mask[:, :48] = 1
    config = replace(quick, steps=25, optim=replace(quick.optim, lr=1e-2))
    tuned = fine_tune(base, [AnnotatedImage(noise, mask)], config, 0)
    x = to_tensor(noise, torch.device("cpu"))
    with torch.no_grad():
        old, new = base(x).embedding.argmax(dim=1), tuned(x).embedding.argmax(dim=1)
    assert not tuned.training
    assert len(old[..., 6:].unique()) > 3
    assert float((new[..., 6:] == 10).float().mean()) > 0.8


def test_pixels_that_are_not_annotated_do_not_count(
    base: DMLNet, shots: list[AnnotatedImage], quick: IncrementalConfig
) -> None:
    void = [AnnotatedImage(shot.image, np.zeros_like(shot.mask)) for shot in shots]
    config = replace(quick, steps=1, optim=replace(quick.optim, weight_decay=0.0))
    tuned = fine_tune(base, void, config, 0)
    start = with_new_class(base)
    names = [n for n, _ in start.named_parameters() if n != "embed.weight"]
    for name in names:  # no label, no gradient
        assert torch.equal(tuned.state_dict()[name], start.state_dict()[name]), name


def test_the_same_seed_gives_the_same_network(
    base: DMLNet, shots: list[AnnotatedImage], quick: IncrementalConfig
) -> None:
    one, two, other = (fine_tune(base, shots, quick, seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[n], two[n]) for n in one)
    assert not torch.equal(one["embed.weight"], other["embed.weight"])


def test_a_single_shot_can_be_fine_tuned_on(
    base: DMLNet, shots: list[AnnotatedImage], quick: IncrementalConfig
) -> None:
    assert fine_tune(base, shots[:1], quick, 0).embed.out_channels == 11
