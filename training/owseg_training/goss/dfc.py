"""Differentiable feature clustering: a small network learns to segment one image, by itself.

Its response r (q channels) says the cluster of a pixel, c = argmax r. The loss is the cross
entropy of r to its own c, which makes similar pixels agree, plus mu times the mean absolute
difference of r between neighbours, which makes near pixels agree. There is no other supervision,
and no other image. Few clusters are left when it stops.

Source: Kim, Kanezaki and Tanaka, "Unsupervised Learning of Image Segmentation Based on
Differentiable Feature Clustering", IEEE TIP 2020, Section III.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from owseg.types import UInt8Array


@dataclass(frozen=True, kw_only=True)
class DfcConfig:
    """How an image is clustered.

    Attributes:
        size: (height, width) it is clustered at, pixels; labels are brought back by nearest.
        features: p and q, channels of the layers and largest number of clusters, at most 255.
        layers: 3x3 convolutions before the response.
        steps: most optimiser steps.
        min_clusters: stop when so few are left.
        continuity: mu.
        lr: learning rate of SGD with momentum 0.9.
        seed: of the weights.
    """

    size: tuple[int, int] = (90, 120)
    features: int = 100
    layers: int = 2
    steps: int = 100
    min_clusters: int = 3
    continuity: float = 5.0
    lr: float = 0.1
    seed: int = 0


@torch.enable_grad()
def cluster_image(
    image: UInt8Array, config: DfcConfig, device: torch.device | None = None
) -> UInt8Array:
    """Cluster the pixels of one image.

    Args:
        image: (H, W, 3) uint8 RGB.
        config: how.
        device: where; None = CPU.

    Returns:
        (H, W) uint8 clusters, not in order and with gaps.
    """
    torch.manual_seed(config.seed)
    small = cv2.resize(image, config.size[::-1], interpolation=cv2.INTER_AREA)
    x = torch.from_numpy(small).permute(2, 0, 1)[None].float().to(device) / 255.0
    network = _network(config).to(device)
    optimizer = torch.optim.SGD(network.parameters(), lr=config.lr, momentum=0.9)
    clusters = torch.zeros(1, dtype=torch.long)
    for _ in range(config.steps):
        response = network(x)
        clusters = response.argmax(dim=1)
        if torch.unique(clusters).numel() <= config.min_clusters:
            break
        optimizer.zero_grad(set_to_none=True)
        clustering_loss(response, clusters, config.continuity).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    found = clusters[0].to(torch.uint8).cpu().numpy()
    size = (image.shape[1], image.shape[0])
    return cv2.resize(found, size, interpolation=cv2.INTER_NEAREST_EXACT).astype(np.uint8)


def clustering_loss(response_BQHW: Tensor, clusters_BHW: Tensor, continuity: float) -> Tensor:
    """Evaluate similarity and continuity.

    Args:
        response_BQHW: r.
        clusters_BHW: c, int64.
        continuity: mu.
    """
    similarity = F.cross_entropy(response_BQHW, clusters_BHW)
    down = (response_BQHW[:, :, 1:] - response_BQHW[:, :, :-1]).abs().mean()
    across = (response_BQHW[..., 1:] - response_BQHW[..., :-1]).abs().mean()
    return similarity + continuity * (down + across)


def _network(config: DfcConfig) -> nn.Sequential:
    parts: list[nn.Module] = []
    channels = 3
    for _ in range(config.layers):
        parts += [nn.Conv2d(channels, config.features, 3, padding=1), nn.ReLU()]
        parts += [nn.BatchNorm2d(config.features)]
        channels = config.features
    return nn.Sequential(
        *parts, nn.Conv2d(channels, config.features, 1), nn.BatchNorm2d(config.features)
    )
