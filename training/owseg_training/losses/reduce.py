"""Losses of a batch that is spread over the processes of a run.

The gradients of the processes are averaged, so a loss is right if its average over them is that of
the whole batch. A mean over pixels is not, where one process has more pixels that count than
another. With one process each function here returns what plain torch would.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor

from owseg_training.parallel import world_size


def over_processes(mean: Tensor, count: Tensor) -> Tensor:
    """Weigh the mean of this process so that the average over all is the mean of the batch.

    All processes must call it, also those where nothing counts.

    Args:
        mean: scalar, the mean of what this process has; anything finite if its count is 0.
        count: scalar, what its parts weigh together, >= 0.
    """
    if world_size() == 1:
        return mean
    own = count.detach().double()
    total = own.clone()
    dist.all_reduce(total)
    share = torch.where(total > 0, own / total, 0.0)
    return mean * (world_size() * share).to(mean.dtype)


def gathered(own: Tensor) -> Tensor:
    """Return the tensors (B, ...) of all processes as one, (size * B, ...), without gradient."""
    if world_size() == 1:
        return own
    own = own.detach().contiguous()
    parts = [torch.empty_like(own) for _ in range(world_size())]
    dist.all_gather(parts, own)
    return torch.cat(parts)


def rows(own_MP: Tensor, index_S: Tensor) -> Tensor:
    """Pick rows of the matrices of all processes, stacked as by `gathered`.

    The gradient reaches those of this process only, and is as large as that of the average over
    the processes, each of which evaluates the same loss.

    Args:
        own_MP: the matrix of this process.
        index_S: int64 rows of the stack, the same in all processes.
    """
    if world_size() == 1:
        return own_MP[index_S]
    place = index_S - dist.get_rank() * len(own_MP)
    mine = (place >= 0) & (place < len(own_MP))
    own = own_MP[place.clamp(0, len(own_MP) - 1)].where(mine[:, None], own_MP.new_zeros(()))
    everyone = own.detach().clone()
    dist.all_reduce(everyone)
    return everyone + world_size() * (own - own.detach())
