"""Strange objects: animals."""

from __future__ import annotations

import math
import random

from owseg.scenes.colors import Color, any_of, near, scaled
from owseg.scenes.solids import Ball, Limb, Paint, Part, Point

COATS: list[Color] = [
    (92, 62, 40),
    (140, 104, 70),
    (200, 180, 150),
    (46, 42, 40),
    (150, 146, 140),
    (176, 112, 60),
]


def _beast(
    rng: random.Random,
    paint: Paint,
    *,
    height: float,
    length: float,
    girth: float,
    leg: float,
    neck: float,
    head: float,
    snout: float,
    ears: float,
) -> tuple[list[Part], Point]:
    """Return a four-legged animal seen from a random side, and the place of its head."""
    yaw = rng.choice([rng.uniform(-0.5, 0.5), rng.uniform(2.6, 3.6), rng.uniform(0, 6.28)])
    c, s = math.cos(yaw), math.sin(yaw)

    def at(x: float, y: float, z: float) -> Point:
        return x * c + z * s, y, -x * s + z * c

    hip, half = height - girth, length / 2
    dark = Paint(
        color=scaled(paint.color, 0.75), other=paint.other, pattern=paint.pattern, scale=paint.scale
    )
    parts: list[Part] = [
        Limb(
            start=at(-half, hip, 0),
            end=at(half, hip, 0),
            radius=girth,
            end_radius=girth * 1.06,
            paint=paint,
        ),
        Ball(
            center=at(0, hip - girth * 0.2, 0),
            radii=(length * 0.45, girth * 0.95, girth * 0.95),
            paint=paint,
            turn=(yaw, 0, 0),
        ),
    ]
    for i, (x, z) in enumerate(((-half, -0.5), (-half, 0.5), (half, -0.5), (half, 0.5))):
        swing = rng.uniform(-0.16, 0.16) * height
        knee = at(x + swing * 0.6, hip * 0.5, z * girth)
        skin = dark if i % 2 else paint
        parts.append(
            Limb(
                start=at(x, hip, z * girth), end=knee, radius=leg * 1.5, end_radius=leg, paint=skin
            )
        )
        parts.append(
            Limb(
                start=knee,
                end=at(x + swing, leg, z * girth),
                radius=leg,
                end_radius=leg * 0.8,
                paint=skin,
            )
        )
    graze = rng.random() < 0.2
    lift = -0.3 * neck if graze else neck
    top = at(half + neck * 0.6, hip + lift, 0)
    parts.append(
        Limb(
            start=at(half * 0.9, hip, 0),
            end=top,
            radius=girth * 0.75,
            end_radius=head * 0.9,
            paint=paint,
        )
    )
    parts.append(Ball(center=top, radii=(head, head, head), paint=paint))
    nose = at(half + neck * 0.6 + snout, hip + lift - snout * 0.35, 0)
    parts.append(Limb(start=top, end=nose, radius=head * 0.75, end_radius=head * 0.5, paint=dark))
    for z in (-1, 1):
        base = at(half + neck * 0.6, hip + lift + head * 0.7, z * head * 0.7)
        tip = at(half + neck * 0.55, hip + lift + head * 0.7 + ears, z * (head + ears * 0.3))
        parts.append(
            Limb(start=base, end=tip, radius=head * 0.25, end_radius=head * 0.1, paint=dark)
        )
    tail = at(-half - girth * 0.7 - 0.1, hip + rng.uniform(-0.9, 0.6) * girth, 0)
    parts.append(
        Limb(
            start=at(-half - girth * 0.7, hip + girth * 0.4, 0),
            end=tail,
            radius=leg * 0.7,
            paint=dark,
        )
    )
    return parts, top


def dog(rng: random.Random) -> list[Part]:
    """Return a dog, cat or fox."""
    fur = Paint(
        color=any_of(rng, COATS),
        other=any_of(rng, COATS),
        pattern=rng.choice(["grain", "spots", "mottle"]),
        scale=0.7,
    )
    size = rng.uniform(0.35, 0.75)
    return _beast(
        rng,
        fur,
        height=size,
        length=size * rng.uniform(0.8, 1.2),
        girth=size * rng.uniform(0.17, 0.24),
        leg=size * 0.055,
        neck=size * 0.38,
        head=size * 0.17,
        snout=size * 0.24,
        ears=size * rng.uniform(0.08, 0.2),
    )[0]


