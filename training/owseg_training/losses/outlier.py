"""Pull known unknowns to the centre of the prototypes.

The distance sum (DMLNet, Eq. 7) is smallest at the mean of the prototypes.
Pixels of pasted strange objects are drawn there, at equal distance to all
classes, which also maximises the entropy of the softmax over distances (the
aim of Eq. 29 in "Detecting and Learning the Unknown in Semantic Segmentation").
For plain logits the same is said with the cross entropy to the uniform
distribution.
"""

from __future__ import annotations

from torch import Tensor

from owseg_training.losses.reduce import over_processes


def outlier_loss(centre_distance_BHW: Tensor, outlier_BHW: Tensor) -> Tensor:
    """Mean squared distance of the outlier pixels to the centre of the prototypes.

    Args:
        centre_distance_BHW: ||f - c||^2, float32.
        outlier_BHW: bool, pixels of strange objects.

    Returns:
        A scalar; 0 when there is no outlier pixel.
    """
    return _mean(centre_distance_BHW, outlier_BHW)


def uniformity_loss(logits_BNHW: Tensor, outlier_BHW: Tensor) -> Tensor:
    """Cross entropy of the softmax to the uniform distribution on the outlier pixels.

    Smallest, log N, where all classes are as likely, which is where the entropy is largest.

    Source: Uhlemeyer et al., "Detecting and Learning the Unknown in Semantic Segmentation", Eq. 30.

    Args:
        logits_BNHW: logits, or negative squared distances.
        outlier_BHW: bool, pixels of strange objects.

    Returns:
        The mean over the outlier pixels; 0 where there is none.
    """
    per_pixel = -logits_BNHW.float().log_softmax(dim=1).mean(dim=1)
    return _mean(per_pixel, outlier_BHW)


def _mean(values_BHW: Tensor, outlier_BHW: Tensor) -> Tensor:
    count = outlier_BHW.sum()
    return over_processes((values_BHW * outlier_BHW).sum() / count.clamp_min(1), count)
