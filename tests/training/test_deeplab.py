"""DeepLabV3+: strides, dilations, what takes part, ImageNet weights."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from owseg_training.config import NetworkConfig
from owseg_training.models import build_network, load_imagenet
from owseg_training.models.deeplab import AtrousPyramid, DeepLabV3Plus
from owseg_training.models.resnet import ResNet
from owseg_training.models.wider_resnet import WiderResNet


@pytest.fixture(scope="module")
def deeplab() -> DeepLabV3Plus:
    torch.manual_seed(0)
    return DeepLabV3Plus(ResNet(stride=16), 16).eval()


@torch.no_grad()
def test_levels_have_their_strides_and_the_features_those_of_the_first(
    deeplab: DeepLabV3Plus,
) -> None:
    x = torch.rand(1, 3, 65, 96)  # an odd height: rounded up at every stage
    first, last = deeplab.trunk(x)
    assert first.shape == (1, 256, 17, 24)
    assert last.shape == (1, 2048, 5, 6)
    features = deeplab(x)
    assert features.shape == (1, 256, 17, 24)
    torch.testing.assert_close(features, deeplab.branch((first, last)))


def test_only_the_last_stage_is_dilated(deeplab: DeepLabV3Plus) -> None:
    kernels = {n: m for n, m in deeplab.resnet.named_modules() if isinstance(m, nn.Conv2d)}
    strided = sorted(n for n, m in kernels.items() if m.stride[0] == 2 and n.endswith("conv2"))
    assert strided == ["layer2.0.conv2", "layer3.0.conv2"]
    dilated = sorted(n for n, m in kernels.items() if m.dilation[0] > 1)
    assert dilated == ["layer4.1.conv2", "layer4.2.conv2"]
    assert kernels["layer4.1.conv2"].dilation == (2, 2)


def test_both_strides_have_the_same_weights() -> None:
    with torch.device("meta"):
        eight, sixteen = ResNet(stride=8).state_dict(), ResNet(stride=16).state_dict()
    assert {n: v.shape for n, v in eight.items()} == {n: v.shape for n, v in sixteen.items()}


def test_the_pyramid_of_a_finer_map_is_as_large_on_the_image() -> None:
    with torch.device("meta"):
        fine = DeepLabV3Plus(WiderResNet(4), 8)
    rates = [m.dilation[0] for m in fine.pyramid.modules() if isinstance(m, nn.Conv2d)]
    assert [rate * 8 for rate in rates if rate > 1] == [rate * 16 for rate in (6, 12, 18)]


@torch.no_grad()
def test_the_pyramid_sees_its_rates_and_the_whole_image() -> None:
    torch.manual_seed(0)
    pyramid = AtrousPyramid(1, 4).eval()
    x = torch.zeros(1, 1, 41, 41)
    x[0, 0, 20, 20] = 1.0
    seen = [(branch(x) - branch(0 * x)).abs().sum(dim=1)[0] > 0 for branch in pyramid.branches]
    reach = [int((torch.nonzero(s) - 20).abs().max()) for s in seen]
    assert reach == [0, 6, 12, 18]
    whole = pyramid.whole(x.mean(dim=(2, 3), keepdim=True))
    assert float((whole - pyramid.whole(torch.zeros(1, 1, 1, 1))).abs().sum()) > 0


def test_every_weight_takes_part_with_a_batch_of_one() -> None:
    network = build_network(NetworkConfig(backbone="deeplab50", strategy="joint"), 3)
    output = network(torch.rand(1, 3, 64, 64))
    (output.embedding.sum() + output.direction.sum()).backward()
    assert [n for n, p in network.named_parameters() if p.grad is None] == []
    assert output.direction.shape == (1, 2, 16, 16)


@pytest.mark.parametrize("depth", [50, 101])
def test_imagenet_weights_of_the_depth_go_into_both_backbones(
    depth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with torch.device("meta"):
        backbones = [DeepLabV3Plus(ResNet(depth, stride=16), 16) for _ in range(2)]
    state = {n: torch.full(v.shape, 2.0) for n, v in backbones[0].resnet.state_dict().items()}
    weights = SimpleNamespace(
        IMAGENET1K_V2=SimpleNamespace(get_state_dict=lambda progress: state | {"fc.bias": None})
    )
    models = SimpleNamespace(**{f"ResNet{depth}_Weights": weights})
    monkeypatch.setitem(sys.modules, "torchvision", SimpleNamespace(models=models))
    network = nn.Module()
    network.backbone, network.direction_backbone = (b.to_empty(device="cpu") for b in backbones)
    load_imagenet(network)  # type: ignore[arg-type]
    for backbone in (network.backbone, network.direction_backbone):
        assert all((v == 2).all() for v in backbone.resnet.state_dict().values())
