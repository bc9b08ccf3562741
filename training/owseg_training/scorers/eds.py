"""Euclidean distance sum.

Source: DMLNet, Eq. 7 and 8: S = sum_k ||f - m_k||^2; the score 1 - S / max S
falls with S, so the raw score is -S and the scale is applied by the calibration.
"""

from __future__ import annotations

from torch import Tensor

from owseg_training.scorers.evidence import Evidence


def eds(evidence: Evidence) -> Tensor:
    """Return -sum_k distances_k as (B, H, W), at most -sum_k ||c - m_k||^2 for the centre c."""
    assert evidence.distances is not None, "eds needs distances"
    return -evidence.distances.sum(dim=1)
