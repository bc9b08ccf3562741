"""What the fused heads must know of a model, read from its manifest."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from owseg.errors import EngineError
from owseg.manifest import Manifest
from owseg.types import FloatArray

METHODS = ("eds", "msp", "mmsp", "entropy", "energy", "max_logit", "mixture")
"""Scores that the fused heads compute; the same names as in `owseg_training.scorers`."""

PROBABILITIES = ("msp", "mmsp", "entropy")
"""Scores that lie in 0..1 as they are, and that the per-image form leaves so."""

_METRIC_ONLY = ("eds", "mmsp", "mixture")
_FORMS = ("constant", "paper")


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadSpec:
    """The heads of one model.

    Attributes:
        prototypes: (N, D) float32 prototypes of the known classes; (0, D) where the embedding is
            the logits.
        classes: N.
        method: one of METHODS.
        form: "constant", or "paper" for the per-image scale.
        low: raw score that becomes 0 in the constant form.
        high: raw score that becomes 1.
    """

    prototypes: FloatArray
    classes: int
    method: str
    form: str
    low: float
    high: float

    @property
    def per_image(self) -> bool:
        """Whether the scale depends on the extremes of each image."""
        return self.form == "paper" and self.method not in PROBABILITIES


def head_spec(manifest: Manifest) -> HeadSpec:
    """Read the heads of a model.

    Raises:
        EngineError: the fused heads cannot compute them; the message says why.
    """
    method, form = manifest.score.get("method"), manifest.score.get("form", "constant")
    metric = len(manifest.prototypes) > 0
    if manifest.heads:
        raise _refused(manifest, f"{manifest.heads} of its classes have heads of their own")
    if method not in METHODS or form not in _FORMS:
        raise _refused(manifest, f"they do not know its score '{method}' in the form '{form}'")
    if not metric and method in _METRIC_ONLY:
        raise _refused(manifest, f"its score '{method}' needs prototypes, and it has none")
    if not metric and manifest.embedding_size != len(manifest.classes):
        raise _refused(manifest, "its embedding is not one logit for each class")
    if method == "entropy" and len(manifest.classes) < 2:
        raise _refused(manifest, "the entropy of one class is undefined")
    low, high = (0.0, 1.0) if form == "paper" else _constants(manifest, method)
    return HeadSpec(
        prototypes=manifest.prototypes,
        classes=len(manifest.classes),
        method=method,
        form=form,
        low=low,
        high=high,
    )


def _constants(manifest: Manifest, method: str) -> tuple[float, float]:
    name = "eds" if method == "mixture" else method
    constants = manifest.score.get("constants")
    pair: Any = constants.get(name) if isinstance(constants, Mapping) else None
    try:
        low, high = float(pair["low"]), float(pair["high"])
    except (TypeError, KeyError, ValueError) as error:
        raise _refused(manifest, f"it has no constants for '{name}'") from error
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise _refused(manifest, f"its constants for '{name}' are {low:g} and {high:g}")
    return low, high


def _refused(manifest: Manifest, reason: str) -> EngineError:
    return EngineError(
        f"model '{manifest.name}' cannot use the fused heads: {reason}; use the heads graph"
    )
