"""Tileable noise, the raw material of all textures."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from owseg.types import FloatArray


def _octave(rng: np.random.Generator, cells: int, size: int) -> FloatArray:
    """Return (size, size) float32 smooth noise with `cells` cells a side that wraps around."""
    pad = 3
    grid = np.pad(rng.random((cells, cells), dtype=np.float32), pad, mode="wrap")
    step = size // cells
    large = cv2.resize(grid, None, fx=step, fy=step, interpolation=cv2.INTER_CUBIC)
    return np.asarray(large[pad * step : pad * step + size, pad * step : pad * step + size])


@lru_cache(maxsize=64)
def fbm(
    seed: int, size: int = 256, lowest: int = 4, octaves: int = 5, gain: float = 0.55
) -> FloatArray:
    """Return fractal noise that wraps around.

    Args:
        seed: which noise.
        size: side in pixels, a power of two.
        lowest: cells a side of the coarsest octave, a power of two.
        octaves: number of octaves; each is twice as fine.
        gain: weight of an octave relative to the coarser one.

    Returns:
        (size, size) float32 in [0, 1], read-only.
    """
    rng = np.random.default_rng(seed)
    total = np.zeros((size, size), np.float32)
    weight, cells = 1.0, lowest
    for _ in range(octaves):
        if cells > size:
            break
        total += weight * _octave(rng, cells, size)
        weight, cells = weight * gain, cells * 2
    total -= total.min()
    total /= total.max()
    total.flags.writeable = False
    return total


def patch(noise: FloatArray, width: int, height: int, x: int = 0, y: int = 0) -> FloatArray:
    """Return a (height, width) cut of a noise tile, repeated as far as needed."""
    size = noise.shape[0]
    rows, cols = np.arange(y, y + height) % size, np.arange(x, x + width) % size
    return np.asarray(noise[rows[:, None], cols[None, :]])
