"""The weighted sum of the loss terms of a recipe."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from owseg.types import IGNORE_ID
from owseg_training.config import Recipe
from owseg_training.data.augment import OUTLIER_ID
from owseg_training.data.stream import Batch
from owseg_training.distances import centre_distance, squared_distances
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


def total_loss(
    output: NetworkOutput,
    batch: Batch,
    recipe: Recipe,
    prototypes_ND: Tensor,
    class_weights_N: Tensor | None,
) -> LossTerms:
    """Evaluate all terms of a recipe on one batch.

    Distances are computed in float32 at the network's stride and upsampled to
    label resolution, as the exported graph does.

    Args:
        output: embedding and direction at the network's stride.
        batch: images, labels (255 ignore, 254 outlier) and the direction target.
        recipe: weights of the terms and the kind of head.
        prototypes_ND: fixed prototypes.
        class_weights_N: class weights or None.
    """
    size = (int(batch.labels.shape[-2]), int(batch.labels.shape[-1]))
    f = output.embedding.float()
    outlier = batch.labels == OUTLIER_ID
    labels = batch.labels.masked_fill(outlier, IGNORE_ID)
    zero = f.sum() * 0.0
    variance, strange = zero, zero
    if recipe.network.head == "metric":
        distances = resize(squared_distances(f, prototypes_ND), size)
        classification = discriminative_cross_entropy(distances, labels, class_weights_N)
        variance = variance_loss(distances, labels)
        if recipe.loss.outlier:
            centre = resize(centre_distance(f, prototypes_ND)[:, None], size)[:, 0]
            strange = outlier_loss(centre, outlier)
    else:
        logits = resize(f, size)
        classification = cross_entropy(logits, labels, class_weights_N)
        if recipe.loss.outlier:
            strange = uniformity_loss(logits, outlier)
    direction = zero
    if recipe.network.direction:
        direction = direction_loss(output.direction, batch.direction, batch.direction_weight)
    weights = recipe.loss
    total = (
        classification
        + weights.variance * variance
        + weights.outlier * strange
        + weights.direction * direction
    )
    return LossTerms(total, classification, variance, strange, direction)
