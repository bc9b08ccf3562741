"""The raw scores by name."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from owseg.errors import UsageError
from owseg_training.scorers.eds import eds
from owseg_training.scorers.energy import energy
from owseg_training.scorers.entropy import entropy
from owseg_training.scorers.evidence import Evidence
from owseg_training.scorers.max_logit import max_logit
from owseg_training.scorers.mmsp import mmsp
from owseg_training.scorers.msp import msp

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
