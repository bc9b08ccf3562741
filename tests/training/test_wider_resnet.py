"""WiderResNet-38: number of parameters, where it strides and dilates, one block by value."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from owseg_training.config import NetworkConfig
from owseg_training.models import build_backbone
from owseg_training.models.wider_resnet import IdentityBlock, WiderResNet

ZHU = 137_103_936
"""Parameters of the network of Zhu et al. for 19 classes (137.1 M are published), added up by hand
from its table: its head has no normalisation behind the pyramid, one behind the pooled image, and
a classifier."""
OUR_HEAD = 256 + 2 * 48 + 2 * 256  # bias of the pooled image, two normalisations more
THEIR_HEAD = 2 * 256 + 256 * 19


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def plain(cin: int, width: int, blocks: int, cout: int | None = None) -> int:
    """Count the parameters of blocks of two 3x3 convolutions with a projection in the first."""
    cout = cout or width
    first = 2 * cin + 9 * cin * width + 2 * width + 9 * width * cout + cin * cout
    later = 2 * cout + 9 * cout * width + 2 * width + 9 * width * cout
    return first + (blocks - 1) * later


def bottleneck(cin: int, a: int, b: int, c: int) -> int:
    return 2 * cin + cin * a + 2 * a + 9 * a * b + 2 * b + b * c + cin * c


def test_the_number_of_parameters_is_that_of_the_architecture() -> None:
    with torch.device("meta"):
        trunk = WiderResNet()
        whole = build_backbone(NetworkConfig(backbone="deeplab_wrn38"))
    by_hand = 27 * 64
    by_hand += plain(64, 128, 3) + plain(128, 256, 3) + plain(256, 512, 6)
    by_hand += plain(512, 512, 3, 1024)
    by_hand += bottleneck(1024, 512, 1024, 2048) + bottleneck(2048, 1024, 2048, 4096)
    assert count(trunk) == by_hand
    assert count(whole) - OUR_HEAD == ZHU - THEIR_HEAD
    assert round(ZHU, -5) == 137_100_000


def test_it_strides_three_times_and_dilates_afterwards() -> None:
    with torch.device("meta"):
        network = WiderResNet(width=4)
        first, last = network.levels(torch.rand(1, 3, 97, 64))
    assert first.shape == (1, 8, 49, 32)
    assert last.shape == (1, 256, 13, 8)
    kernels = {n: m for n, m in network.named_modules() if isinstance(m, nn.Conv2d)}
    strided = sorted(n for n, m in kernels.items() if m.stride == (2, 2))
    assert strided == ["rest.0.0.body.0", "rest.0.0.project"]
    wide = {n: m.dilation[0] for n, m in kernels.items() if m.kernel_size == (3, 3)}
    modules = {name.split(".body")[0][:6]: [] for name in wide}
    for name, dilation in wide.items():
        modules[name.split(".body")[0][:6]].append(dilation)
    assert set(modules["rest.0"]) == {1}
    assert modules["rest.1"] == [2] * 6
    assert modules["rest.2"] == [4]
    assert modules["rest.3"] == [4]
    dropouts = {m.p for n, m in network.named_modules() if isinstance(m, nn.Dropout2d)}
    assert dropouts == {0.0, 0.3, 0.5}


def normalised(x: Tensor, norm: nn.Module) -> Tensor:
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    mean, variance = norm.running_mean[:, None, None], norm.running_var[:, None, None]
    y = (x - mean) / (variance + norm.eps).sqrt()
    return (y * norm.weight[:, None, None] + norm.bias[:, None, None]).clamp_min(0)


@torch.no_grad()
@pytest.mark.parametrize(("cin", "stride"), [(6, 1), (4, 1), (4, 2)])
@pytest.mark.parametrize("widths", [(5, 6), (5, 7, 6)])
def test_a_block_normalises_first_and_adds_what_came_in(
    cin: int, stride: int, widths: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    block = IdentityBlock(cin, widths, stride, 2, 0.3).eval()
    norms = [m for m in block.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        assert norm.running_mean is not None
        norm.running_mean.normal_()
        norm.bias.normal_()
    kernels = [m.weight for m in block.body if isinstance(m, nn.Conv2d)]
    x = torch.randn(2, cin, 9, 8)
    y = normalised(x, norms[0])
    shortcut = x
    if block.project is not None:
        shortcut = F.conv2d(y, block.project.weight, stride=stride)
    for number, kernel in enumerate(kernels):
        dilation = 2 if kernel.shape[-1] == 3 else 1
        padding = 2 if kernel.shape[-1] == 3 else 0
        y = y if number == 0 else normalised(y, norms[number])
        y = F.conv2d(y, kernel, None, stride if number == 0 else 1, padding, dilation)
    assert (block.project is None) == (cin == 6 and stride == 1)
    torch.testing.assert_close(block(x), y + shortcut)


def test_the_family_has_smaller_members() -> None:
    with torch.device("meta"):
        small = WiderResNet(blocks=(1, 1, 1, 1, 1, 1))
    blocks = [m for m in small.modules() if isinstance(m, IdentityBlock)]
    assert len(blocks) == 6
    assert small(torch.rand(1, 3, 32, 32, device="meta")).shape == (1, 4096, 4, 4)
