"""What scores are fitted on: known cells of training images, at the network's stride."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from owseg.errors import UsageError


class Cells(NamedTuple):
    """Cells of the network's grid, each of a known class.

    Attributes:
        embedding: (n, D) float32.
        logits: (n, N) float32; for a metric head the negative squared distances.
        labels: (n,) int64 classes 0..N-1.
    """

    embedding: Tensor
    logits: Tensor
    labels: Tensor


def class_means(values_nD: Tensor, labels_n: Tensor) -> tuple[Tensor, Tensor]:
    """Return the classes that occur, ascending, and their means.

    Args:
        values_nD: (n, D).
        labels_n: (n,) int64.

    Returns:
        (K,) int64 and (K, D) of the type of the values.

    Raises:
        UsageError: there is nothing to fit on.
    """
    if not len(labels_n):
        raise UsageError(
            "no pixel of a known class to fit the score on; check the data set and its truth map"
        )
    classes = torch.unique(labels_n)
    return classes, torch.stack([values_nD[labels_n == k].mean(dim=0) for k in classes])
