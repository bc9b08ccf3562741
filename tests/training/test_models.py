"""Networks: strides at awkward sizes, sizes in parameters, and the parts checked by value."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from owseg.errors import InputError, MissingDependencyError, UsageError
from owseg_training.config import NetworkConfig
from owseg_training.models import BACKBONES, build_backbone, build_network, load_imagenet
from owseg_training.models.backbones import WITH_IMAGENET
from owseg_training.models.layers import adaptive_avg_pool, mean_matrix
from owseg_training.models.pspnet import PSPNet
from owseg_training.models.resnet import ResNet

EXPECTED = {
    "ddrnet": (4, 64),
    "fast_scnn": (8, 128),
    "pspnet50": (8, 512),
    "deeplab50": (4, 256),
    "deeplab101": (4, 256),
    "deeplab_wrn38": (2, 256),
    "mit_b0": (4, 128),
    "mit_b2": (4, 256),
}
"""Stride and channels by name."""
LARGE = {"deeplab101", "deeplab_wrn38"}
"""Backbones that are built without memory here: their code is that of smaller ones."""


@pytest.fixture(scope="module")
def resnet() -> ResNet:
    return ResNet().eval()


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_every_backbone_is_listed() -> None:
    assert set(EXPECTED) == set(BACKBONES)


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize(("height", "width"), [(90, 122), (33, 65)])
def test_output_has_the_declared_stride_and_channels(name: str, height: int, width: int) -> None:
    stride, channels = EXPECTED[name]
    with torch.device("meta" if name in LARGE else "cpu"), torch.no_grad():
        backbone = build_backbone(NetworkConfig(backbone=name)).eval()
        features = backbone(torch.rand(1, 3, height, width))
    assert (backbone.stride, backbone.out_channels) == (stride, channels)
    assert features.shape == (1, channels, -(-height // stride), -(-width // stride))
    assert features.is_meta or torch.isfinite(features).all()


@pytest.mark.parametrize(
    ("name", "width", "millions"),
    [
        ("ddrnet", 32, 5.7),
        ("ddrnet", 24, 3.3),
        ("fast_scnn", 32, 1.1),
        ("pspnet50", 32, 32.2),
        ("deeplab50", 32, 40.3),
        ("deeplab101", 32, 59.3),
        ("deeplab_wrn38", 32, 137.1),
        ("mit_b0", 32, 3.5),
        ("mit_b2", 32, 25.1),
    ],
)
def test_networks_are_as_large_as_documented(name: str, width: int, millions: float) -> None:
    with torch.device("meta"):
        backbone = build_backbone(NetworkConfig(backbone=name, width=width))
    assert count(backbone) / 1e6 == pytest.approx(millions, abs=0.05)


def test_unknown_backbone_is_refused() -> None:
    with pytest.raises(UsageError, match="no backbone 'vit'; there are ddrnet, "):
        build_backbone(NetworkConfig(backbone="vit"))


@pytest.mark.parametrize("bins", [1, 2, 3, 6, 8])
@pytest.mark.parametrize("size", [(12, 16), (7, 11), (6, 5), (1, 13)])
def test_adaptive_pooling_equals_torchs(bins: int, size: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(adaptive_avg_pool(x, bins), nn.AdaptiveAvgPool2d(bins)(x))


def test_mean_matrix_hand_worked() -> None:
    third = 1 / 3
    expected = torch.tensor([[third, third, third, 0, 0], [0, 0, third, third, third]])
    torch.testing.assert_close(mean_matrix(5, 2), expected)


def test_network_normalises_its_input_and_knows_its_prototypes() -> None:
    network = build_network(NetworkConfig(backbone="fast_scnn"), 4).eval()
    nn.init.normal_(network.embed.weight, std=100.0)
    x = torch.rand(1, 3, 32, 48)
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    std = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    with torch.no_grad():
        expected = network.embed(network.backbone((x - mean) / std))
        found = network(x).embedding
    assert float(expected.std()) > 1e-3
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(network.prototypes, 3 * torch.eye(4))


def test_direction_branch_never_changes_what_the_embedding_learns() -> None:
    network = build_network(NetworkConfig(backbone="fast_scnn"), 3)
    network(torch.rand(2, 3, 64, 96)).direction.sum().backward()
    touched = {n.split(".")[0] for n, p in network.named_parameters() if p.grad is not None}
    assert touched == {"direction"}


def test_width_scales_the_ddrnet() -> None:
    small = build_network(NetworkConfig(width=16), 10)
    assert count(small) < count(build_network(NetworkConfig(width=24), 10)) / 1.8


def test_every_weight_of_the_small_networks_takes_part() -> None:
    for name in ("ddrnet", "fast_scnn"):
        network = build_network(NetworkConfig(backbone=name, width=8), 3)
        output = network(torch.rand(2, 3, 64, 96))
        (output.embedding.sum() + output.direction.sum()).backward()
        assert [n for n, p in network.named_parameters() if p.grad is None] == []


# PSPNet on ResNet-50. torchvision is no dependency: names and shapes are those of its resnet50.

TORCHVISION = {
    "conv1.weight": (64, 3, 7, 7),
    "bn1.running_var": (64,),
    "layer1.0.conv1.weight": (64, 64, 1, 1),
    "layer1.0.downsample.0.weight": (256, 64, 1, 1),
    "layer1.0.downsample.1.bias": (256,),
    "layer1.2.bn3.weight": (256,),
    "layer2.0.conv2.weight": (128, 128, 3, 3),
    "layer2.3.conv3.weight": (512, 128, 1, 1),
    "layer3.0.downsample.0.weight": (1024, 512, 1, 1),
    "layer3.5.conv1.weight": (256, 1024, 1, 1),
    "layer4.0.conv1.weight": (512, 1024, 1, 1),
    "layer4.2.bn2.num_batches_tracked": (),
    "layer4.2.conv3.weight": (2048, 512, 1, 1),
}
CLASSIFIER = 2_049_000
PUBLISHED = {50: 25_557_032, 101: 44_549_160}
"""Parameters of torchvision's networks by depth, classifier included."""


