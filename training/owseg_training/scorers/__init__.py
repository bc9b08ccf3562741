"""Anomaly scores by name.

Every score is a pure torch function of the per-pixel evidence, grows with
anomaly, and becomes part of the exported graph.

Shape legend: B batch, N known classes, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from owseg.errors import UsageError
from owseg_training.scorers.calibrated import (
    Calibration,
    CalibratedScore,
    fit_calibration,
    per_image,
)
from owseg_training.scorers.eds import eds
from owseg_training.scorers.energy import energy
from owseg_training.scorers.entropy import entropy
from owseg_training.scorers.evidence import Evidence
from owseg_training.scorers.max_logit import max_logit
from owseg_training.scorers.mixture import Mixture
from owseg_training.scorers.mmsp import mmsp
from owseg_training.scorers.msp import msp

__all__ = [
    "METRIC_ONLY",
    "SCORERS",
    "CalibratedScore",
    "Calibration",
    "Evidence",
    "Mixture",
    "fit_calibration",
    "get_scorer",
    "per_image",
]

Scorer = Callable[[Evidence], Tensor]

SCORERS: dict[str, Scorer] = {
    "msp": msp,
    "max_logit": max_logit,
    "entropy": entropy,
    "energy": energy,
    "mmsp": mmsp,
    "eds": eds,
}
"""Raw scores: evidence -> (B, H, W), larger is more anomalous. "mixture" blends two of them."""

METRIC_ONLY = ("mmsp", "eds", "mixture")
"""Scores that need distances to prototypes."""


def get_scorer(name: str) -> Scorer:
    """Return a raw score by name.

    Raises:
        UsageError: no score has this name.
    """
    if name not in SCORERS:
        raise UsageError(f"no anomaly score '{name}'; there are {', '.join(SCORERS)}, mixture")
    return SCORERS[name]
