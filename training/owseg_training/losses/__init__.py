"""Loss terms, one per file, and their weighted sum."""

from __future__ import annotations

from owseg_training.losses.contrast import contrast_loss
from owseg_training.losses.dce import discriminative_cross_entropy
from owseg_training.losses.direction import direction_loss
from owseg_training.losses.outlier import outlier_loss
from owseg_training.losses.total import LossTerms, total_loss
from owseg_training.losses.variance import variance_loss

__all__ = [
    "LossTerms",
    "contrast_loss",
    "direction_loss",
    "discriminative_cross_entropy",
    "outlier_loss",
    "total_loss",
    "variance_loss",
]
