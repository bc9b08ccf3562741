"""Pixel contrastive loss: pixels of one class attract each other, those of others repel.

For an anchor i with positives P and negatives N, all of length 1:

    l_i = mean over p of -log( exp(i.p/tau) / (exp(i.p/tau) + sum over n of exp(i.n/tau)) )

Half of the anchors of a class in an image are pixels that the classifier gets wrong, as far as
there are. Positives are of the same class and image, negatives of other classes in any image of
the batch. Both are drawn at random from the hardest share of the candidates (semi-hard): the
least similar positives, the most similar negatives. Void pixels take no part.

With several processes the batch is that of all: each draws the same pixels of it and evaluates the
same loss, and only the embeddings of those pixels are sent round.

Source: GOSS, Eq. 3; Wang et al., "Exploring Cross-Image Pixel Contrast for Semantic
Segmentation", ICCV 2021, Sections 3.2 and 3.3.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from owseg_training.config import ContrastConfig
from owseg_training.losses.reduce import gathered, rows


class Choice(NamedTuple):
    """Candidates that were drawn for each anchor.

    Attributes:
        place: (A, K) int64 into the pool.
        valid: (A, K) bool; there may be fewer than K.
    """

    place: Tensor
    valid: Tensor


def contrast_loss(
    projection_BPHW: Tensor,
    labels_BHW: Tensor,
    predicted_BHW: Tensor,
    config: ContrastConfig,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Mean of the loss over the anchors that have positives and negatives.

    Args:
        projection_BPHW: embedding of the contrastive loss, any length.
        labels_BHW: int64 classes at its resolution; negative = void.
        predicted_BHW: int64 classes that the classifier says, likewise.
        config: temperature and sampling.
        generator: source of randomness, on the device of the embedding; of the same state in all
            processes.

    Returns:
        A scalar; 0 when there is no such anchor.
    """
    wrong = gathered(labels_BHW != predicted_BHW).flatten()
    labels_BHW = gathered(labels_BHW)
    labels = labels_BHW.flatten()
    image = torch.arange(len(labels_BHW), device=labels.device)
    image = image.repeat_interleave(labels_BHW[0].numel())
    anchor = draw_per_class(labels, image, config.anchors, config.views, wrong, generator)
    if not len(anchor):
        return projection_BPHW.sum() * 0.0
    pool = draw_per_class(labels, image, config.pool, config.pool, None, generator)
    unit = F.normalize(projection_BPHW.float().permute(0, 2, 3, 1).flatten(0, 2), dim=1)
    similarity = rows(unit, anchor) @ rows(unit, pool).t()
    other = labels[anchor][:, None] != labels[pool]
    same = ~other & (image[anchor][:, None] == image[pool]) & (anchor[:, None] != pool)
    with torch.no_grad():
        positives = semi_hard(-similarity, same, config.views, config.hard_share, generator)
        negatives = semi_hard(similarity, other, config.negatives, config.hard_share, generator)
    return info_nce(similarity / config.temperature, positives, negatives)


def info_nce(logits_AC: Tensor, positives: Choice, negatives: Choice) -> Tensor:
    """Evaluate the formula of this module on similarities over the temperature.

    Args:
        logits_AC: similarity of each anchor and candidate, over the temperature.
        positives: of each anchor.
        negatives: of each anchor.
    """
    usable = positives.valid.any(dim=1) & negatives.valid.any(dim=1)
    if not bool(usable.any()):
        return logits_AC.sum() * 0.0
    logits, (near, is_near), (far, is_far) = (
        logits_AC[usable],
        (part[usable] for part in positives),
        (part[usable] for part in negatives),
    )
    repelled = logits.gather(1, far).masked_fill(~is_far, -torch.inf).logsumexp(dim=1)
    losses = F.softplus(repelled[:, None] - logits.gather(1, near)) * is_near
    return (losses.sum(dim=1) / is_near.sum(dim=1)).mean()


def semi_hard(
    hardness_AC: Tensor,
    candidates_AC: Tensor,
    count: int,
    share: float,
    generator: torch.Generator | None = None,
) -> Choice:
    """Draw candidates at random from the hardest share of those of each anchor.

    Args:
        hardness_AC: the larger, the harder.
        candidates_AC: bool, which may be drawn.
        count: largest number for an anchor.
        share: 0..1; at least one candidate is drawn where there is any.
        generator: source of randomness.
    """
    eligible = (candidates_AC.sum(dim=1).float() * share).ceil().long()
    width = max(1, int(eligible.max())) if len(eligible) else 1
    masked = hardness_AC.masked_fill(~candidates_AC, -torch.inf)
    hardest = masked.topk(width, dim=1).indices
    key = torch.rand(hardest.shape, generator=generator, device=hardest.device)
    rank = torch.arange(width, device=hardest.device)
    key = key.masked_fill(rank >= eligible[:, None], -1.0)
    drawn = key.topk(min(count, width), dim=1)
    return Choice(hardest.gather(1, drawn.indices), drawn.values >= 0)


def draw_per_class(
    labels_M: Tensor,
    image_M: Tensor,
    total: int,
    most: int,
    preferred_M: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw pixels of each class in each image, the same number as far as there are.

    Args:
        labels_M: int64 class of each pixel; negative = none.
        image_M: int64 image of each pixel.
        total: largest number of all.
        most: largest number of one class in one image.
        preferred_M: bool, pixels that half of each draw is taken from, as far as there are.
        generator: source of randomness.

    Returns:
        (S,) int64 indices of the pixels.
    """
    place = torch.nonzero(labels_M >= 0).flatten()
    place = place[torch.rand(len(place), generator=generator, device=place.device).argsort()]
    group = image_M[place] * (int(labels_M.max()) + 1) + labels_M[place]
    number = max(1, min(most, total // max(1, torch.unique(group).numel())))
    if preferred_M is None:
        return place[_first(group, number)][:total]
    preferred = preferred_M[place]
    half = torch.zeros_like(preferred)
    half[preferred] = _first(group[preferred], (number + 1) // 2)
    # First the preferred half, then the others, then what is left of the preferred.
    order = (preferred.long() + 1).masked_fill(half, 0).argsort(stable=True)
    place, group = place[order], group[order]
    return place[_first(group, number)][:total]


def _first(group_M: Tensor, count: int) -> Tensor:
    """Whether each item is one of the first `count` of its group, (M,) bool."""
    order = group_M.argsort(stable=True)
    ordered = group_M[order]
    starts = torch.searchsorted(ordered, ordered)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=order.device) - starts
    return rank < count