def cow(rng: random.Random) -> list[Part]:
    """Return a cow, pig or sheep."""
    kind = rng.choice(["cow", "cow", "pig", "sheep"])
    if kind == "pig":
        skin = Paint(
            color=near(rng, (222, 164, 152), 0.1), other=(110, 80, 70), pattern="mottle", scale=0.8
        )
        return _beast(
            rng,
            skin,
            height=0.75,
            length=0.8,
            girth=0.27,
            leg=0.055,
            neck=0.18,
            head=0.17,
            snout=0.2,
            ears=0.1,
        )[0]
    if kind == "sheep":
        skin = Paint(
            color=near(rng, (214, 206, 188), 0.1), other=(150, 140, 124), pattern="grain", scale=0.3
        )
        return _beast(
            rng,
            skin,
            height=0.9,
            length=0.7,
            girth=0.3,
            leg=0.045,
            neck=0.25,
            head=0.13,
            snout=0.16,
            ears=0.1,
        )[0]
    coat = Paint(
        color=any_of(rng, [(232, 228, 220), (150, 90, 52), (40, 36, 34)]),
        other=any_of(rng, [(34, 32, 32), (236, 232, 226), (120, 70, 44)]),
        pattern="spots",
        scale=rng.uniform(1.4, 2.6),
    )
    return _beast(
        rng,
        coat,
        height=1.4,
        length=1.45,
        girth=0.34,
        leg=0.075,
        neck=0.42,
        head=0.19,
        snout=0.34,
        ears=0.12,
    )[0]


def deer(rng: random.Random) -> list[Part]:
    """Return a deer or horse."""
    coat = Paint(
        color=any_of(rng, [(150, 100, 62), (120, 82, 54), (92, 60, 42), (60, 52, 46)]),
        other=(190, 160, 120),
        pattern="grain",
        scale=0.8,
    )
    if rng.random() < 0.4:
        return _beast(
            rng,
            coat,
            height=1.55,
            length=1.3,
            girth=0.29,
            leg=0.06,
            neck=0.75,
            head=0.17,
            snout=0.4,
            ears=0.14,
        )[0]
    parts, (x, y, z) = _beast(
        rng,
        coat,
        height=1.1,
        length=0.95,
        girth=0.2,
        leg=0.036,
        neck=0.55,
        head=0.11,
        snout=0.22,
        ears=0.15,
    )
    horn = Paint(color=(196, 172, 132))
    for side in (-1, 1):
        base = (x, y + 0.08, z)
        for k in range(3):
            tip = (x + side * (0.12 + 0.1 * k), y + 0.25 + 0.16 * k, z - 0.05 * k)
            parts.append(Limb(start=base, end=tip, radius=0.022, end_radius=0.012, paint=horn))
            base = tip
            spike = (tip[0] + side * 0.02, tip[1] + 0.16, tip[2] + 0.04)
            parts.append(Limb(start=tip, end=spike, radius=0.016, end_radius=0.006, paint=horn))
    return parts


def bird(rng: random.Random) -> list[Part]:
    """Return a goose, swan, peacock or flamingo."""
    down = Paint(
        color=any_of(rng, [(236, 234, 228), (110, 104, 98), (236, 140, 150), (40, 70, 120)]),
        other=(150, 140, 130),
        pattern="grain",
        scale=0.4,
    )
    beak = Paint(color=(232, 140, 40))
    size, leg = rng.uniform(0.22, 0.34), rng.uniform(0.15, 0.5)
    face = rng.choice([-1, 1])
    parts: list[Part] = [
        Ball(
            center=(0, leg + size * 0.7, 0),
            radii=(size * 1.35, size * 0.8, size * 0.75),
            paint=down,
            turn=(0, 0, 0.15 * face),
        ),
        Limb(
            start=(face * size, leg + size, 0),
            end=(face * size * 1.25, leg + size * 2.5, 0),
            radius=size * 0.3,
            end_radius=size * 0.17,
            paint=down,
        ),
        Ball(
            center=(face * size * 1.35, leg + size * 2.6, 0),
            radii=(size * 0.32, size * 0.26, size * 0.25),
            paint=down,
        ),
        Limb(
            start=(face * size * 1.5, leg + size * 2.6, 0),
            end=(face * size * 2.1, leg + size * 2.45, 0),
            radius=size * 0.12,
            end_radius=0.01,
            paint=beak,
        ),
        Limb(
            start=(-face * size, leg + size * 0.8, 0),
            end=(-face * size * 2.1, leg + size * 1.0, 0),
            radius=size * 0.3,
            end_radius=size * 0.1,
            paint=down,
        ),
    ]
    for z in (-0.1, 0.12):
        parts.append(
            Limb(start=(z, leg + size * 0.2, z), end=(z, 0.02, z), radius=0.02, paint=beak)
        )
    return parts
