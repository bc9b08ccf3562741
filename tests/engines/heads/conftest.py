"""A slow reference of the heads in float64, written from their definition."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from owseg.engines.heads import HeadSpec

NEAR = 1e-4
"""Relative difference of two distances below which they count as equal."""


@dataclass(frozen=True)
class Expected:
    """The maps (H, W), and where a rounding error may decide about label and threshold."""

    known: np.ndarray
    anomaly: np.ndarray
    open_set: np.ndarray
    tie: np.ndarray
    edge: np.ndarray


def weights(cells: int, size: int) -> np.ndarray:
    """Weight of each cell in each pixel, (size, cells): bilinear, centres at half."""
    matrix = np.zeros((size, cells))
    for pixel in range(size):
        place = min(max((pixel + 0.5) * cells / size - 0.5, 0.0), cells - 1.0)
        first = int(place)
        second = min(first + 1, cells - 1)
        matrix[pixel, first] += 1 - (place - first)
        matrix[pixel, second] += place - first
    return matrix


def enlarge(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(C, h, w) to (C, H, W) in float64."""
    rows, columns = weights(maps.shape[1], size[0]), weights(maps.shape[2], size[1])
    return np.einsum("yi,cij,xj->cyx", rows, maps.astype(np.float64), columns)


def distances(f: np.ndarray, vectors: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Squared distances in the grid, (K, h, w), enlarged to (K, H, W)."""
    gaps = f.astype(np.float64)[None] - vectors.astype(np.float64)[:, :, None, None]
    return enlarge(np.square(gaps).sum(axis=1), size)


def raw_score(method: str, logits: np.ndarray) -> np.ndarray:
    """Return the raw score from logits (N, H, W); of a metric head they are -distances."""
    exponents = np.exp(logits - logits.max(axis=0))
    p = exponents / exponents.sum(axis=0)
    return {
        "msp": lambda: 1 - p.max(axis=0),
        "mmsp": lambda: 1 - p.max(axis=0),
        "entropy": lambda: -(p * np.log(np.maximum(p, 1e-300))).sum(axis=0) / np.log(len(p)),
        "energy": lambda: -(logits.max(axis=0) + np.log(exponents.sum(axis=0))),
        "max_logit": lambda: -logits.max(axis=0),
        "eds": lambda: logits.sum(axis=0),
    }[method]()


def scaled(method: str, form: str, raw: np.ndarray, low: float, high: float) -> np.ndarray:
    if form == "constant":
        return np.clip((raw - low) / (high - low), 0, 1)
    if method in ("msp", "mmsp", "entropy"):
        return raw
    if method == "eds":
        return 1 - raw / raw.min()
    return (raw - raw.min()) / max(raw.max() - raw.min(), 1e-6)


def anomaly_of(spec: HeadSpec, logits: np.ndarray) -> np.ndarray:
    def one(method: str) -> np.ndarray:
        return scaled(method, spec.form, raw_score(method, logits), spec.low, spec.high)

    if spec.method != "mixture":
        return one(spec.method)
    eds = one("eds")
    alpha = 1 / (1 + np.exp(-20 * (eds - 0.8)))
    return alpha * eds + (1 - alpha) * raw_score("mmsp", logits)


def close(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Where two finite distances are equal up to rounding."""
    finite = np.isfinite(a) & np.isfinite(b)
    a, b = np.where(finite, a, 0.0), np.where(finite, b, 1.0)
    return np.abs(a - b) <= NEAR * np.maximum(np.maximum(np.abs(a), np.abs(b)), 1e-3)


def reference(spec: HeadSpec, size, f, slots, threshold: float) -> Expected:
    """Compute the maps of one embedding (D, h, w)."""
    if len(spec.prototypes):
        logits = -distances(f, spec.prototypes, size)
        limit = -logits.max(axis=0)
    else:
        logits = enlarge(f, size)
        limit = np.full(size, np.inf)
    known = logits.argmax(axis=0)
    ordered = np.sort(logits, axis=0)[::-1]
    tie = close(ordered[0], ordered[1]) if len(ordered) > 1 else np.zeros(size, bool)
    claimed, near = np.zeros(size, bool), np.full(size, np.inf)
    for slot in np.flatnonzero(slots.valid >= 0.5):
        reach = float(slots.radius[slot])
        far = distances(f, slots.vectors[slot][None], size)[0]
        tie |= close(far, np.full(size, reach)) | close(far, near) | close(far, limit)
        takes = (far < reach) & (far < near) & (far < limit)
        near = np.where((far < reach) & (far < near), far, near)
        known = np.where(takes, spec.classes + slot, known)
        claimed |= takes
    anomaly = anomaly_of(spec, logits)
    edge = np.abs(anomaly - threshold) < 1e-4
    open_set = np.where((anomaly > threshold) & ~claimed, 255, known)
    return Expected(known, anomaly, open_set, tie, edge)


def fitted(spec: HeadSpec, size, f) -> HeadSpec:
    """Return the heads with a scale that clips a tenth of the pixels at each end."""
    metric = len(spec.prototypes) > 0
    logits = -distances(f, spec.prototypes, size) if metric else enlarge(f, size)
    raw = raw_score("eds" if spec.method == "mixture" else spec.method, logits)
    low, high = np.quantile(raw, (0.1, 0.9))
    return replace(spec, low=float(low), high=float(high))


@pytest.fixture(name="reference")
def _reference():
    """Give the slow reference: (spec, size, f, slots, threshold) -> maps and ties."""
    return reference


@pytest.fixture(name="fitted")
def _fitted():
    """Give the function that fits the scale of a score: (spec, size, f) -> spec."""
    return fitted
