"""Augmentation, and the reproducible stream of training batches."""

from __future__ import annotations

from owseg_training.data.augment import OUTLIER_ID
from owseg_training.data.stream import Batch, TrainingStream, collate

__all__ = ["OUTLIER_ID", "Batch", "TrainingStream", "collate"]
