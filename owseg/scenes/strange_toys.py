"""Strange objects: toys, balloons, umbrellas and prams."""

from __future__ import annotations

import math
import random
from itertools import pairwise

from owseg.scenes.colors import any_of, muted, near, vivid
from owseg.scenes.solids import Ball, Block, Drum, Limb, Paint, Part
from owseg.scenes.strange_animals import COATS
from owseg.scenes.strange_goods import cloth
from owseg.scenes.strange_road import ring


def balloon(rng: random.Random) -> list[Part]:
    """Return balloons on strings, or one large ball."""
    if rng.random() < 0.35:
        r = rng.uniform(0.25, 0.6)
        skin = Paint(
            color=vivid(rng),
            other=vivid(rng),
            pattern=rng.choice(["stripes", "checks", "bands", "plain"]),
            scale=r * 0.6,
            shine=0.8,
        )
        return [Ball(center=(0, r, 0), radii=(r, r, r), paint=skin)]
    parts: list[Part] = []
    line = Paint(color=(210, 210, 210))
    for _ in range(rng.randint(1, 7)):
        x, y, r = rng.uniform(-0.45, 0.45), rng.uniform(1.0, 1.9), rng.uniform(0.14, 0.24)
        skin = Paint(color=vivid(rng), shine=0.9)
        parts.append(Ball(center=(x, y, rng.uniform(-0.3, 0.3)), radii=(r, r * 1.2, r), paint=skin))
        parts.append(Limb(start=(x, y - r * 1.2, 0), end=(0, 0.05, 0), radius=0.012, paint=line))
    parts.append(Block(center=(0, 0.06, 0), half=(0.08, 0.06, 0.08), paint=Paint(color=vivid(rng))))
    return parts


def blimp(rng: random.Random) -> list[Part]:
    """Return a small airship close above the road."""
    skin = Paint(
        color=vivid(rng),
        other=rng.choice([(240, 240, 240), vivid(rng)]),
        pattern=rng.choice(["bands", "stripes", "plain", "checks"]),
        scale=0.5,
        shine=0.5,
    )
    lift, half = rng.uniform(1.2, 2.6), rng.uniform(0.9, 1.6)
    yaw = rng.uniform(-0.9, 0.9)
    c, s = math.cos(yaw), math.sin(yaw)
    parts: list[Part] = [
        Ball(
            center=(0, lift, 0),
            radii=(half, half * 0.38, half * 0.38),
            paint=skin,
            turn=(yaw, 0, 0),
        ),
        Block(
            center=(0, lift - half * 0.42, 0),
            half=(half * 0.25, half * 0.08, half * 0.08),
            paint=Paint(color=(70, 72, 80)),
            turn=(yaw, 0, 0),
        ),
    ]
    tail = (-half * 0.85 * c, lift, half * 0.85 * s)
    fin = Paint(color=vivid(rng))
    parts.append(
        Block(center=tail, half=(half * 0.16, half * 0.42, 0.03), paint=fin, turn=(yaw, 0, 0))
    )
    parts.append(
        Block(center=tail, half=(half * 0.16, 0.03, half * 0.42), paint=fin, turn=(yaw, 0, 0))
    )
    return parts


def teddy(rng: random.Random) -> list[Part]:
    """Return a large toy bear or rabbit."""
    plush = Paint(
        color=rng.choice([any_of(rng, COATS), vivid(rng)]),
        other=muted(rng),
        pattern="grain",
        scale=0.4,
    )
    light = Paint(color=near(rng, (226, 206, 176), 0.1))
    k = rng.uniform(0.5, 1.1)
    ears = rng.uniform(0.1, 0.45)
    black = Paint(color=(20, 20, 20), shine=1)
    parts: list[Part] = [
        Ball(center=(0, 0.42 * k, 0), radii=(0.34 * k, 0.42 * k, 0.3 * k), paint=plush),
        Ball(center=(0, 0.4 * k, 0.12 * k), radii=(0.22 * k, 0.28 * k, 0.22 * k), paint=light),
        Ball(center=(0, 1.02 * k, 0.04), radii=(0.3 * k, 0.27 * k, 0.27 * k), paint=plush),
        Ball(center=(0, 0.96 * k, 0.26 * k), radii=(0.13 * k, 0.1 * k, 0.1 * k), paint=light),
        Ball(center=(0, 1.0 * k, 0.36 * k), radii=(0.04 * k, 0.03 * k, 0.03 * k), paint=black),
    ]
    for side in (-1, 1):
        top = 1.22 * k + ears * k
        parts.append(
            Limb(
                start=(side * 0.2 * k, 1.2 * k, 0),
                end=(side * 0.24 * k, top, 0),
                radius=0.1 * k,
                paint=plush,
            )
        )
        parts.append(
            Limb(
                start=(side * 0.28 * k, 0.68 * k, 0.05),
                end=(side * 0.5 * k, 0.4 * k, 0.2),
                radius=0.11 * k,
                paint=plush,
            )
        )
        parts.append(
            Limb(
                start=(side * 0.2 * k, 0.14 * k, 0.1),
                end=(side * 0.42 * k, 0.12 * k, 0.5 * k),
                radius=0.14 * k,
                paint=plush,
            )
        )
        parts.append(
            Ball(
                center=(side * 0.1 * k, 1.08 * k, 0.27 * k),
                radii=(0.035 * k, 0.035 * k, 0.03 * k),
                paint=black,
            )
        )
    return parts


