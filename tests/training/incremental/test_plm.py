"""Training a head: what it sees, what it learns, and that all the rest stays bit for bit."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from owseg_training.incremental import bank
from owseg_training.incremental.bank import AnnotatedImage, augmented, make_views, to_tensor
from owseg_training.incremental.config import IncrementalConfig
from owseg_training.incremental.labels import merge, own_class
from owseg_training.incremental.network import PLMNetwork
from owseg_training.incremental.plm import class_weights, draws, learn_class, metric_loss
from owseg_training.models import DMLNet
from owseg_training.models.layers import resize

SIZE = (64, 96)


def state_of(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(before: dict[str, Tensor], module: nn.Module) -> bool:
    after = module.state_dict()
    return before.keys() == after.keys() and all(torch.equal(before[n], after[n]) for n in before)


def base_labels(network: PLMNetwork, image: np.ndarray) -> Tensor:
    with torch.no_grad():
        embedding = network.base(to_tensor(image, torch.device("cpu"))).embedding
    return resize(embedding, SIZE).argmax(dim=1)


# Views -----------------------------------------------------------------------------------------


def test_first_views_are_the_shots_themselves_with_pseudo_labels(
    base: DMLNet, shots: list[AnnotatedImage], quick: IncrementalConfig
) -> None:
    network = PLMNetwork(base)
    views = make_views(network, shots, quick, 0)
    assert len(views.labels) == quick.views
    for number, shot in enumerate(shots):
        expected = base_labels(network, shot.image)[0]
        expected[torch.from_numpy(shot.mask) == 1] = 10
        assert torch.equal(views.labels[number].long(), expected)
        with torch.no_grad():
            trunk = base.trunk(to_tensor(shot.image, torch.device("cpu")))
        for part, own in zip(views.features, trunk, strict=True):
            torch.testing.assert_close(part[number], own[0])


def test_older_heads_take_part_in_the_pseudo_labels(
    base: DMLNet, shots: list[AnnotatedImage], quick: IncrementalConfig
) -> None:
    network = PLMNetwork(base)
    head = network.new_head()
    second = int(base_labels(network, shots[0].image).flatten().bincount().argsort()[-2])
    with torch.no_grad():  # it claims what was the second most frequent class
        head.embed.weight[10] = head.embed.weight[second]
        head.embed.bias[10] = head.embed.bias[second] + 0.01
    network.add(head)
    labels = make_views(network, shots, replace(quick, views=2), 0).labels[0].long()
    with torch.no_grad():
        claim = own_class(network(to_tensor(shots[0].image, torch.device("cpu"))).heads[0], SIZE)
    expected = merge(base_labels(network, shots[0].image), [claim], 10)[0]
    expected[torch.from_numpy(shots[0].mask) == 1] = 11
    assert 0.05 < float(claim.float().mean()) < 0.95
    assert torch.equal(labels, expected)


def test_views_depend_on_seed_and_number_alone(
    shots: list[AnnotatedImage], quick: IncrementalConfig
) -> None:
    first, again, other = (
        [view for view, _ in zip(augmented(shots, quick, seed), range(7), strict=False)]
        for seed in (3, 3, 4)
    )
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.image, b.image)
        np.testing.assert_array_equal(a.mask, b.mask)
    assert all((a.image != b.image).any() for a, b in zip(first[2:], other[2:], strict=True))
    assert all((a.image != first[i % 2].image).any() for i, a in enumerate(first) if i > 1)


def test_padding_of_a_view_is_ignored(base: DMLNet, quick: IncrementalConfig) -> None:
    """Shrunk to half its size, three quarters of a view are padding."""
    image = np.full((*SIZE, 3), 90, np.uint8)
    mask = np.ones(SIZE, np.uint8)
    small = replace(quick, augment=replace(quick.augment, scale=(0.5, 0.5)), views=2)
    labels = make_views(PLMNetwork(base), [AnnotatedImage(image, mask)], small, 0).labels
    assert (labels[0] == 10).all()
    assert float((labels[1] == 255).float().mean()) == pytest.approx(0.75, abs=0.02)
    assert set(labels[1].unique().tolist()) == {10, 255}


def test_pasted_things_are_no_longer_the_class(
    base: DMLNet, shots: list[AnnotatedImage], quick: IncrementalConfig
) -> None:
    config = replace(quick, augment=replace(quick.augment, paste=1.0, paste_max=3))
    views = [v for v, _ in zip(augmented(shots, config, 0), range(12), strict=False)]
    assert all(set(np.unique(v.mask)) <= {0, 1, 254, 255} for v in views)
    assert sum((v.mask == 254).any() for v in views) > 5
    labels = make_views(
        PLMNetwork(base), shots, replace(config, views=12, steps=6), 0
    ).labels.numpy()
    for number, view in enumerate(views):
        assert (labels[number][view.mask == 254] < 10).all()
        assert ((labels[number] == 10) == (view.mask == 1)).all()


def test_large_features_mean_fewer_views_but_all_shots(
    base: DMLNet,
    shots: list[AnnotatedImage],
    quick: IncrementalConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bank, "CACHE_BYTES", 1)
    assert len(make_views(PLMNetwork(base), shots, quick, 0).labels) == 2


def test_every_shot_is_seen_even_where_fewer_views_are_asked_for(
    base: DMLNet, shots: list[AnnotatedImage], quick: IncrementalConfig
) -> None:
    assert len(make_views(PLMNetwork(base), shots, replace(quick, views=1), 0).labels) == 2


# Training --------------------------------------------------------------------------------------


def test_only_the_new_head_changes_bit_for_bit(
    base: DMLNet, shots: list[AnnotatedImage], quick: IncrementalConfig
) -> None:
    network = PLMNetwork(base)
    learn_class(network, shots, quick, 0)
    before = state_of(network)
    untrained = state_of(network.new_head())
    learn_class(network, shots, quick, 1)
    after = network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    added = after.keys() - before.keys()
    assert added
    assert all(name.startswith("heads.1.") for name in added)
    trained = network.heads[1].state_dict()
    statistics = [n for n in trained if "running" in n or "num_batches" in n or n == "prototypes"]
    assert len(statistics) > 20
    assert all(torch.equal(trained[n], untrained[n]) for n in statistics)
    weights = trained.keys() - set(statistics)
    assert all(not torch.equal(trained[n], untrained[n]) for n in weights)


def test_a_head_learns_the_class_and_forgets_nothing(
    base: DMLNet, shots: list[AnnotatedImage], quick: IncrementalConfig
) -> None:
    network = PLMNetwork(base)
    config = replace(quick, steps=50, views=2, optim=replace(quick.optim, lr=3e-3))
    losses = learn_class(network, shots, config, 0)
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])
    for shot in shots:
        with torch.no_grad():
            output = network(to_tensor(shot.image, torch.device("cpu")))
        claim = own_class(output.heads[-1], SIZE)
        truth = torch.from_numpy(shot.mask)[None] == 1
        found, taken = claim[truth].float().mean(), claim[~truth].float().mean()
        assert float(found) > 0.5
        assert float(taken) < 0.2
        before = base_labels(network, shot.image)
        merged = merge(before, [claim], 10)
        assert torch.equal(merged[~claim], before[~claim])
        assert (merged[claim] == 10).all()


def test_the_same_seed_gives_the_same_head(
    base: DMLNet, shots: list[AnnotatedImage], quick: IncrementalConfig
) -> None:
    states = []
    for seed in (5, 5, 6):
        network = PLMNetwork(copy.deepcopy(base))
        torch.rand(seed)  # the state of the generator must not matter
        learn_class(network, shots, quick, seed)
        states.append(state_of(network.heads[0]))
    assert all(torch.equal(states[0][n], states[1][n]) for n in states[0])
    assert any(not torch.equal(states[0][n], states[2][n]) for n in states[0])


def test_every_view_is_drawn_before_one_is_drawn_again(quick: IncrementalConfig) -> None:
    batches = list(draws(7, replace(quick, steps=5, batch=3), 0))
    assert [len(batch) for batch in batches] == [3] * 5
    numbers = torch.cat(batches).tolist()
    assert sorted(numbers[:7]) == sorted(numbers[7:14]) == list(range(7))
    assert numbers[:7] != numbers[7:14]


def test_loss_hand_worked() -> None:
    """Two prototypes (3, 0) and (0, 3); f = (1, 0): distances 4 and 10."""
    embedding = torch.tensor([1.0, 0.0]).reshape(1, 2, 1, 1)
    labels = torch.tensor([[[0, 0], [0, 0]]])
    entropy = np.log(1 + np.exp(-6))
    found = metric_loss(embedding, labels, 3 * torch.eye(2), 0.01, None)
    assert float(found) == pytest.approx(entropy + 0.01 * 4, rel=1e-5)
    other = metric_loss(embedding, 1 - labels, 3 * torch.eye(2), 0.0, None)
    assert float(other) == pytest.approx(6 + entropy, rel=1e-5)


def test_loss_leaves_ignored_pixels_out_and_takes_the_nearest_label() -> None:
    embedding = torch.zeros(1, 2, 1, 2)
    embedding[0, :, 0, 1] = torch.tensor([3.0, 0.0])
    labels = torch.tensor([[[255, 255, 0, 0], [255, 255, 0, 0]]])
    found = metric_loss(embedding, labels, 3 * torch.eye(2), 0.01, None)
    assert float(found) == pytest.approx(np.log(1 + np.exp(-18)), abs=1e-6)


def test_class_weights_hand_worked() -> None:
    labels = torch.tensor([0] * 9 + [1] + [255] * 5, dtype=torch.uint8)
    weights = class_weights(labels, 2, 0.5)
    assert weights is not None
    assert float(weights[1] / weights[0]) == pytest.approx(3.0)
    assert float(0.9 * weights[0] + 0.1 * weights[1]) == pytest.approx(1.0)
    assert class_weights(labels, 2, 0.0) is None
