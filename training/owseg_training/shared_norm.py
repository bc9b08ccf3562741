"""Batch normalisation by the statistics of all processes that train together.

On a GPU that is torch's own `SyncBatchNorm`, which refuses the CPU; there it is the class below,
so that a run does not depend on the number of its processes there either.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

MOMENTUM = 0.1
"""Of running statistics whose norm says none."""


class SharedBatchNorm(nn.BatchNorm2d):
    """`BatchNorm2d` whose batch is that of all processes, which must be of the same size."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Normalise (B, C, H, W); computed in the type of the weights, returned in its own."""
        if not self.training:
            return super().forward(x_BCHW)
        x = x_BCHW.to(self.weight.dtype)
        mean = average(x.mean((0, 2, 3)))
        centred = x - mean[:, None, None]
        variance = average(centred.square().mean((0, 2, 3)))
        self._track(mean, variance, dist.get_world_size() * x.numel() // x.shape[1])
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(x_BCHW.dtype)

    @torch.no_grad()
    def _track(self, mean_C: Tensor, variance_C: Tensor, count: int) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        momentum = MOMENTUM if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean_C, momentum)
        self.running_var.lerp_(variance_C * (count / (count - 1)), momentum)
        self.num_batches_tracked += 1


class _Average(torch.autograd.Function):
    """The average over the processes; so is its gradient, of the average of their losses."""

    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        total = own.clone()
        dist.all_reduce(total)
        return total / dist.get_world_size()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _Average.forward(ctx, gradient)


def average(own: Tensor) -> Tensor:
    """Return the average of a tensor over the processes, with the gradient of it."""
    averaged: Tensor = _Average.apply(own)  # type: ignore[no-untyped-call]
    return averaged


def share_statistics(network: nn.Module) -> None:
    """Make the norms of a network use the statistics of all processes, in place.

    Weights, buffers and their names stay, so that its state is that of a network of one process.
    """
    on_gpu = any(parameter.is_cuda for parameter in network.parameters())
    if on_gpu:
        nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.__class__ = SharedBatchNorm  # it differs in what it does, not in what it holds
