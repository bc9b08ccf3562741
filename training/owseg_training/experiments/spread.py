"""Means and standard deviations over repeated runs, and how they are printed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Spread = tuple[float | None, float | None]
"""Mean and sample standard deviation."""


def mean_and_deviation(values: Sequence[float | None]) -> Spread:
    """Return mean and sample standard deviation; None with no value, or with one."""
    known = [value for value in values if value is not None]
    mean = float(np.mean(known)) if known else None
    return mean, float(np.std(known, ddof=1)) if len(known) > 1 else None


def percent(value: float | None) -> str:
    """Return a figure in [0, 1] as percent, "-" for None."""
    return "-" if value is None else f"{100 * value:.1f}"


def spread(mean: float | None, deviation: float | None) -> str:
    """Return mean and deviation in percent."""
    return percent(mean) if deviation is None else f"{percent(mean)} ± {percent(deviation)}"
