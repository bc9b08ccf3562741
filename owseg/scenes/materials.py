"""Materials: colour textures of walls, roofs and grounds, built from noise and joints."""

from __future__ import annotations

import random

import cv2
import numpy as np

from owseg.scenes.colors import Color
from owseg.scenes.noise import fbm, patch
from owseg.types import FloatArray

WALL_PX = 32
"""Pixels per metre of wall textures."""
GROUND_PX = 25
"""Pixels per metre of ground textures."""


def _tile(
    rng: random.Random, w: int, h: int, lowest: int = 4, octaves: int = 6, gain: float = 0.6
) -> FloatArray:
    """Return (h, w) noise in [-0.5, 0.5] from a random place of a random tile."""
    noise = fbm(rng.randrange(8), 256, lowest, octaves, gain)
    cut = patch(noise, w, h, rng.randrange(256), rng.randrange(256))
    return np.asarray(cut - 0.5, np.float32)


def _tinted(color: Color, gain: FloatArray) -> FloatArray:
    """Return (h, w, 3) colour times a (h, w) gain."""
    return np.asarray(np.array(color, np.float32) * gain[..., None].astype(np.float32))


def plaster(rng: random.Random, w: int, h: int, color: Color) -> FloatArray:
    """Smooth render with stains that run down."""
    stain = cv2.resize(_tile(rng, w, max(2, h // 8)), (w, h), interpolation=cv2.INTER_LINEAR)
    return _tinted(color, 1 + 0.18 * _tile(rng, w, h) + 0.14 * stain)


def bricks(
    rng: random.Random, w: int, h: int, color: Color, size: tuple[int, int] = (8, 3)
) -> FloatArray:
    """Courses of bricks with mortar; size in pixels."""
    bw, bh = size
    rows, cols = np.arange(h)[:, None] // bh, np.arange(w)[None, :]
    shifted = cols + (rows % 2) * (bw // 2)
    tone = patch(fbm(9, 256, 64, 3), 256, 256)[rows % 256, (shifted // bw) % 256] - 0.5
    gain = 1 + 0.45 * tone + 0.25 * _tile(rng, w, h)
    mortar = ((np.arange(h)[:, None] % bh) == 0) | ((shifted % bw) == 0)
    wall = _tinted(color, gain)
    wall[mortar] = wall[mortar] * 0.72 + np.float32(0.28 * 170)
    return wall


def ashlar(rng: random.Random, w: int, h: int, color: Color) -> FloatArray:
    """Large blocks of stone."""
    return bricks(rng, w, h, color, (rng.choice([18, 26]), rng.choice([9, 12])))


def concrete(rng: random.Random, w: int, h: int, color: Color) -> FloatArray:
    """Panels with joints."""
    wall = plaster(rng, w, h, color)
    wall[:: rng.choice([32, 48])] *= 0.7
    wall[:, :: rng.choice([40, 64])] *= 0.75
    return wall


def slates(rng: random.Random, w: int, h: int, color: Color) -> FloatArray:
    """Rows of roof tiles."""
    rows = bricks(rng, w, h, color, (6, 5)) * 0.9
    rows[::5] *= 0.7
    return rows


def leaves(rng: random.Random, w: int, h: int, color: Color) -> FloatArray:
    """Foliage: light and dark at leaf size and at twig size."""
    fine, rough = _tile(rng, w, h, 32, 3, 0.9), _tile(rng, w, h, 8, 4)
    return _tinted(color, np.clip(0.85 + 1.1 * fine + 0.8 * rough, 0.2, 1.9))


def asphalt(rng: random.Random, w: int, h: int, color: Color) -> FloatArray:
    """Worn asphalt with a few repaired patches."""
    gain = 1 + 0.14 * _tile(rng, w, h, 2, 4) + 0.1 * _tile(rng, w, h, 64, 3, 0.9)
    for _ in range(rng.randint(0, 4)):
        x, y = rng.randrange(w), rng.randrange(h)
        dx, dy = rng.randint(10, 60), rng.randint(15, 120)
        gain[y : y + dy, x : x + dx] *= rng.uniform(0.78, 1.12)
    gain *= 0.8 + 0.2 * (np.abs(_tile(rng, w, h, 2, 5)) > 0.008)
    return _tinted(color, gain)


def slabs(rng: random.Random, w: int, h: int, color: Color) -> FloatArray:
    """Paving slabs."""
    step = rng.choice([12, 15, 20])
    rows, cols = np.arange(h)[:, None] // step, np.arange(w)[None, :] // step
    tone = fbm(10, 256, 64, 3)[rows % 256, cols % 256] - 0.5
    ground = _tinted(color, 1 + 0.25 * tone + 0.22 * _tile(rng, w, h))
    ground[::step] *= 0.8
    ground[:, ::step] *= 0.8
    return ground


def grass(rng: random.Random, w: int, h: int, color: Color) -> FloatArray:
    """Lawn."""
    return _tinted(color, 1 + 0.7 * _tile(rng, w, h, 32, 4, 0.9) + 0.5 * _tile(rng, w, h))
