"""Anomaly scores by name.

Every score is a torch function of the evidence, grows with anomaly, and becomes part of the
exported graph. Some have a state that is fitted on training images (`FITTED_SCORERS`); it is a
constant of the graph.

Shape legend: B batch, N known classes, D channels of the embedding, H rows, W columns, h, w rows
and columns of the network's grid.
"""

from __future__ import annotations

from owseg_training.scorers.by_name import (
    FITTED_SCORERS,
    METRIC_ONLY,
    SCORERS,
    UNKNOWN_SCORERS,
    check_name,
    get_scorer,
)
from owseg_training.scorers.calibrated import (
    CalibratedScore,
    Calibration,
    fit_calibration,
    per_image,
)
from owseg_training.scorers.cells import Cells
from owseg_training.scorers.evidence import Evidence, softmax_evidence
from owseg_training.scorers.mixture import Mixture

__all__ = [
    "FITTED_SCORERS",
    "METRIC_ONLY",
    "SCORERS",
    "UNKNOWN_SCORERS",
    "CalibratedScore",
    "Calibration",
    "Cells",
    "Evidence",
    "Mixture",
    "check_name",
    "fit_calibration",
    "get_scorer",
    "per_image",
    "softmax_evidence",
]
