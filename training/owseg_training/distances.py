"""Squared distances to prototypes, in matmul form.

Shape legend: B batch, N known classes, K prototypes, D embedding size, H rows, W columns.
"""

from __future__ import annotations

import torch
from torch import Tensor


def squared_distances(f_BDHW: Tensor, prototypes_KD: Tensor) -> Tensor:
    """Return ||f - m_k||^2 = ||f||^2 - 2 f.m_k + ||m_k||^2 as (B, K, H, W), at least 0.

    Computed in float32 whatever the input precision, since the terms cancel.
    """
    f = f_BDHW.float()
    m = prototypes_KD.float()
    dots = torch.einsum("bdhw,kd->bkhw", f, m)
    norms = f.square().sum(dim=1, keepdim=True)
    return (norms - 2.0 * dots + m.square().sum(dim=1)[None, :, None, None]).clamp_min(0.0)


def centre_distance(f_BDHW: Tensor, prototypes_KD: Tensor) -> Tensor:
    """Return ||f - c||^2 to the mean c of the prototypes as (B, H, W).

    The distance sum of Eq. 7 is N * ||f - c||^2 + sum_k ||m_k - c||^2: pixels
    with a small distance sum are those near the centre.
    """
    centre = prototypes_KD.float().mean(dim=0)
    return (f_BDHW.float() - centre[None, :, None, None]).square().sum(dim=1)
