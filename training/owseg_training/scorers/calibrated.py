"""From a raw score to [0, 1]: by constants fitted on training data, or per image as in the paper.

The paper divides the distance sum by its maximum in the image (Eq. 8). Then a
clean frame looks anomalous and objects influence each other, so that no fixed
threshold holds. Constants fitted once on the training set are the default.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from owseg_training.scorers.by_name import UNKNOWN_SCORERS, get_scorer
from owseg_training.scorers.evidence import Evidence
from owseg_training.scorers.mixture import Mixture
from owseg_training.scorers.mmsp import mmsp
from owseg_training.scorers.n_plus_1 import n_plus_1

PROBABILITIES = ("msp", "mmsp", "entropy")
"""Raw scores that lie in [0, 1] as they are, up to rounding."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Constants that map a raw score to [0, 1]: clip((raw - low) / (high - low)).

    Attributes:
        low: raw score that becomes 0.
        high: raw score that becomes 1.
    """

    low: float
    high: float

    def apply(self, raw: Tensor) -> Tensor:
        """Return the calibrated score, same shape, in [0, 1]."""
        return self.scaled(raw).clamp(0.0, 1.0)

    def scaled(self, raw: Tensor) -> Tensor:
        """Return the score before it is clipped, same shape."""
        return (raw - self.low) / (self.high - self.low)


def fit_calibration(raw_values: Tensor, quantile: float, high: float | None = None) -> Calibration:
    """Fit the constants on raw scores of training pixels.

    Args:
        raw_values: (n,) raw scores of known-class pixels.
        quantile: share of pixels whose score stays above 0, e.g. 0.99.
        high: raw score of the most anomalous point, where theory knows it
            (the centre of the prototypes); the largest value seen otherwise.
    """
    values = raw_values.double().numpy()
    low = float(np.quantile(values, 1.0 - quantile))
    top = float(values.max()) if high is None else high
    return Calibration(low=low, high=max(top, low + 1e-6))


def per_image(raw_BHW: Tensor, method: str) -> Tensor:
    """Return the paper's per-image form in [0, 1].

    For the distance sum this is Eq. 8, 1 - S / max S; for the other scores the
    min-max over the image. Kept for the published tables.
    """
    if method == "eds":
        return 1.0 - raw_BHW / raw_BHW.amin(dim=(1, 2), keepdim=True)
    low = raw_BHW.amin(dim=(1, 2), keepdim=True)
    high = raw_BHW.amax(dim=(1, 2), keepdim=True)
    return (raw_BHW - low) / (high - low).clamp_min(1e-6)


class CalibratedScore(nn.Module):
    """The score of an exported graph: evidence -> (B, H, W) in [0, 1].

    Args:
        method: a name in `SCORERS`, `UNKNOWN_SCORERS` or `FITTED_SCORERS`, or "mixture".
        form: "constant" (fitted constants) or "paper" (Eq. 8 per image).
        calibrations: constants by raw score, for the constant form; the mixture needs "eds".
        mixture: gate of the mixture.
        beta: confidence adjustment of "n_plus_1".
        fitted: state of the method, for one in `FITTED_SCORERS`.
    """

    def __init__(
        self,
        method: str,
        form: str,
        calibrations: dict[str, Calibration],
        mixture: Mixture | None = None,
        beta: float = 1.0,
        fitted: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.method = method
        self.form = form
        self.calibrations = calibrations
        self.mixture = mixture or Mixture()
        self.beta = beta
        self.fitted = fitted

    def forward(self, evidence: Evidence) -> Tensor:
        """Return the anomaly map."""
        if self.method == "mixture":
            return self.mixture.blend(self._one("eds", evidence), mmsp(evidence))
        if self.method in UNKNOWN_SCORERS:
            return n_plus_1(evidence, self.beta)
        return self._one(self.method, evidence)

    def _one(self, method: str, evidence: Evidence) -> Tensor:
        raw = get_scorer(method, self.fitted)(evidence)
        if self.form == "constant":
            return self.calibrations[method].apply(raw)
        return raw.clamp(0.0, 1.0) if method in PROBABILITIES else per_image(raw, method)
