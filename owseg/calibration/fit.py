"""Fitting the calibration map on counts of pixels by score: Platt and isotonic.

Both see the pixels as one big sample, so that the map holds for the mix of scenes and for the
share of anomalies that the data have: where anomalies are ten times rarer, probabilities are too
high. Calibration moves no pixel before another: AUROC, AUPR and FPR95 stay as they are.

Source: Platt, Probabilistic outputs for support vector machines, 1999 (with its targets, which
keep the slope finite where the classes are separable); Zadrozny and Elkan, Transforming classifier
scores into accurate multiclass probability estimates, KDD 2002 (isotonic).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from owseg.calibration.table import INTERVALS, TILT, CalibrationTable
from owseg.errors import InputError, UsageError
from owseg.metrics import CalibrationMetric, CalibrationScores, ReliabilityBin

FloatVector = npt.NDArray[np.float64]

_STEPS, _ENOUGH = 100, 1e-10


def fit_table(method: str, scores: CalibrationScores, fitted_on: str) -> CalibrationTable:
    """Fit a calibration map.

    Args:
        method: a name in `METHODS`.
        scores: pixels by score, of `INTERVALS` bins or so (`CalibrationMetric(INTERVALS)`).
        fitted_on: the data.

    Raises:
        UsageError: no such method.
        InputError: the pixels are all normal or all anomalous, or scores fall with anomaly.
    """
    if method not in METHODS:
        raise UsageError(f"no calibration '{method}'; there are {', '.join(METHODS)}")
    place, normal, anomalous = _counts(scores.bins)
    if not (normal.sum() and anomalous.sum()):
        missing = "normal" if not normal.sum() else "anomalous"
        raise InputError(
            f"{fitted_on} has no {missing} pixels: a probability of anomaly needs both kinds; "
            "choose another split, or a truth map that holds classes out"
        )
    grid = np.linspace(0.0, 1.0, INTERVALS + 1)
    curve = METHODS[method](place, normal, anomalous, grid)
    tilted = np.clip((1 - TILT) * curve + TILT * grid, 0.0, 1.0)
    return CalibrationTable(
        method=method,
        probabilities=tuple(round(float(value), 9) for value in tilted),
        fitted_on=fitted_on,
        figures={"pixels": int(normal.sum() + anomalous.sum())}
        | {"anomalous_pixels": int(anomalous.sum()), "ece_of_scores": _ece(scores)},
    )


def _counts(bins: Sequence[ReliabilityBin]) -> tuple[FloatVector, FloatVector, FloatVector]:
    """Mean score, normal and anomalous pixels of the bins that have any, by score."""
    used = [b for b in bins if b.mean_score is not None and b.anomaly_share is not None]
    place = np.array([b.mean_score for b in used], np.float64)
    pixels = np.array([b.pixels for b in used], np.float64)
    anomalous = np.round(pixels * np.array([b.anomaly_share for b in used], np.float64))
    return place, pixels - anomalous, anomalous


def _ece(scores: CalibrationScores) -> float | None:
    return None if scores.ece is None else round(scores.ece, 6)


def platt(
    place: FloatVector, normal: FloatVector, anomalous: FloatVector, grid: FloatVector
) -> FloatVector:
    """Fit the slope and offset of a logistic curve, by Newton steps that halve where they fail.

    Args:
        place: (K,) scores.
        normal: (K,) normal pixels with that score.
        anomalous: (K,) anomalous ones.
        grid: (M,) scores.

    Returns:
        (M,) probabilities at `grid`.

    Raises:
        InputError: the curve would fall.
    """
    total, positive = normal + anomalous, anomalous.sum()
    high, low = (positive + 1) / (positive + 2), 1 / (normal.sum() + 2)
    target = high * anomalous + low * normal
    design = np.stack((place, np.ones_like(place)))
    found = np.array([0.0, np.log((positive + 1) / (normal.sum() + 1))])
    loss = _log_loss(found, design, total, target)
    for _ in range(_STEPS):
        p = _sigmoid(found @ design)
        slope = design @ (total * p - target)
        bend = (design * (total * p * (1 - p))) @ design.T + 1e-9 * np.eye(2)
        step = np.linalg.solve(bend, slope)
        size = 1.0
        while (new := _log_loss(found - size * step, design, total, target)) > loss and size > 1e-9:
            size /= 2
        found, gain, loss = found - size * step, loss - new, new
        if gain < _ENOUGH * abs(loss):
            break
    if found[0] <= 0:
        raise InputError("the scores fall with anomaly on these data; they cannot be calibrated")
    return _sigmoid(found[0] * grid + found[1])


def _log_loss(
    found: FloatVector, design: FloatVector, total: FloatVector, target: FloatVector
) -> float:
    z = found @ design
    return float((total * np.logaddexp(0, z) - target * z).sum())


def _sigmoid(z: FloatVector) -> FloatVector:
    return np.exp(-np.logaddexp(0, -z))


def isotonic(
    place: FloatVector, normal: FloatVector, anomalous: FloatVector, grid: FloatVector
) -> FloatVector:
    """Fit the growing curve with the least squared error: pool neighbours that fall.

    Args:
        place: (K,) scores, growing.
        normal: (K,) normal pixels with that score.
        anomalous: (K,) anomalous ones.
        grid: (M,) scores.

    Returns:
        (M,) probabilities at `grid`: linear between the scores, level beyond them.
    """
    pools: list[tuple[float, float, int]] = []  # anomalous, all, number of scores
    for hits, pixels in zip(anomalous, normal + anomalous, strict=True):
        pool = (float(hits), float(pixels), 1)
        while pools and pools[-1][0] * pool[1] >= pool[0] * pools[-1][1]:
            before = pools.pop()
            pool = (before[0] + pool[0], before[1] + pool[1], before[2] + pool[2])
        pools.append(pool)
    levels = np.repeat([hit / all_ for hit, all_, _ in pools], [number for *_, number in pools])
    curve: FloatVector = np.interp(grid, place, levels)
    return curve


Fit = Callable[[FloatVector, FloatVector, FloatVector, FloatVector], FloatVector]

METHODS: dict[str, Fit] = {"platt": platt, "isotonic": isotonic}
"""Ways to fit the map: scores, normal and anomalous pixels, grid -> probabilities."""


def pixel_counts() -> CalibrationMetric:
    """Return the metric that gathers what `fit_table` needs."""
    return CalibrationMetric(INTERVALS)
