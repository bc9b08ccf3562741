"""Readers by name, augmentation, and the reproducible stream of training batches."""

from __future__ import annotations

from owseg.datasets import READERS
from owseg_training.data.stream import OUTLIER_ID, Batch, TrainingStream, collate

__all__ = ["OUTLIER_ID", "READERS", "Batch", "TrainingStream", "collate"]