def test_resnet_has_torchvisions_names_and_shapes(resnet: ResNet) -> None:
    state = resnet.state_dict()
    assert {n: tuple(state[n].shape) for n in TORCHVISION} == TORCHVISION
    assert len(state) == 318


@pytest.mark.parametrize("depth", PUBLISHED)
def test_resnets_have_the_published_number_of_parameters(depth: int) -> None:
    with torch.device("meta"):
        resnet = ResNet(depth)
    assert count(resnet) == PUBLISHED[depth] - CLASSIFIER
    blocks = [len(getattr(resnet, f"layer{number}")) for number in range(1, 5)]
    assert 3 * sum(blocks) + 2 == depth


def test_resnet_is_dilated_instead_of_strided_as_torchvision_does_it(resnet: ResNet) -> None:
    convolutions = {n: m for n, m in resnet.named_modules() if isinstance(m, nn.Conv2d)}
    dilations = {
        n: convolutions[f"{n}.conv2"].dilation[0]
        for n in ("layer2.1", "layer3.0", "layer3.1", "layer4.0", "layer4.1")
    }
    assert dilations == {
        "layer2.1": 1,
        "layer3.0": 1,
        "layer3.1": 2,
        "layer4.0": 2,
        "layer4.1": 4,
    }
    strided = sorted(n for n, m in convolutions.items() if m.stride[0] == 2)
    assert strided == ["conv1", "layer2.0.conv2", "layer2.0.downsample.0"]


def fake_torchvision(monkeypatch: pytest.MonkeyPatch, get_state_dict: Any) -> None:
    weights = SimpleNamespace(IMAGENET1K_V2=SimpleNamespace(get_state_dict=get_state_dict))
    models = SimpleNamespace(ResNet50_Weights=weights)
    monkeypatch.setitem(sys.modules, "torchvision", SimpleNamespace(models=models))
    monkeypatch.setitem(sys.modules, "torchvision.models", models)


def pspnet() -> Any:
    network = nn.Module()
    network.backbone = PSPNet()
    return network


def test_imagenet_weights_are_loaded_without_their_classifier(
    monkeypatch: pytest.MonkeyPatch, resnet: ResNet
) -> None:
    state = {n: torch.full_like(v, 2) for n, v in resnet.state_dict().items()}
    state |= {"fc.weight": torch.zeros(1000, 2048), "fc.bias": torch.zeros(1000)}
    fake_torchvision(monkeypatch, lambda progress: state)
    network = pspnet()
    load_imagenet(network)
    assert all((v == 2).all() for v in network.backbone.resnet.state_dict().values())


def test_imagenet_weights_without_torchvision_or_network(monkeypatch: pytest.MonkeyPatch) -> None:
    network = pspnet()
    monkeypatch.setitem(sys.modules, "torchvision", None)
    monkeypatch.setitem(sys.modules, "torchvision.models", None)
    with pytest.raises(MissingDependencyError, match="pip install torchvision"):
        load_imagenet(network)

    def unreachable(progress: bool) -> None:
        raise OSError("name or service not known")

    fake_torchvision(monkeypatch, unreachable)
    with pytest.raises(InputError, match="cannot download the ImageNet weights: name or service"):
        load_imagenet(network)


@pytest.mark.parametrize("name", BACKBONES)
def test_backbones_with_imagenet_weights_say_so(name: str) -> None:
    with torch.device("meta"):
        backbone = build_backbone(NetworkConfig(backbone=name))
    has = hasattr(getattr(backbone, "resnet", backbone), "load_imagenet")
    assert has == (name in WITH_IMAGENET)


def test_imagenet_weights_that_do_not_exist_are_refused() -> None:
    with pytest.raises(UsageError, match=r"backbones pspnet50, .* only; imagenet=False"):
        load_imagenet(build_network(NetworkConfig(backbone="fast_scnn"), 3))
