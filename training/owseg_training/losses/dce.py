"""Discriminative cross entropy: attract to the own prototype, repel from the others.

Source: DMLNet, Eq. 3.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from owseg.types import IGNORE_ID
from owseg_training.losses.reduce import over_processes


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
    pixels_N = torch.bincount(labels_BHW.flatten(), minlength=IGNORE_ID + 1)[: logits_BNHW.shape[1]]
    weight = pixels_N.sum() if class_weights_N is None else (pixels_N * class_weights_N).sum()
    if bool((labels_BHW == IGNORE_ID).all()):
        return over_processes(logits_BNHW.sum() * 0.0, weight)
    mean = F.cross_entropy(logits_BNHW, labels_BHW, class_weights_N, ignore_index=IGNORE_ID)
    return over_processes(mean, weight)
