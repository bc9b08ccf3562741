"""What a detector is."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from owseg.types import UInt8Array


class Detector(Protocol):
    """Gives a raw anomaly score for each pixel of an image."""

    def __call__(self, image: UInt8Array) -> Tensor:
        """Map an image (H, W, 3) uint8 RGB to (H, W) float32, larger is more anomalous."""
        ...


def to_unit(image: UInt8Array) -> Tensor:
    """Return an image (H, W, 3) uint8 as (1, 3, H, W) float32 in 0..1."""
    return torch.from_numpy(image[None]).permute(0, 3, 1, 2).float() / 255.0


def mean_and_spread(probabilities_RNHW: Tensor) -> tuple[Tensor, Tensor]:
    """Return the entropy of the mean of R predictions, and their mutual information.

    The latter is what the predictions disagree about: the entropy of their mean less the mean of
    their entropies.

    Args:
        probabilities_RNHW: R predictions over N classes, each summing to 1.

    Returns:
        (H, W) each, in nats, at least 0.

    Source: Uhlemeyer et al., "Detecting and Learning the Unknown in Semantic Segmentation", Eq. 22.
    """
    total = entropy_of(probabilities_RNHW.mean(dim=0), dim=0)
    each = entropy_of(probabilities_RNHW, dim=1).mean(dim=0)
    return total, (total - each).clamp_min(0.0)


def entropy_of(probabilities: Tensor, dim: int) -> Tensor:
    """Return -sum p log p along a dimension, 0 log 0 = 0."""
    return -torch.xlogy(probabilities, probabilities).sum(dim=dim)
