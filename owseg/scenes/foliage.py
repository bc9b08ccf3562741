"""Foliage: leafy and bare trees, bushes and hedges as sprites."""

from __future__ import annotations

import math
import random
from functools import lru_cache

import cv2
import numpy as np

from owseg.scenes.colors import Color, near
from owseg.scenes.noise import fbm, patch
from owseg.scenes.seeds import stream
from owseg.scenes.sprite import Sprite, bleed
from owseg.types import FloatArray, UInt8Array

SIZE = 224
"""Rows and columns of a tree picture."""
GREENS: list[Color] = [
    (74, 98, 44),
    (92, 112, 52),
    (58, 84, 42),
    (108, 116, 56),
    (120, 100, 50),
    (66, 80, 50),
]
BARK: list[Color] = [(84, 70, 58), (70, 60, 54), (104, 92, 78)]


def tree(kind: str, variant: int, rows: int = SIZE) -> Sprite:
    """Return a tree of about 8 m, or a bush of about 2 m.

    Args:
        kind: "leafy", "bare", "conifer" or "bush".
        variant: which one.
        rows: ignored, trees are drawn at one size.
    """
    return _tree(kind, variant)


@lru_cache(maxsize=96)
def _tree(kind: str, variant: int) -> Sprite:
    rng = stream(67, len(kind), variant)
    if kind == "bare":
        return _bare(rng)
    return _leafy(rng, kind)


def _blobs(rng: random.Random, kind: str) -> list[tuple[float, float, float]]:
    """Return balls of leaves: x, y, radius in pixels."""
    out = []
    wide, tall = rng.uniform(0.26, 0.36), rng.uniform(0.25, 0.33)
    for _ in range(46 if kind != "bush" else 22):
        angle, reach = rng.uniform(0, 2 * math.pi), math.sqrt(rng.random())
        if kind == "conifer":
            y = rng.uniform(0.06, 0.86)
            x, r = 0.5 + rng.gauss(0, 0.11) * y, 0.035 + 0.07 * y
        elif kind == "bush":
            x, y, r = (
                0.5 + 0.36 * reach * math.cos(angle),
                0.62 + 0.26 * reach * math.sin(angle),
                rng.uniform(0.08, 0.16),
            )
        else:
            x, y = 0.5 + wide * reach * math.cos(angle), 0.46 + tall * reach * math.sin(angle)
            r = rng.uniform(0.05, 0.11)
        out.append((x * SIZE, y * SIZE, r * SIZE))
    return out


def _leafy(rng: random.Random, kind: str) -> Sprite:
    """Return a tree from balls of leaves with ragged edges and light from above left."""
    green = near(rng, rng.choice(GREENS), 0.2)
    ys, xs = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)
    field = np.full((SIZE, SIZE), -1.0, np.float32)
    light = np.zeros((SIZE, SIZE), np.float32)
    for x, y, r in _blobs(rng, kind):
        x0, x1, y0, y1 = (max(0, int(v)) for v in (x - r, x + r + 1, y - r, y + r + 1))
        dx, dy = xs[y0:y1, x0:x1] - x, ys[y0:y1, x0:x1] - y
        ball = 1 - (dx * dx + dy * dy) / (r * r)
        better = ball > field[y0:y1, x0:x1]
        field[y0:y1, x0:x1][better] = ball[better]
        light[y0:y1, x0:x1][better] = (-0.35 * dx - 0.6 * dy)[better] / r
    seed = rng.randrange(8)
    fine = patch(fbm(seed, 256, 32, 4, 0.9), SIZE, SIZE, rng.randrange(256)) - 0.5
    rough = patch(fbm(seed + 1, 256, 16, 4), SIZE, SIZE, rng.randrange(256)) - 0.5
    density = field + 1.5 * fine + 1.1 * rough
    crown = np.clip(density * 3 + 0.2, 0, 1)
    gain = 0.72 + 0.42 * light + 1.0 * fine + 0.25 * (0.5 - ys / SIZE)
    color = np.array(green, np.float32) * np.clip(gain, 0.16, 1.7)[..., None].astype(np.float32)
    trunk = _trunk(rng) if kind in ("leafy", "conifer") else np.zeros((SIZE, SIZE), np.float32)
    bark = np.array(rng.choice(BARK), np.float32) * (0.9 + 0.8 * fine)[..., None]
    color = np.where((crown > 0.4)[..., None], color, bark)
    alpha = np.maximum(crown, trunk).astype(np.float32)
    alpha[:2] = alpha[:, :2] = alpha[:, -2:] = 0
    solid = _outline(alpha)
    return Sprite(
        color=bleed(color, alpha),
        alpha=np.rint(alpha * 255).astype(np.uint8),
        solid=solid,
        height_m=2.2 if kind == "bush" else 8.8,
    )


