"""Metric-based maximum softmax probability.

Source: DMLNet, Eq. 6: 1 - max_k p_k with p from Eq. 2.
"""

from __future__ import annotations

from torch import Tensor

from owseg_training.scorers.evidence import Evidence
from owseg_training.scorers.msp import msp


def mmsp(evidence: Evidence) -> Tensor:
    """Return 1 - max_k softmax(-distances)_k as (B, H, W) in [0, 1 - 1/N]."""
    assert evidence.distances is not None, "mmsp needs distances"
    return msp(Evidence(-evidence.distances, evidence.distances))
