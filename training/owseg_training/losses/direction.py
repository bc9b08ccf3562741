"""Loss of the boundary-to-pixel direction field.

Source: Wan et al., "Super-BPD", CVPR 2020, Eq. 2; GOSS, Section 4.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from owseg_training.losses.reduce import over_processes


def direction_loss(
    predicted_B2HW: Tensor,
    target_B2HW: Tensor,
    weight_BHW: Tensor,
    pixels: float | None = None,
) -> Tensor:
    """Weighted squared error plus squared angle between unit direction fields.

    As printed the loss is a sum over pixels, which grows with the image: the weight 1e-4 of the
    GOSS paper belongs to it. The mean is of order 1 whatever the image.

    Args:
        predicted_B2HW: direction, row then column, any length.
        target_B2HW: unit direction; anything where the weight is 0.
        weight_BHW: weight of each pixel, >= 0 (1/sqrt(segment area); 0 = void).
        pixels: weighted pixels that a cell of the field stands for; None = take the mean.

    Returns:
        The weighted mean, or with `pixels` the weighted sum over an image, averaged over the
        images; 0 when all weights are 0.
    """
    unit = F.normalize(predicted_B2HW.float(), dim=1, eps=1e-6)
    error = (unit - target_B2HW).square().sum(dim=1)
    cosine = (unit * target_B2HW).sum(dim=1).clamp(-1 + 1e-4, 1 - 1e-4)
    loss = error + torch.acos(cosine).square()
    total = (loss * weight_BHW).sum()
    if pixels is not None:
        return pixels * total / len(weight_BHW)
    weight = weight_BHW.sum()
    return over_processes(total / weight.clamp_min(1e-6), weight)
