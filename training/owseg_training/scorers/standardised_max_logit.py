"""Standardised max logit: the largest logit against what is usual for the class that wins.

The logits of some classes are larger than those of others whatever the image shows; with the mean
and the deviation of each class the same threshold means the same for all.

Source: Jung et al., "Standardized Max Logits: A Simple yet Effective Approach for Identifying
Unexpected Road Obstacles in Urban-Scene Segmentation", ICCV 2021, Eq. 2 to 4; without its
suppression of boundaries and its smoothing.
"""

from __future__ import annotations

from torch import Tensor, nn

from owseg_training.scorers.cells import Cells, class_means
from owseg_training.scorers.evidence import Evidence

SMALLEST_STD = 1e-3


class StandardisedMaxLogit(nn.Module):
    """-(max_k z_k - mean_c) / std_c, c the class of the largest logit.

    Args:
        mean: (N,) mean of the largest logit where a class wins.
        std: (N,) its standard deviation, above 0.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean.float())
        self.register_buffer("std", std.float())

    def forward(self, evidence: Evidence) -> Tensor:
        """Return the raw score (B, H, W)."""
        best = evidence.logits.argmax(dim=1)
        largest = evidence.logits.amax(dim=1)
        place = best.flatten()
        mean = self.mean.index_select(0, place).reshape(best.shape)
        std = self.std.index_select(0, place).reshape(best.shape)
        return (mean - largest) / std


def fit_standardised_max_logit(cells: Cells) -> StandardisedMaxLogit:
    """Fit mean and deviation of the largest logit by the class that wins.

    A class that wins in fewer than two cells gets those of all cells together.

    Raises:
        UsageError: there is nothing to fit on.
    """
    largest, winner = cells.logits.double().max(dim=1)
    class_means(largest[:, None], winner)
    count = cells.logits.shape[1]
    mean = largest.mean().repeat(count)
    std = largest.std(unbiased=False).repeat(count)
    for k in range(count):
        own = largest[winner == k]
        if len(own) > 1:
            mean[k], std[k] = own.mean(), own.std(unbiased=False)
    return StandardisedMaxLogit(mean, std.clamp_min(SMALLEST_STD))
