"""Compiled kernel of the calibration map: a table look-up with linear interpolation."""

from __future__ import annotations

import numpy as np

from owseg.jit import entry
from owseg.types import FloatArray


@entry
def look_up(scores: FloatArray, table: FloatArray, out: FloatArray) -> None:
    """Interpolate in a table with even steps.

    Args:
        scores: (N,) float32 in [0, 1]; others get the value of the nearer end, or beyond it.
        table: (M + 1,) float32, values at 0, 1 / M, ..., 1.
        out: (N,) float32.
    """
    last = np.int32(table.size - 1)
    scale = np.float32(last)
    for i in range(scores.size):
        place = scores[i] * scale
        cell = min(max(np.int32(place), np.int32(0)), last - np.int32(1))
        low = table[cell]
        out[i] = low + (place - np.float32(cell)) * (table[cell + 1] - low)
