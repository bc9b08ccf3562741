"""People: pedestrians and bicyclists in several clothes, poses and directions."""

from __future__ import annotations

import math
import random
from functools import lru_cache
from itertools import pairwise

import cv2
import numpy as np

from owseg.scenes.colors import Color, any_of, muted, near, scaled, vivid
from owseg.scenes.seeds import stream
from owseg.scenes.solids import Ball, Block, Limb, Paint, Part, Point, render_parts
from owseg.scenes.sprite import Sprite, size_for

PHASES = 4
"""Poses in one step or one turn of the pedals."""
HEADINGS = 8
"""Directions a person may face; 0 towards the viewer, then turning."""
SKIN: list[Color] = [(226, 180, 150), (196, 144, 110), (150, 104, 76), (96, 66, 50)]
HAIR: list[Color] = [(40, 32, 28), (84, 58, 40), (160, 124, 76), (150, 150, 150), (20, 20, 22)]
TROUSERS: list[Color] = [(36, 40, 56), (28, 28, 30), (70, 84, 116), (96, 84, 70), (60, 60, 64)]


def pedestrian(variant: int, phase: int, heading: int, rows: int) -> Sprite:
    """Return a pedestrian, drawn for about `rows` rows; see `PHASES` and `HEADINGS`."""
    return _pedestrian(variant, phase, heading, size_for(rows))


def bicyclist(variant: int, phase: int, heading: int, rows: int) -> Sprite:
    """Return a bicycle with its rider, drawn for about `rows` rows."""
    return _bicyclist(variant, phase, heading, size_for(rows))


class _Clothes:
    """What one person wears."""

    def __init__(self, rng: random.Random) -> None:
        dark = rng.random() < 0.6
        top = scaled(muted(rng), 0.6) if dark else vivid(rng)
        self.top = Paint(
            color=top,
            other=muted(rng),
            pattern=rng.choice(["plain", "plain", "mottle", "bands"]),
            scale=0.12,
        )
        self.legs = Paint(color=any_of(rng, TROUSERS))
        self.skin = Paint(color=any_of(rng, SKIN, 0.1))
        self.hair = Paint(color=any_of(rng, HAIR))
        self.shoes = Paint(color=near(rng, (40, 38, 38), 0.5))
        self.coat = rng.random() < 0.35
        self.skirt = rng.random() < 0.18
        self.bag = rng.choice([None, None, Paint(color=vivid(rng)), Paint(color=(50, 40, 36))])
        self.build = rng.uniform(0.9, 1.15)
        self.tall = rng.uniform(0.9, 1.06) * (0.68 if rng.random() < 0.1 else 1)


@lru_cache(maxsize=1024)
def _pedestrian(variant: int, phase: int, heading: int, pixels: int) -> Sprite:
    """Return a pedestrian at one size."""
    clothes = _Clothes(stream(73, variant))
    swing = math.sin(2 * math.pi * phase / PHASES)
    parts = _walker(clothes, swing, math.cos(2 * math.pi * phase / PHASES))
    return render_parts(parts, pixels=pixels, yaw=2 * math.pi * heading / HEADINGS, pitch=0.04)


def _walker(c: _Clothes, swing: float, lift: float) -> list[Part]:
    """Return the body of a walking person that faces +z."""
    k, b = c.tall, c.build
    hip, chest, head = 0.92 * k, 1.38 * k, 1.62 * k
    parts: list[Part] = []
    for side in (-1, 1):
        step = side * swing * 0.3 * k
        knee: Point = (side * 0.1 * b, 0.5 * k, step * 0.6 + 0.05)
        foot: Point = (side * 0.1 * b, 0.08 * k + max(0.0, side * lift) * 0.05, step - 0.04)
        bare = c.skin if c.skirt else c.legs
        parts.append(
            Limb(
                start=(side * 0.09 * b, hip, 0),
                end=knee,
                radius=0.095 * b,
                end_radius=0.07,
                paint=bare,
            )
        )
        parts.append(Limb(start=knee, end=foot, radius=0.068, end_radius=0.05, paint=bare))
        parts.append(
            Limb(
                start=(foot[0], 0.05, foot[2] - 0.03),
                end=(foot[0], 0.045, foot[2] + 0.15),
                radius=0.05,
                paint=c.shoes,
            )
        )
        hand: Point = (side * 0.27 * b, 0.86 * k, -step * 0.9 + 0.04)
        elbow: Point = (side * 0.28 * b, 1.1 * k, -step * 0.4 - 0.03)
        parts.append(
            Limb(
                start=(side * 0.2 * b, chest, 0),
                end=elbow,
                radius=0.065 * b,
                end_radius=0.055,
                paint=c.top,
            )
        )
        parts.append(Limb(start=elbow, end=hand, radius=0.055, end_radius=0.04, paint=c.top))
        parts.append(Ball(center=hand, radii=(0.045, 0.06, 0.045), paint=c.skin))
    low = hip - (0.4 * k if c.coat else 0.02)
    wide = 0.16 * b
    parts.append(
        Limb(
            start=(0, low, 0),
            end=(0, chest - 0.06, 0),
            radius=wide * (1.05 if c.coat else 0.92),
            end_radius=wide,
            paint=c.top,
        )
    )
    parts.append(
        Limb(start=(-0.13 * b, chest, 0), end=(0.13 * b, chest, 0), radius=0.1 * b, paint=c.top)
    )
    if c.skirt:
        parts.append(
            Limb(
                start=(0, hip, 0),
                end=(0, hip - 0.35 * k, 0),
                radius=0.15 * b,
                end_radius=0.2 * b,
                paint=c.legs,
            )
        )
    parts.append(Limb(start=(0, chest, 0), end=(0, head, 0), radius=0.055, paint=c.skin))
    parts.append(Ball(center=(0, head, 0.02), radii=(0.085, 0.12, 0.1), paint=c.skin))
    parts.append(Ball(center=(0, head + 0.04, -0.025), radii=(0.098, 0.105, 0.105), paint=c.hair))
    if c.bag:
        parts.append(Block(center=(0.03, 1.18 * k, -0.2), half=(0.14, 0.2, 0.09), paint=c.bag))
    return parts