def _trunk(rng: random.Random) -> FloatArray:
    """Return the coverage of a trunk that forks into the crown."""
    mask = np.zeros((SIZE, SIZE), np.uint8)
    foot, top = SIZE * 0.5, SIZE * rng.uniform(0.4, 0.55)
    lean = rng.uniform(-8, 8)
    width = rng.uniform(3, 6)
    body = [
        (foot - width * 1.3, SIZE),
        (foot + width * 1.3, SIZE),
        (foot + lean + width * 0.7, top),
        (foot + lean - width * 0.7, top),
    ]
    cv2.fillConvexPoly(mask, np.array(body, np.int32), 255, cv2.LINE_AA)
    for side in (-1, 1):
        end = (round(foot + lean + side * rng.uniform(15, 40)), round(top - rng.uniform(20, 50)))
        cv2.line(mask, (round(foot + lean), round(top + 8)), end, 255, 3, cv2.LINE_AA)
    return np.asarray(mask / 255, np.float32)


def _bare(rng: random.Random) -> Sprite:
    """Return a tree without leaves; its label covers the crown where twigs are dense."""
    fat = 2
    mask = np.zeros((SIZE * fat, SIZE * fat), np.uint8)
    stack = [
        (
            SIZE * fat / 2,
            SIZE * fat * 1.0,
            -math.pi / 2 + rng.uniform(-0.06, 0.06),
            SIZE * fat * rng.uniform(0.2, 0.25),
            7.0 * fat,
            0,
        )
    ]
    spread, shrink = rng.uniform(0.3, 0.5), rng.uniform(0.74, 0.82)
    while stack:
        x, y, angle, length, width, level = stack.pop()
        x1, y1 = x + math.cos(angle) * length, y + math.sin(angle) * length
        cv2.line(
            mask,
            (round(x * 16), round(y * 16)),
            (round(x1 * 16), round(y1 * 16)),
            255,
            max(1, round(width / 2.2)),
            cv2.LINE_AA,
            4,
        )
        if level >= 9:
            continue
        for side in (-1, 1):
            turn = angle + side * spread * rng.uniform(0.5, 1.5)
            stack.append(
                (x1, y1, turn, length * shrink * rng.uniform(0.7, 1.12), width * 0.62, level + 1)
            )
    alpha = np.asarray(cv2.resize(mask, (SIZE, SIZE), interpolation=cv2.INTER_AREA), np.uint8)
    alpha[:2] = 0
    alpha[:, :2] = alpha[:, -2:] = 0
    noise = patch(fbm(4, 256, 32, 3), SIZE, SIZE)[..., None]
    color = np.array(near(rng, rng.choice(BARK), 0.2), np.float32) * (0.7 + 0.6 * noise)
    return Sprite(
        color=np.clip(color, 0, 255).astype(np.uint8),
        alpha=alpha,
        solid=_outline(alpha / np.float32(255)),
        height_m=8.5,
    )


def _outline(alpha: FloatArray) -> UInt8Array:
    """Return the outline of a porous picture: where a fifth of the neighbourhood is covered."""
    dense = cv2.blur(alpha, (9, 9)) > 0.22
    return (np.where(dense | (alpha > 0.5), 255, 0)).astype(np.uint8)


@lru_cache(maxsize=12)
def hedge(variant: int) -> Sprite:
    """Return a piece of hedge: 256 columns for 4 m, ragged at the top."""
    rng = stream(71, variant)
    h, w = 96, 256
    fine = patch(fbm(rng.randrange(8), 256, 32, 4, 0.9), w, h, 0, rng.randrange(256)) - 0.5
    rough = patch(fbm(rng.randrange(8), 256, 8, 4), w, h, 0, rng.randrange(256)) - 0.5
    ys = np.arange(h, dtype=np.float32)[:, None]
    alpha = np.clip((ys - 10 + 24 * rough + 22 * fine) / 4, 0, 1).astype(np.float32)
    gain = np.clip(1.1 - 0.5 * ys / h + 1.1 * fine + 0.5 * rough, 0.15, 1.8)
    color = np.array(near(rng, rng.choice(GREENS), 0.2), np.float32) * gain[..., None]
    return Sprite(
        color=bleed(color.astype(np.float32), alpha),
        alpha=np.rint(alpha * 255).astype(np.uint8),
        height_m=1.5,
    )
