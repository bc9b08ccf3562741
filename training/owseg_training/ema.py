"""Exponential moving average of the weights, with a warm-up of its decay.

a_t = d_t a_(t-1) + (1 - d_t) w_t  with  d_t = min(decay, (1 + t) / (10 + t))
"""

from __future__ import annotations

import copy

import torch
from torch import nn


class WeightAverage:
    """Keeps an averaged copy of a network.

    Args:
        network: the network that is trained.
        decay: final decay per step; 0 makes the average equal the network.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.network = copy.deepcopy(network).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Blend in the weights after an optimiser step; `step` counts from 0."""
        decay = min(self.decay, (1 + step) / (10 + step)) if self.decay else 0.0
        mine, theirs = self.network.state_dict(), network.state_dict()
        for name, value in mine.items():
            if value.is_floating_point():
                value.lerp_(theirs[name], 1.0 - decay)
            else:
                value.copy_(theirs[name])
