"""The calibration map: a table from anomaly scores to probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from owseg.errors import BundleError
from owseg.jit import warm_up
from owseg.types import FloatArray

INTERVALS = 1024
"""Intervals between the entries of a fitted table."""

TILT = 1e-3
"""Least slope of a table: scores that differ keep their order, so that what lies above a
threshold still does. Probabilities are off by as much at most."""


@dataclass(frozen=True, kw_only=True)
class CalibrationTable:
    """Probabilities of anomaly at the scores 0, 1 / M, ..., 1, linear in between.

    Attributes:
        method: how it was fitted, e.g. "isotonic".
        probabilities: M + 1 probabilities in [0, 1], growing strictly.
        fitted_on: the data it was fitted on.
        figures: what the fit noted, e.g. the calibration error before and after.

    Raises:
        BundleError: fewer than two entries, one outside [0, 1], or not growing.
    """

    method: str
    probabilities: tuple[float, ...]
    fitted_on: str
    figures: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what is no map from scores to probabilities that keeps their order."""
        table = self.entries
        fits = table.size >= 2 and bool(np.isfinite(table).all())
        if not fits or table[0] < 0 or table[-1] > 1 or not (np.diff(table) > 0).all():
            raise BundleError(
                "the calibration table must be two or more probabilities in 0..1, growing strictly"
            )

    @cached_property
    def entries(self) -> FloatArray:
        """(M + 1,) float32."""
        return np.asarray(self.probabilities, np.float32)

    def apply(self, scores: FloatArray) -> FloatArray:
        """Return the probabilities of scores.

        Args:
            scores: (H, W) float32 in [0, 1].

        Returns:
            (H, W) float32 in [0, 1], a new array.
        """
        from owseg.calibration._lookup import look_up

        out = np.empty(scores.shape, np.float32)
        flat = np.ascontiguousarray(scores, np.float32).reshape(-1)
        look_up(flat, self.entries, out.reshape(-1))
        return out

    def at(self, score: float) -> float:
        """Return the probability of one score, e.g. of a threshold."""
        return float(self.apply(np.full((1, 1), score, np.float32))[0, 0])

    def warm_up(self) -> None:
        """Compile what no cache has yet."""
        from owseg.calibration import _lookup

        warm_up(lambda: self.at(0.5), _lookup)

    def as_dict(self) -> dict[str, Any]:
        """Return what the manifest holds, ready for JSON."""
        return {
            "method": self.method,
            "fitted_on": self.fitted_on,
            "figures": dict(self.figures),
            "probabilities": list(self.probabilities),
        }


def table_of(raw: Mapping[str, Any]) -> CalibrationTable:
    """Read what `CalibrationTable.as_dict` returns.

    Raises:
        KeyError, TypeError, ValueError: a field is missing or of another kind.
        BundleError: the table is none.
    """
    return CalibrationTable(
        method=str(raw["method"]),
        probabilities=tuple(float(value) for value in raw["probabilities"]),
        fitted_on=str(raw["fitted_on"]),
        figures=dict(raw.get("figures", {})),
    )
