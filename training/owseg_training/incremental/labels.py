"""Label maps from base and heads: Algorithm 1 of the DMLNet paper, and both ways to predict.

Class ids: 0..N-1 the base classes, N + t the class of head t = 0, 1, ...

Shape legend: B batch, N base classes, H rows, W columns, h, w output grid of the network.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from owseg.types import IGNORE_ID
from owseg_training.models.layers import resize


def own_class(embedding_BKhw: Tensor, size: tuple[int, int]) -> Tensor:
    """Return where a head predicts its own class, the last of its K, as (B, H, W) bool.

    Its prototypes T * e_j have equal norms, so the nearest one is the largest
    component of the embedding, and upsampling commutes with the distances.
    """
    best = resize(embedding_BKhw.float(), size).argmax(dim=1)
    return best == embedding_BKhw.shape[1] - 1


def merge(base_BHW: Tensor, claims_BHW: Sequence[Tensor], num_base: int) -> Tensor:
    """Overwrite the base labels where later heads predict their own class, in their order.

    Args:
        base_BHW: labels of the base head, int64.
        claims_BHW: where each head predicts its own class, bool.
        num_base: N.

    Returns:
        (B, H, W) int64. Source: Algorithm 1, lines 1 to 7; also the inference of PLM_all.
    """
    labels = base_BHW
    for t, claim in enumerate(claims_BHW):
        labels = labels.masked_fill(claim, num_base + t)
    return labels


def pseudo_labels(
    base_BHW: Tensor, claims_BHW: Sequence[Tensor], annotation_BHW: Tensor, num_base: int
) -> Tensor:
    """Return what a new head is trained with.

    Args:
        base_BHW: labels of the base head, int64.
        claims_BHW: where each older head predicts its own class, bool.
        annotation_BHW: uint8, 1 = the new class, 0 = not annotated, 255 = outside of the image.
        num_base: N.

    Returns:
        (B, H, W) int64; the new class has the id N + number of older heads, padding is 255.
        Source: Algorithm 1.
    """
    labels = merge(base_BHW, claims_BHW, num_base)
    labels = labels.masked_fill(annotation_BHW == 1, num_base + len(claims_BHW))
    return labels.masked_fill(annotation_BHW == IGNORE_ID, IGNORE_ID)
