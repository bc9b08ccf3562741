"""Loading a network for export: the averaged weights, folded and rounded as the bundle has them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from owseg.errors import InputError
from owseg_export.trained import fold_batch_norm, load_trained
from owseg_training.checkpoint import load_checkpoint, save_checkpoint
from owseg_training.config import NetworkConfig
from owseg_training.models import BACKBONES, build_network
from owseg_training.models.deeplab import DeepLabV3Plus
from owseg_training.models.wider_resnet import IdentityBlock, WiderResNet


def randomise_statistics(network: nn.Module) -> None:
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(std=0.1, generator=generator)
            module.running_var.uniform_(0.8, 1.3, generator=generator)
            nn.init.uniform_(module.weight, 0.7, 1.2, generator=generator)
            nn.init.normal_(module.bias, std=0.1, generator=generator)


NAMES = [name for name in BACKBONES if name not in ("deeplab101", "mit_b2")]
"""The others are deeper, and otherwise the same."""


def narrow(config: NetworkConfig) -> nn.Module:
    return DeepLabV3Plus(WiderResNet(width=4), 8)


@pytest.mark.parametrize("name", NAMES)
def test_folding_leaves_no_batch_norm_behind_a_convolution_and_the_same_function(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    monkeypatch.setitem(BACKBONES, "deeplab_wrn38", narrow)
    network = build_network(NetworkConfig(backbone=name, width=8), 4).eval()
    randomise_statistics(network)
    in_front = {id(m.norm) for m in network.modules() if isinstance(m, IdentityBlock)}
    image = torch.rand(1, 3, 48, 64)
    with torch.no_grad():
        before = network(image)
        fold_batch_norm(network)
        after = network(image)
    assert {id(m) for m in network.modules() if isinstance(m, nn.BatchNorm2d)} == in_front
    for a, b in zip(before[:2], after[:2], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4 * float(a.abs().max()))


def test_weights_are_exact_in_float16_and_near_those_of_the_average(checkpoint: Path) -> None:
    trained = load_trained(checkpoint)
    kernels = [p for p in trained.network.parameters() if p.ndim == 4]
    assert len(kernels) > 40
    assert all(torch.equal(p, p.half().float()) for p in kernels)
    average = load_checkpoint(checkpoint).average["embed.weight"]
    torch.testing.assert_close(trained.network.embed.weight, average, rtol=1e-3, atol=1e-6)
    assert not trained.network.training


def test_weights_of_another_network_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    original = load_checkpoint(checkpoint)
    network = replace(original.recipe.network, backbone="ddrnet")
    other = replace(original, recipe=replace(original.recipe, network=network))
    save_checkpoint(other, tmp_path / "other.pt")
    with pytest.raises(InputError, match="do not fit the network of its recipe"):
        load_trained(tmp_path / "other.pt")