def umbrella(rng: random.Random) -> list[Part]:
    """Return an open umbrella or parasol."""
    skin = Paint(
        color=vivid(rng),
        other=vivid(rng),
        pattern=rng.choice(["stripes", "plain", "checks"]),
        scale=0.25,
    )
    r, h = rng.uniform(0.5, 1.1), rng.uniform(0.7, 2.0)
    tilt = rng.uniform(-0.5, 0.5)
    top = (math.sin(-tilt) * h, math.cos(tilt) * h, 0.0)
    stick = Paint(color=(60, 56, 52))
    return [
        Limb(start=(0, 0, 0), end=top, radius=0.025, paint=stick),
        Drum(center=top, bottom=r, top=0.02, half_height=r * 0.22, paint=skin, turn=(0, 0, tilt)),
    ]


def statue(rng: random.Random) -> list[Part]:
    """Return a dinosaur toy, snowman or garden figure."""
    if rng.random() < 0.4:
        snow = Paint(color=(236, 238, 242), other=(190, 200, 214), pattern="mottle", scale=0.6)
        k, carrot = rng.uniform(0.6, 1.0), Paint(color=(236, 120, 30))
        parts: list[Part] = [
            Ball(center=(0, y * k, 0), radii=(r * k, r * k, r * k), paint=snow)
            for y, r in ((0.4, 0.42), (1.0, 0.32), (1.45, 0.22))
        ]
        parts.append(
            Limb(
                start=(0, 1.46 * k, 0.2 * k),
                end=(0.16 * k, 1.42 * k, 0.36 * k),
                radius=0.04,
                end_radius=0.01,
                paint=carrot,
            )
        )
        parts.append(
            Drum(
                center=(0, 1.72 * k, 0),
                bottom=0.16 * k,
                top=0.15 * k,
                half_height=0.12 * k,
                paint=Paint(color=(34, 32, 34)),
            )
        )
        return parts
    skin = Paint(
        color=vivid(rng),
        other=vivid(rng),
        pattern=rng.choice(["spots", "stripes", "mottle"]),
        scale=0.3,
    )
    side = rng.choice([-1, 1])
    k = rng.uniform(0.6, 1.5)
    pts = [(-1.2, 0.1), (-0.7, 0.35), (-0.2, 0.6), (0.25, 0.85), (0.4, 1.25), (0.75, 1.3)]
    radii = [0.03, 0.12, 0.26, 0.24, 0.17, 0.1]
    parts = []
    for (p, r0), (q, r1) in pairwise(zip(pts, radii, strict=True)):
        start, end = (side * p[0] * k, p[1] * k, 0.0), (side * q[0] * k, q[1] * k, 0.0)
        parts.append(Limb(start=start, end=end, radius=r0 * k, end_radius=r1 * k, paint=skin))
    for z in (-0.15, 0.15):
        parts.append(
            Limb(
                start=(side * -0.05 * k, 0.5 * k, z),
                end=(side * 0.05 * k, 0.05, z),
                radius=0.13 * k,
                end_radius=0.09 * k,
                paint=skin,
            )
        )
        parts.append(
            Limb(
                start=(side * 0.35 * k, 0.85 * k, z),
                end=(side * 0.6 * k, 0.75 * k, z),
                radius=0.05 * k,
                paint=skin,
            )
        )
    return parts


def pram(rng: random.Random) -> list[Part]:
    """Return a pram or hand cart without its owner."""
    fabric, tube = cloth(rng), Paint(color=(60, 62, 66), shine=0.4)
    face = rng.choice([-1, 1])
    parts: list[Part] = [
        Ball(center=(0, 0.66, 0), radii=(0.42, 0.2, 0.22), paint=fabric),
        Ball(center=(-face * 0.22, 0.8, 0), radii=(0.26, 0.28, 0.23), paint=fabric),
        Limb(start=(face * 0.35, 0.7, 0), end=(face * 0.7, 1.02, 0), radius=0.022, paint=tube),
    ]
    for x in (-0.32, 0.32):
        for z in (-0.2, 0.2):
            parts += ring((x, 0.15, z), 0.13, 0.022, tube, "z", 10)
            parts.append(
                Limb(start=(x, 0.15, z), end=(-x * 0.6, 0.56, z), radius=0.016, paint=tube)
            )
    return parts