def _bicycle(frame: Paint, turn: float, pieces: int) -> list[Part]:
    """Return a bicycle that rides towards +z; tyres of many pieces get spokes."""
    rubber, steel = Paint(color=(32, 32, 34)), Paint(color=(150, 152, 156))
    parts: list[Part] = []
    for z in (-0.52, 0.52):
        rim = [
            (0.0, 0.34 + 0.32 * math.cos(a), z + 0.32 * math.sin(a))
            for a in (2 * math.pi * i / pieces for i in range(pieces + 1))
        ]
        parts += [Limb(start=p, end=q, radius=0.024, paint=rubber) for p, q in pairwise(rim)]
        for i in range(5 if pieces > 10 else 0):
            a = turn + math.pi * i / 5
            ends = [(0.0, 0.34 + s * 0.3 * math.cos(a), z + s * 0.3 * math.sin(a)) for s in (-1, 1)]
            parts.append(Limb(start=ends[0], end=ends[1], radius=0.006, paint=steel))
    seat, crank, head = (0.0, 0.88, -0.24), (0.0, 0.3, -0.08), (0.0, 0.86, 0.34)
    for p, q in (
        (seat, crank),
        (crank, head),
        (head, (0.0, 0.34, 0.52)),
        ((0.0, 0.78, -0.2), (0.0, 0.8, 0.34)),
        (crank, (0.0, 0.34, -0.52)),
        (seat, (0.0, 0.34, -0.52)),
    ):
        parts.append(Limb(start=p, end=q, radius=0.026, paint=frame))
    parts.append(Limb(start=(-0.26, 1.0, 0.36), end=(0.26, 1.0, 0.36), radius=0.02, paint=steel))
    parts.append(Limb(start=head, end=(0, 1.0, 0.36), radius=0.022, paint=frame))
    parts.append(
        Limb(
            start=(0, 0.94, -0.36),
            end=(0, 0.94, -0.14),
            radius=0.06,
            end_radius=0.035,
            paint=rubber,
        )
    )
    return parts


@lru_cache(maxsize=1024)
def _bicyclist(variant: int, phase: int, heading: int, pixels: int) -> Sprite:
    """Return a bicycle with its rider at one size."""
    rng = stream(79, variant)
    c = _Clothes(rng)
    helmet = Paint(color=rng.choice([vivid(rng), (230, 230, 230), c.hair.color]))
    turn = 2 * math.pi * phase / PHASES
    parts = _bicycle(
        Paint(color=rng.choice([vivid(rng), (40, 40, 44)])), turn, 16 if pixels > 60 else 9
    )
    hip: Point = (0, 1.0, -0.22)
    lean = rng.uniform(0.1, 0.32)
    chest: Point = (0, 1.48, -0.22 + lean)
    parts.append(Limb(start=hip, end=chest, radius=0.15, end_radius=0.16, paint=c.top))
    for side in (-1, 1):
        a = turn + (math.pi if side > 0 else 0)
        foot: Point = (side * 0.11, 0.3 + 0.16 * math.cos(a), -0.06 + 0.16 * math.sin(a))
        knee: Point = (side * 0.12, 0.72 + 0.08 * math.cos(a), 0.16 + 0.08 * math.sin(a))
        parts.append(
            Limb(
                start=(side * 0.09, 0.98, -0.2),
                end=knee,
                radius=0.09,
                end_radius=0.07,
                paint=c.legs,
            )
        )
        parts.append(Limb(start=knee, end=foot, radius=0.066, end_radius=0.05, paint=c.legs))
        parts.append(
            Limb(
                start=foot,
                end=(foot[0], foot[1] - 0.03, foot[2] + 0.14),
                radius=0.045,
                paint=c.shoes,
            )
        )
        shoulder: Point = (side * 0.19, 1.44, chest[2])
        parts.append(
            Limb(
                start=shoulder,
                end=(side * 0.24, 1.04, 0.34),
                radius=0.06,
                end_radius=0.045,
                paint=c.top,
            )
        )
    head: Point = (0, 1.7, chest[2] + 0.08)
    parts.append(Ball(center=head, radii=(0.085, 0.12, 0.1), paint=c.skin))
    parts.append(Ball(center=(0, 1.75, head[2] - 0.02), radii=(0.1, 0.09, 0.12), paint=helmet))
    if c.bag:
        parts.append(Block(center=(0, 1.28, -0.34), half=(0.15, 0.2, 0.1), paint=c.bag))
    sprite = render_parts(parts, pixels=pixels, yaw=2 * math.pi * heading / HEADINGS, pitch=0.05)
    kernel = np.ones((max(3, pixels // 8),) * 2, np.uint8)
    padded = cv2.copyMakeBorder(sprite.alpha, 16, 16, 16, 16, cv2.BORDER_CONSTANT, value=0)
    solid = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, kernel)[16:-16, 16:-16]
    return Sprite(
        color=sprite.color,
        alpha=sprite.alpha,
        solid=np.ascontiguousarray(solid),
        height_m=sprite.height_m,
    )
