"""The raw scores by name."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from owseg.errors import UsageError
from owseg_training.scorers.cells import Cells
from owseg_training.scorers.density import fit_density
from owseg_training.scorers.eds import eds
from owseg_training.scorers.energy import energy
from owseg_training.scorers.entropy import entropy
from owseg_training.scorers.evidence import Evidence
from owseg_training.scorers.knn import fit_knn
from owseg_training.scorers.mahalanobis import fit_mahalanobis
from owseg_training.scorers.max_logit import max_logit
from owseg_training.scorers.mmsp import mmsp
from owseg_training.scorers.msp import msp
from owseg_training.scorers.n_plus_1 import n_plus_1
from owseg_training.scorers.standardised_max_logit import fit_standardised_max_logit

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

FITTED_SCORERS: dict[str, Callable[[Cells], nn.Module]] = {
    "standardised_max_logit": fit_standardised_max_logit,
    "mahalanobis": fit_mahalanobis,
    "knn": fit_knn,
    "density": fit_density,
}
"""Fits of raw scores with a state: cells of training images -> module that maps evidence, with its
embedding, to (B, H, W). The state is part of the exported graph."""

METRIC_ONLY = ("mmsp", "eds", "mixture")
"""Scores that need distances to prototypes."""


def get_scorer(name: str, fitted: nn.Module | None = None) -> Scorer:
    """Return a raw score by name.

    Args:
        name: of the score.
        fitted: its state, for a name in `FITTED_SCORERS`.

    Raises:
        UsageError: no score has this name.
    """
    check_name(name)
    if name in FITTED_SCORERS:
        assert fitted is not None, f"the score {name} has to be fitted first"
        return fitted
    return (SCORERS | UNKNOWN_SCORERS)[name]


def check_name(name: str) -> None:
    """Refuse a score that does not exist.

    Raises:
        UsageError: no score has this name.
    """
    names = (*SCORERS, *UNKNOWN_SCORERS, *FITTED_SCORERS, "mixture")
    if name not in names:
        raise UsageError(f"no anomaly score '{name}'; there are {', '.join(names)}")
