"""Discriminative cross entropy: attract to the own prototype, repel from the others.

Source: DMLNet, Eq. 3.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from owseg.types import IGNORE_ID


def discriminative_cross_entropy(
    distances_BNHW: Tensor, labels_BHW: Tensor, class_weights_N: Tensor | None = None
) -> Tensor:
    """Cross entropy of the softmax over negative squared distances.

    Args:
        distances_BNHW: squared distances to the prototypes, float32.
        labels_BHW: class ids, int64; 255 = ignore.
        class_weights_N: weight of each class, or None for equal weights.

    Returns:
        The weighted mean over all pixels that count; 0 when none does.
    """
    return cross_entropy(-distances_BNHW, labels_BHW, class_weights_N)


def cross_entropy(
    logits_BNHW: Tensor, labels_BHW: Tensor, class_weights_N: Tensor | None = None
) -> Tensor:
    """Cross entropy of the softmax over plain logits; arguments and result as above."""
    if bool((labels_BHW == IGNORE_ID).all()):
        return logits_BNHW.sum() * 0.0
    return F.cross_entropy(logits_BNHW, labels_BHW, class_weights_N, ignore_index=IGNORE_ID)
