"""Variance loss: attract to the own prototype only.

Source: DMLNet, Eq. 4, averaged over the pixels.
"""

from __future__ import annotations

from torch import Tensor

from owseg.types import IGNORE_ID
from owseg_training.losses.reduce import over_processes


def variance_loss(distances_BNHW: Tensor, labels_BHW: Tensor) -> Tensor:
    """Mean squared distance of the labelled pixels to their own prototype.

    Args:
        distances_BNHW: squared distances to the prototypes, float32.
        labels_BHW: class ids, int64; 255 = ignore.

    Returns:
        A scalar; 0 when no pixel counts.
    """
    valid = labels_BHW != IGNORE_ID
    index = labels_BHW.where(valid, labels_BHW.new_zeros(()))
    own = distances_BNHW.gather(1, index[:, None]).squeeze(1)
    count = valid.sum()
    return over_processes((own * valid).sum() / count.clamp_min(1), count)
