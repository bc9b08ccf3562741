"""DMLNet: a backbone whose per-pixel embedding is compared with fixed prototypes.

Source: Cen et al., "Deep Metric Learning for Open World Semantic Segmentation", ICCV 2021.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from owseg.errors import UsageError
from owseg_training.config import NetworkConfig
from owseg_training.models.backbones import build_backbone
from owseg_training.models.layers import conv_bn_relu
from owseg_training.models.pspnet import PSPNet

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


class NetworkOutput(NamedTuple):
    """What the network computes at its output stride.

    Attributes:
        embedding: (B, N, h, w) metric embedding f, or the logits of a softmax head.
        direction: (B, 2, h, w) boundary-to-pixel direction, row then column; not normalised.
        heads: embeddings (B, N + 1, h, w), (B, N + 2, h, w), ... of heads that were trained
            later, one for each class learnt incrementally.
    """

    embedding: Tensor
    direction: Tensor
    heads: tuple[Tensor, ...] = ()


class DMLNet(nn.Module):
    """Backbone, embedding head and direction branch.

    The direction branch sees the features detached: it never changes what
    the embedding learns (the "separate" training strategy of the GOSS paper).

    Args:
        config: the network configuration.
        num_classes: N, number of known classes, also the length of the embedding.
    """

    prototypes: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, config: NetworkConfig, num_classes: int) -> None:
        super().__init__()
        self.backbone = build_backbone(config)
        channels = int(self.backbone.out_channels)  # type: ignore[arg-type]
        self.stride = int(self.backbone.stride)  # type: ignore[arg-type]
        self.embed = nn.Conv2d(channels, num_classes, 1)
        self.direction = nn.Sequential(conv_bn_relu(channels, 32), nn.Conv2d(32, 2, 1))
        prototypes = fixed_prototypes(num_classes, config.prototype_scale)
        self.register_buffer("prototypes", prototypes)
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None])
        self.register_buffer("std", torch.tensor(STD)[:, None, None])

    def forward(self, x_B3HW: Tensor) -> NetworkOutput:
        """Map an RGB image (B, 3, H, W) in 0..1 to embedding and direction at the stride."""
        return self.decide(self.trunk(x_B3HW))

    def trunk(self, x_B3HW: Tensor) -> tuple[Tensor, ...]:
        """Normalise an image (B, 3, H, W) in 0..1 and run the backbone up to its final branch."""
        x = (x_B3HW - self.mean) / self.std
        features: tuple[Tensor, ...] = self.backbone.trunk(x)  # type: ignore[operator]
        return features

    def decide(self, trunk: tuple[Tensor, ...]) -> NetworkOutput:
        """Map the result of `trunk` to embedding and direction at the stride."""
        features: Tensor = self.backbone.branch(trunk)  # type: ignore[operator]
        return NetworkOutput(self.embed(features), self.direction(features.detach()))


def fixed_prototypes(num_classes: int, scale: float) -> Tensor:
    """Return the prototypes T * e_k as an (N, N) float32 matrix (DMLNet, Section 4.2)."""
    return scale * torch.eye(num_classes)


def build_network(config: NetworkConfig, num_classes: int) -> DMLNet:
    """Build the network of a recipe with freshly initialised weights."""
    network = DMLNet(config, num_classes)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    nn.init.normal_(network.embed.weight, std=0.01)
    return network


def load_imagenet(network: DMLNet) -> None:
    """Load ImageNet weights into the backbone, for a new run.

    Raises:
        UsageError: there are none for this backbone.
        MissingDependencyError: torchvision is not installed.
        InputError: the weights cannot be downloaded.
    """
    if not isinstance(network.backbone, PSPNet):
        raise UsageError("ImageNet weights exist for the backbone pspnet50 only; imagenet=False")
    network.backbone.resnet.load_imagenet()
