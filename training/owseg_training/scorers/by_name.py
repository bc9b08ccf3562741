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
from owseg_training.scorers.n_plus_1 import n_plus_1

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

UNKNOWN_SCORERS: dict[str, Scorer] = {"n_plus_1": n_plus_1}
"""Raw scores that need a logit for unknown pixels. They lie in [0, 1], and above 1/2 the unknown
class wins: they are used as they are."""

METRIC_ONLY = ("mmsp", "eds", "mixture")
"""Scores that need distances to prototypes."""


def get_scorer(name: str) -> Scorer:
    """Return a raw score by name.

    Raises:
        UsageError: no score has this name.
    """
    scorers = SCORERS | UNKNOWN_SCORERS
    if name not in scorers:
        raise UsageError(f"no anomaly score '{name}'; there are {', '.join(scorers)}, mixture")
    return scorers[name]
