"""Patterns of surfaces: functions of a position, in units of the pattern, to a weight 0..1."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from owseg.scenes.noise import fbm
from owseg.types import FloatArray

Pattern = Callable[[FloatArray], FloatArray]
"""Takes (n, 3) float32 positions, returns (n,) float32 weights of the second colour."""


def _noise(p: FloatArray, seed: int, gain: float) -> FloatArray:
    """Return noise in [0, 1] at positions, from two skewed cuts of a tile."""
    tile = fbm(seed, 128, 8, 5)
    scaled = (p * gain).astype(np.int32)
    x, y, z = scaled[:, 0], scaled[:, 1], scaled[:, 2]
    return np.asarray(
        (tile[(y + z) % 128, (x + 2 * z) % 128] + tile[(x + 37) % 128, (z + y) % 128]) / 2
    )


def plain(p: FloatArray) -> FloatArray:
    """One colour with a trace of dirt."""
    return 0.12 * _noise(p, 3, 4)


def stripes(p: FloatArray) -> FloatArray:
    """Upright stripes."""
    return (np.floor(p[:, 0] + p[:, 2] * 0.7) % 2).astype(np.float32)


def bands(p: FloatArray) -> FloatArray:
    """Level bands."""
    return (np.floor(p[:, 1]) % 2).astype(np.float32)


def checks(p: FloatArray) -> FloatArray:
    """Squares of a chessboard."""
    return np.asarray(np.floor(p).sum(1) % 2, np.float32)


def spots(p: FloatArray) -> FloatArray:
    """Large irregular patches."""
    return np.asarray(_noise(p, 5, 14) > 0.53, np.float32)


def mottle(p: FloatArray) -> FloatArray:
    """Cloudy transitions."""
    return np.asarray(np.clip(_noise(p, 7, 12) * 2.2 - 0.6, 0, 1), np.float32)


def grain(p: FloatArray) -> FloatArray:
    """Fine grain, such as fur or rust."""
    return np.asarray(np.clip(_noise(p, 11, 60) * 1.6 - 0.4, 0, 1), np.float32)


def planks(p: FloatArray) -> FloatArray:
    """Boards with dark joints and wood grain."""
    joint = (p[:, 1] % 1 < 0.12).astype(np.float32)
    wood = _noise(p * np.array([0.2, 1, 0.2], np.float32), 13, 40)
    return np.asarray(np.clip(joint + 0.5 * wood, 0, 1), np.float32)


def seams(p: FloatArray) -> FloatArray:
    """Thin dark lines in a square grid, such as quilting."""
    cell = p % 1
    return np.asarray(((cell < 0.08).sum(1) > 0) * 0.8, np.float32)


def rings(p: FloatArray) -> FloatArray:
    """Rings about the vertical axis."""
    return (np.floor(np.hypot(p[:, 0], p[:, 2])) % 2).astype(np.float32)


PATTERNS: Mapping[str, Pattern] = {
    "plain": plain,
    "stripes": stripes,
    "bands": bands,
    "checks": checks,
    "spots": spots,
    "mottle": mottle,
    "grain": grain,
    "planks": planks,
    "seams": seams,
    "rings": rings,
}
