"""The weighted sum of the loss terms of a recipe."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from owseg.types import IGNORE_ID
from owseg_training.config import Recipe
from owseg_training.data.augment import OUTLIER_ID, UNLABELLED_ID
from owseg_training.data.stream import Batch
from owseg_training.distances import centre_distance, squared_distances
from owseg_training.losses.contrast import contrast_loss
from owseg_training.losses.dce import cross_entropy, discriminative_cross_entropy
from owseg_training.losses.direction import direction_loss
from owseg_training.losses.outlier import outlier_loss, uniformity_loss
from owseg_training.losses.variance import variance_loss
from owseg_training.models.dmlnet import NetworkOutput
from owseg_training.models.layers import resize


class LossTerms(NamedTuple):
    """The terms before weighting, and their weighted sum; all scalars."""

    total: Tensor
    classification: Tensor
    variance: Tensor
    outlier: Tensor
    direction: Tensor
    contrast: Tensor


def total_loss(
    output: NetworkOutput,
    batch: Batch,
    recipe: Recipe,
    prototypes_ND: Tensor,
    class_weights_N: Tensor | None,
    generator: torch.Generator | None = None,
) -> LossTerms:
    """Evaluate all terms of a recipe on one batch.

    Distances are computed in float32 at the network's stride and upsampled to
    label resolution, as the exported graph does.

    Args:
        output: embedding and direction at the network's stride.
        batch: images, labels (255 ignore, 254 outlier, 253 unlabelled) and the direction target.
        recipe: weights of the terms and the kind of head.
        prototypes_ND: fixed prototypes.
        class_weights_N: class weights or None; one more with a class for unknown pixels.
        generator: randomness of the contrastive loss.
    """
    size = (int(batch.labels.shape[-2]), int(batch.labels.shape[-1]))
    f = output.embedding.float()
    outlier = batch.labels == OUTLIER_ID
    known = batch.labels.masked_fill(batch.labels >= UNLABELLED_ID, IGNORE_ID)
    labels = known
    if recipe.network.unknown:
        strangers = outlier | (batch.labels == UNLABELLED_ID)
        labels = known.masked_fill(strangers, f.shape[1] - 1)
    zero = f.sum() * 0.0
    variance, strange = zero, zero
    if recipe.network.head == "metric":
        distances = resize(squared_distances(f, prototypes_ND), size)
        classification = discriminative_cross_entropy(distances, labels, class_weights_N)
        variance = variance_loss(distances, labels)
        if recipe.loss.outlier:
            centre = resize(centre_distance(f, prototypes_ND)[:, None], size)[:, 0]
            strange = outlier_loss(centre, outlier)
        if recipe.loss.entropy:
            strange = uniformity_loss(-distances, outlier)
    else:
        logits = resize(f, size)
        classification = cross_entropy(logits, labels, class_weights_N)
        if recipe.loss.outlier or recipe.loss.entropy:
            strange = uniformity_loss(logits, outlier)
    direction = zero
    if recipe.network.direction:
        direction = direction_loss(
            output.direction,
            batch.direction,
            batch.direction_weight,
            _pixels(batch) if recipe.loss.direction_sum else None,
        )
    contrast = zero
    if recipe.loss.contrast:
        contrast = _contrast(output, known, recipe, generator)
    weights = recipe.loss
    total = (
        (1.0 - weights.entropy) * weights.dce * classification
        + weights.variance * variance
        + (weights.outlier + weights.entropy) * strange
        + weights.direction * direction
        + weights.contrast * contrast
    )
    return LossTerms(total, classification, variance, strange, direction, contrast)


def _pixels(batch: Batch) -> float:
    """Return the weighted pixels that a cell of the direction field stands for.

    Its weight is 1/sqrt(area in pixels of half the resolution), which is twice that of the area
    in pixels.
    """
    cells = batch.direction_weight[0].numel()
    return batch.labels[0].numel() / cells / 2


def _contrast(
    output: NetworkOutput, known_BHW: Tensor, recipe: Recipe, generator: torch.Generator | None
) -> Tensor:
    """Evaluate the contrastive loss at the network's stride."""
    assert output.projection is not None, "the contrastive loss needs network.projection"
    size = (int(output.projection.shape[-2]), int(output.projection.shape[-1]))
    labels = F.interpolate(known_BHW[:, None].float(), size=size, mode="nearest-exact")[:, 0]
    labels = labels.long()
    logits = output.embedding[:, : output.embedding.shape[1] - recipe.network.unknown]
    return contrast_loss(
        output.projection,
        labels.masked_fill(labels == IGNORE_ID, -1),
        logits.argmax(dim=1),
        recipe.loss.sampling,
        generator,
    )
