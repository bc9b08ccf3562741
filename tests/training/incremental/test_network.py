"""Heads on a frozen trunk: what they share, what they start from, what they leave alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from owseg_training.config import NetworkConfig
from owseg_training.incremental.network import BranchHead, PLMNetwork, grown, keep_only
from owseg_training.models import BACKBONES, DMLNet, build_network

MakeBase = Callable[..., DMLNet]

NAMES = [name for name in BACKBONES if name not in ("deeplab101", "deeplab_wrn38", "mit_b2")]
"""The others are the same code with a larger encoder."""


@pytest.mark.parametrize("name", NAMES)
def test_trunk_and_branch_make_the_backbone(name: str, make_base: MakeBase) -> None:
    network = make_base(name)
    x = torch.rand(1, 3, 50, 70, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        normalised = (x - network.mean) / network.std
        expected = network.embed(network.backbone(normalised))
        found = network.decide(network.trunk(x))
        assert torch.equal(found.embedding, expected)
        assert torch.equal(network(x).embedding, expected)


@pytest.mark.parametrize("name", NAMES)
def test_a_new_head_is_the_branch_of_its_start_with_one_more_output(
    name: str, make_base: MakeBase
) -> None:
    network = PLMNetwork(make_base(name, classes=4))
    head = network.new_head()
    x = torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        trunk = network.base.trunk(x)
        old, new = network.base.decide(trunk).embedding, head(trunk)
    assert new.shape == (1, 5, *old.shape[2:])
    torch.testing.assert_close(new[:, :4], old)
    assert float(new[:, 4].abs().mean()) < 0.2 * float(old.abs().mean())
    torch.testing.assert_close(head.prototypes, 3 * torch.eye(5))


@pytest.mark.parametrize("name", NAMES)
def test_a_head_holds_the_weights_of_the_branch_and_no_others(
    name: str, make_base: MakeBase
) -> None:
    base = make_base(name)
    head = PLMNetwork(base).new_head()
    branch = base.backbone.BRANCH
    wanted = {
        n for n in base.backbone.state_dict() if any(n.startswith(f"{part}.") for part in branch)
    }
    held = {n.removeprefix("backbone.") for n in head.state_dict() if n.startswith("backbone.")}
    assert wanted
    assert held == wanted
    mine = sum(p.numel() for p in head.parameters())
    assert mine < sum(p.numel() for p in base.parameters())
    assert all(p.requires_grad for p in head.parameters())
    x = torch.rand(1, 3, 32, 48)
    head(base.trunk(x)).sum().backward()
    assert [n for n, p in head.named_parameters() if p.grad is None] == []


def test_head_and_base_share_no_tensor(make_base: MakeBase) -> None:
    base = make_base()
    head = PLMNetwork(base).new_head()
    theirs = {p.data_ptr() for p in (*base.parameters(), *base.buffers())}
    assert theirs.isdisjoint(p.data_ptr() for p in (*head.parameters(), *head.buffers()))


def test_later_heads_start_from_the_latest_and_grow_by_one_each(make_base: MakeBase) -> None:
    network = PLMNetwork(make_base(classes=3))
    for size in (4, 5, 6):
        head = network.new_head()
        assert head.embed.out_channels == size
        with torch.no_grad():
            head.embed.bias += 1.0
        network.add(head)
    assert network.num_base == 3
    torch.testing.assert_close(
        network.new_head().embed.bias[:3], network.base.embed.bias + 3.0, rtol=0, atol=1e-6
    )


def test_the_network_runs_its_trunk_once_and_every_head_on_it(make_base: MakeBase) -> None:
    network = PLMNetwork(make_base(classes=3))
    calls = []
    network.base.backbone.downsample.register_forward_hook(lambda *_: calls.append(1))
    for _ in range(2):
        network.add(network.new_head())
    x = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        output = network(x)
        trunk = network.base.trunk(x)
        base = network.base(x)
    assert len(calls) == 3  # once here, twice above
    torch.testing.assert_close(output.embedding, base.embedding)
    torch.testing.assert_close(output.direction, base.direction)
    assert [h.shape[1] for h in output.heads] == [4, 5]
    for found, head in zip(output.heads, network.heads, strict=True):
        torch.testing.assert_close(found, head(trunk))


def test_everything_in_the_network_is_frozen_and_in_evaluation_mode() -> None:
    network = PLMNetwork(build_network(NetworkConfig(backbone="fast_scnn"), 3).train())
    network.add(network.new_head())
    assert not any(p.requires_grad for p in network.parameters())
    assert not any(m.training for m in network.modules() if isinstance(m, nn.BatchNorm2d))


def test_growing_keeps_the_old_rows() -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(6, 3, 1)
    larger = grown(layer)
    assert larger.weight.shape == (4, 6, 1, 1)
    assert torch.equal(larger.weight[:3], layer.weight)
    assert torch.equal(larger.bias[:3], layer.bias)  # type: ignore[index]
    assert larger.bias[3].item() == 0.0  # type: ignore[index]
    assert 0 < larger.weight[3].detach().abs().max().item() < 0.1


def test_keeping_dotted_children() -> None:
    module = nn.ModuleDict(
        {"a": nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1)), "b": nn.Linear(1, 1)}
    )
    keep_only(module, ("a.1",))
    assert sorted(module.state_dict()) == ["a.1.bias", "a.1.weight"]


def test_heads_are_of_one_kind(make_base: MakeBase) -> None:
    assert isinstance(PLMNetwork(make_base()).new_head(), BranchHead)
