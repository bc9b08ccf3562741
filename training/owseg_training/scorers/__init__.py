"""Anomaly scores by name.

Every score is a pure torch function of the per-pixel evidence, grows with
anomaly, and becomes part of the exported graph.

Shape legend: B batch, N known classes, H rows, W columns.
"""

from __future__ import annotations

from owseg_training.scorers.by_name import METRIC_ONLY, SCORERS, UNKNOWN_SCORERS, get_scorer
from owseg_training.scorers.calibrated import (
    CalibratedScore,
    Calibration,
    fit_calibration,
    per_image,
)
from owseg_training.scorers.evidence import Evidence, softmax_evidence
from owseg_training.scorers.mixture import Mixture

__all__ = [
    "METRIC_ONLY",
    "SCORERS",
    "UNKNOWN_SCORERS",
    "CalibratedScore",
    "Calibration",
    "Evidence",
    "Mixture",
    "fit_calibration",
    "get_scorer",
    "per_image",
    "softmax_evidence",
]
