"""DMLNet: a backbone whose per-pixel embedding is compared with fixed prototypes.

Source: Cen et al., "Deep Metric Learning for Open World Semantic Segmentation", ICCV 2021.
The direction branch beside it: Hong et al., "GOSS: Towards Generalized Open-set Semantic
Segmentation", 2022, Section 4.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from owseg.errors import UsageError
from owseg_training.config import NetworkConfig
from owseg_training.models.backbones import WITH_IMAGENET, build_backbone
from owseg_training.models.layers import conv_bn_relu

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


class NetworkOutput(NamedTuple):
    """What the network computes at its output stride.

    Attributes:
        embedding: (B, N, h, w) metric embedding f, or the logits of a softmax head;
            (B, N + 1, h, w) where the last logit is that of unknown pixels.
        direction: (B, 2, h, w) boundary-to-pixel direction, row then column; not normalised.
        heads: embeddings (B, N + 1, h, w), (B, N + 2, h, w), ... of heads that were trained
            later, one for each class learnt incrementally.
        projection: (B, P, h, w) embedding of the contrastive loss; in training only.
    """

    embedding: Tensor
    direction: Tensor
    heads: tuple[Tensor, ...] = ()
    projection: Tensor | None = None


class DMLNet(nn.Module):
    """Backbone, embedding head and direction branch.

    What the direction branch learns is a strategy (`NetworkConfig.strategy`): "detached" its own
    layers, so that it never changes what the embedding learns; "joint" the backbone too (the
    single network of the GOSS paper); "separate" a second backbone, so that the two branches are
    two networks that share nothing but their images.

    Args:
        config: the network configuration.
        num_classes: N, number of known classes, also the length of the embedding, which is one
            longer with a logit for unknown pixels.
    """

    prototypes: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, config: NetworkConfig, num_classes: int) -> None:
        super().__init__()
        self.backbone = build_backbone(config)
        channels = int(self.backbone.out_channels)  # type: ignore[arg-type]
        self.stride = int(self.backbone.stride)  # type: ignore[arg-type]
        self.head, self.strategy, self.unknown = config.head, config.strategy, config.unknown
        size = num_classes + config.unknown
        self.embed = nn.Conv2d(channels, size, 1)
        self.dropout = nn.Dropout2d(config.dropout)
        self.direction = nn.Sequential(conv_bn_relu(channels, 32), nn.Conv2d(32, 2, 1))
        self.direction_backbone = build_backbone(config) if config.strategy == "separate" else None
        self.project: nn.Module | None = None
        if config.projection:
            last = nn.Conv2d(channels, config.projection, 1)
            self.project = nn.Sequential(*conv_bn_relu(channels, channels, 1), last)
        prototypes = fixed_prototypes(size, config.prototype_scale)
        self.register_buffer("prototypes", prototypes)
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None])
        self.register_buffer("std", torch.tensor(STD)[:, None, None])

    def forward(self, x_B3HW: Tensor) -> NetworkOutput:
        """Map an RGB image (B, 3, H, W) in 0..1 to embedding and direction at the stride."""
        return self.decide(self.trunk(x_B3HW), x_B3HW)

    def trunk(self, x_B3HW: Tensor) -> tuple[Tensor, ...]:
        """Normalise an image (B, 3, H, W) in 0..1 and run the backbone up to its final branch."""
        features: tuple[Tensor, ...] = self.backbone.trunk(self._normalised(x_B3HW))  # type: ignore[operator]
        return features

    def decide(self, trunk: tuple[Tensor, ...], x_B3HW: Tensor | None = None) -> NetworkOutput:
        """Map the result of `trunk` to embedding and direction at the stride.

        Args:
            trunk: the result of `trunk`.
            x_B3HW: the image, which a direction branch with a backbone of its own looks at.
        """
        features = self.features(trunk)
        projection = self.project(features) if self.project is not None and self.training else None
        direction = self.direction(self._direction_features(features, x_B3HW))
        embedding = self.embed(self.dropout(features))
        return NetworkOutput(embedding, direction, projection=projection)

    def features(self, trunk: tuple[Tensor, ...]) -> Tensor:
        """Map the result of `trunk` to what the last layer looks at, (B, C, h, w)."""
        features: Tensor = self.backbone.branch(trunk)  # type: ignore[operator]
        return features

    def embed_only(self, trunk: tuple[Tensor, ...]) -> Tensor:
        """Map the result of `trunk` to the embedding alone, (B, N, h, w)."""
        embedding: Tensor = self.embed(self.dropout(self.features(trunk)))
        return embedding

    def learners(self) -> list[list[nn.Parameter]]:
        """Return the parameters in groups that learn from losses of their own."""
        if self.direction_backbone is None:
            return [list(self.parameters())]
        apart = [*self.direction.parameters(), *self.direction_backbone.parameters()]
        names = {id(parameter) for parameter in apart}
        return [[p for p in self.parameters() if id(p) not in names], apart]

    def _normalised(self, x_B3HW: Tensor) -> Tensor:
        return (x_B3HW - self.mean) / self.std

    def _direction_features(self, features: Tensor, x_B3HW: Tensor | None) -> Tensor:
        if self.direction_backbone is None:
            return features if self.strategy == "joint" else features.detach()
        assert x_B3HW is not None, "a separate direction branch needs the image"
        own: Tensor = self.direction_backbone(self._normalised(x_B3HW))
        return own


def fixed_prototypes(num_classes: int, scale: float) -> Tensor:
    """Return the prototypes T * e_k as an (N, N) float32 matrix (DMLNet, Section 4.2)."""
    return scale * torch.eye(num_classes)


def build_network(config: NetworkConfig, num_classes: int) -> DMLNet:
    """Build the network of a recipe with freshly initialised weights.

    Raises:
        UsageError: an unknown class beside a metric head, or no backbone has this name.
        MissingDependencyError: the library of the backbone is not installed.
    """
    if config.unknown and config.head != "softmax":
        raise UsageError(
            "a class for unknown pixels (network.unknown) needs the softmax head, not the "
            f"{config.head} head"
        )
    network = DMLNet(config, num_classes)
    for conv in _convolutions(network):
        nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
        if conv.bias is not None:
            nn.init.zeros_(conv.bias)
    nn.init.normal_(network.embed.weight, std=0.01)
    return network


def _convolutions(module: nn.Module) -> Iterator[nn.Conv2d]:
    """Give all convolutions but those that come with an initialisation of their own."""
    for name, child in module.named_children():
        if isinstance(child, nn.Conv2d):
            yield child
        elif name not in getattr(module, "INITIALISED", ()):
            yield from _convolutions(child)


def load_imagenet(network: DMLNet) -> None:
    """Load ImageNet weights into the backbone, for a new run; into both where there are two.

    Raises:
        UsageError: there are none for this backbone.
        MissingDependencyError: the library that has them is not installed.
        InputError: the weights cannot be downloaded.
    """
    for backbone in (network.backbone, getattr(network, "direction_backbone", None)):
        if backbone is None:
            continue
        load = getattr(getattr(backbone, "resnet", backbone), "load_imagenet", None)
        if load is None:
            raise UsageError(
                "ImageNet weights exist for the backbones "
                f"{', '.join(WITH_IMAGENET)} only; imagenet=False"
            )
        load()
