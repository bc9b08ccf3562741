"""Abstract strange objects: shapes and textures of no kind at all, for training."""

from __future__ import annotations

import random

import cv2
import numpy as np

from owseg.scenes.colors import Color, muted, vivid
from owseg.scenes.noise import fbm, patch
from owseg.scenes.patterns import PATTERNS
from owseg.scenes.solids import Ball, Block, Drum, Limb, Paint, Part
from owseg.scenes.sprite import Sprite, bleed
from owseg.types import FloatArray


def any_paint(rng: random.Random) -> Paint:
    """Return any look at all."""
    pick = rng.choice([vivid, muted])
    return Paint(
        color=pick(rng),
        other=rng.choice([vivid, muted])(rng),
        pattern=rng.choice(sorted(PATTERNS)),
        scale=rng.uniform(0.04, 0.6),
        shine=rng.choice([0.0, 0.0, 0.4, 0.9]),
    )


def heap(rng: random.Random) -> list[Part]:
    """Random parts thrown together."""
    parts: list[Part] = []
    paints = [any_paint(rng) for _ in range(rng.randint(1, 3))]
    for _ in range(rng.randint(1, 7)):
        at = (rng.gauss(0, 0.3), abs(rng.gauss(0.35, 0.25)), rng.gauss(0, 0.2))
        turn = (rng.uniform(0, 6), rng.uniform(-1, 1), rng.uniform(-1.5, 1.5))
        size = (rng.uniform(0.08, 0.5), rng.uniform(0.08, 0.5), rng.uniform(0.08, 0.5))
        paint = rng.choice(paints)
        shape = rng.randrange(4)
        if shape == 0:
            parts.append(Ball(center=at, radii=size, paint=paint, turn=turn))
        elif shape == 1:
            parts.append(Block(center=at, half=size, paint=paint, turn=turn))
        elif shape == 2:
            parts.append(
                Drum(
                    center=at,
                    bottom=size[0],
                    top=size[1] * rng.random(),
                    half_height=size[2],
                    paint=paint,
                    turn=turn,
                )
            )
        else:
            end = (at[0] + rng.gauss(0, 0.5), abs(at[1] + rng.gauss(0, 0.5)), at[2])
            parts.append(
                Limb(start=at, end=end, radius=size[0] * 0.4, end_radius=size[1] * 0.4, paint=paint)
            )
    return parts


def _outline(rng: random.Random, size: int) -> FloatArray:
    """Return a (size, size) float32 field that is positive inside a random smooth outline."""
    ys, xs = np.mgrid[0:size, 0:size].astype(np.float32) / size * 2.1 - 1.05
    angle = np.arctan2(ys, xs)
    reach = np.full((size, size), rng.uniform(0.6, 0.8), np.float32)
    for k in range(1, rng.randint(3, 9)):
        reach += rng.uniform(-0.28, 0.28) / k * np.sin(k * angle + rng.uniform(0, 6.3))
    stretch = rng.uniform(0.5, 1.0)
    return np.asarray(reach - np.hypot(xs, ys / stretch), np.float32)


def _texture(rng: random.Random, size: int) -> FloatArray:
    """Return (size, size, 3) float32 colours: a palette along noise, waves or cells."""
    warp = patch(
        fbm(rng.randrange(40), 256, rng.choice([2, 4, 8]), 5),
        size,
        size,
        rng.randrange(256),
        rng.randrange(256),
    )
    ys, xs = np.mgrid[0:size, 0:size].astype(np.float32) / size
    kind = rng.randrange(4)
    if kind == 0:
        value = warp
    elif kind == 1:
        value = 0.5 + 0.5 * np.sin(
            (xs * rng.uniform(-20, 20) + ys * rng.uniform(-20, 20)) + warp * rng.uniform(0, 9)
        )
    elif kind == 2:
        cells = rng.randint(3, 12)
        value = ((np.floor(xs * cells + warp) + np.floor(ys * cells)) % 2).astype(np.float32)
    else:
        value = np.asarray((warp * rng.randint(2, 7)) % 1.0)
    palette: list[Color] = [rng.choice([vivid, muted])(rng) for _ in range(3)]
    stops = np.array(palette, np.float32)
    channels = [np.interp(value, (0, 0.5, 1), stops[:, c]) for c in range(3)]
    return np.stack(channels, axis=-1).astype(np.float32)


def blob(rng: random.Random, pixels: int) -> Sprite:
    """Return a flat-ish blob with a random outline, texture and rounded shading."""
    field = _outline(rng, pixels)
    alpha = np.clip(field * pixels / 2.1 + 0.5, 0, 1).astype(np.float32)
    height = np.sqrt(np.clip(field, 0, None))
    gy, gx = np.gradient(cv2.GaussianBlur(height, (0, 0), 1 + pixels / 60))
    light = 0.85 + np.clip((-gx * 0.5 - gy) * pixels * rng.uniform(0.0, 0.25), -0.5, 0.5)
    color = _texture(rng, pixels) * light[..., None].astype(np.float32)
    rows, cols = np.flatnonzero((alpha > 0).any(1)), np.flatnonzero((alpha > 0).any(0))
    cut = (slice(rows[0], rows[-1] + 1), slice(cols[0], cols[-1] + 1))
    cover = np.rint(alpha[cut] * 255).astype(np.uint8)
    return Sprite(color=bleed(color, alpha)[cut], alpha=cover, height_m=rng.uniform(0.5, 1.5))
