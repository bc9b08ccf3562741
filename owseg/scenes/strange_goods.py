"""Strange objects: household goods and freight that ended up on the road."""

from __future__ import annotations

import math
import random
from itertools import pairwise

from owseg.scenes.colors import any_of, muted, scaled, vivid
from owseg.scenes.solids import Ball, Block, Drum, Limb, Paint, Part

WOOD = [(176.0, 136.0, 88.0), (150.0, 108.0, 66.0), (196.0, 164.0, 120.0), (120.0, 84.0, 54.0)]
CARDBOARD = [(178.0, 138.0, 92.0), (160.0, 120.0, 78.0), (196.0, 160.0, 116.0)]
CLOTH_PATTERNS = ("plain", "plain", "stripes", "checks", "mottle", "seams", "spots")


def cloth(rng: random.Random) -> Paint:
    """Return a fabric."""
    color = rng.choice([muted, vivid])(rng)
    pattern = rng.choice(CLOTH_PATTERNS)
    return Paint(color=color, other=muted(rng), pattern=pattern, scale=rng.uniform(0.06, 0.2))


def sofa(rng: random.Random) -> list[Part]:
    """Return a sofa or armchair, sometimes lying on its back."""
    w, d, h = rng.uniform(0.4, 1.1), rng.uniform(0.38, 0.48), rng.uniform(0.7, 0.95)
    fabric = cloth(rng)
    seat = Paint(color=scaled(fabric.color, rng.uniform(0.8, 1.2)), other=fabric.other)
    parts: list[Part] = [
        Block(center=(0, 0.24, 0), half=(w, 0.17, d), paint=fabric),
        Block(center=(0, h * 0.55, -d + 0.1), half=(w, h * 0.45, 0.12), paint=fabric),
    ]
    count = 1 if w < 0.55 else rng.choice([2, 3])
    for i in range(count):
        x = (i - (count - 1) / 2) * 2 * (w - 0.16) / count
        half = (w - 0.16) / count - 0.015
        parts.append(Block(center=(x, 0.45, 0.08), half=(half, 0.07, d - 0.1), paint=seat))
        parts.append(
            Block(
                center=(x, 0.66, -d + 0.26), half=(half, 0.18, 0.08), paint=seat, turn=(0, -0.2, 0)
            )
        )
    for side in (-1, 1):
        x = side * (w - 0.08)
        parts.append(Block(center=(x, 0.33, 0.02), half=(0.1, 0.28, d), paint=fabric))
        parts.append(Limb(start=(x, 0.6, d), end=(x, 0.6, -d + 0.1), radius=0.11, paint=fabric))
        for z in (-d + 0.08, d - 0.08):
            feet = Paint(color=any_of(rng, WOOD))
            parts.append(
                Drum(center=(x, 0.04, z), bottom=0.03, top=0.04, half_height=0.05, paint=feet)
            )
    return parts


def mattress(rng: random.Random) -> list[Part]:
    """Return a mattress that lies, leans or stands, sometimes two."""
    w, length, t = rng.uniform(0.45, 0.8), rng.uniform(0.9, 1.05), rng.uniform(0.09, 0.14)
    cover = Paint(
        color=any_of(rng, [(214, 210, 198), (196, 204, 214), (206, 186, 180)]),
        other=muted(rng),
        pattern=rng.choice(["seams", "stripes", "checks", "plain"]),
        scale=rng.uniform(0.08, 0.2),
    )
    if rng.random() < 0.4:
        tilt = rng.uniform(-0.3, 0.3)
        return [Block(center=(0, w, 0), half=(length, w, t), paint=cover, turn=(tilt, 0, tilt / 3))]
    parts: list[Part] = []
    for i in range(rng.choice([1, 1, 2, 3])):
        turn = (rng.uniform(-0.5, 0.5), rng.uniform(0, 0.1), rng.uniform(-0.08, 0.08))
        parts.append(
            Block(center=(0, t + 2 * t * i, 0), half=(length, t, w), paint=cover, turn=turn)
        )
    return parts


def boxes(rng: random.Random) -> list[Part]:
    """Return a heap of cardboard boxes."""
    parts: list[Part] = []
    for _ in range(rng.randint(1, 6)):
        half = (rng.uniform(0.15, 0.4), rng.uniform(0.12, 0.32), rng.uniform(0.15, 0.35))
        x, level = rng.uniform(-0.5, 0.5), rng.choice([0.0, 0.0, 0.45])
        turn = (
            rng.uniform(-0.8, 0.8),
            0.0,
            rng.uniform(-0.06, 0.06) if level == 0 else rng.uniform(-0.4, 0.4),
        )
        board = Paint(color=any_of(rng, CARDBOARD), other=(205, 190, 150), pattern="plain")
        center = (x, level + half[1], rng.uniform(-0.3, 0.3))
        parts.append(Block(center=center, half=half, paint=board, turn=turn))
        tape = Paint(color=(206, 190, 150))
        thin = (half[0] * 0.12, half[1] + 0.004, half[2] + 0.004)
        parts.append(Block(center=center, half=thin, paint=tape, turn=turn))
    return parts


def suitcase(rng: random.Random) -> list[Part]:
    """Return one or two suitcases, upright or fallen."""
    parts: list[Part] = []
    for i in range(rng.choice([1, 1, 2])):
        shell = Paint(
            color=vivid(rng),
            other=scaled(vivid(rng), 0.5),
            pattern=rng.choice(["plain", "stripes", "checks", "bands"]),
            scale=0.07,
            shine=0.4,
        )
        half = (rng.uniform(0.2, 0.3), rng.uniform(0.3, 0.42), rng.uniform(0.1, 0.16))
        x = i * rng.uniform(0.5, 0.8)
        yaw = rng.uniform(-1, 1)
        if rng.random() < 0.35:
            half = (half[1], half[2], half[0])
        parts.append(Block(center=(x, half[1] + 0.05, 0), half=half, paint=shell, turn=(yaw, 0, 0)))
        dark = Paint(color=(40, 40, 44))
        top = half[1] * 2 + 0.05
        for s in (-0.09, 0.09):
            parts.append(
                Limb(start=(x + s, top, 0), end=(x + s, top + 0.12, 0), radius=0.013, paint=dark)
            )
        parts.append(
            Limb(
                start=(x - 0.09, top + 0.12, 0),
                end=(x + 0.09, top + 0.12, 0),
                radius=0.02,
                paint=dark,
            )
        )
        for s in (-1, 1):
            parts.append(
                Ball(
                    center=(x + s * half[0] * 0.8, 0.04, half[2] * 0.5),
                    radii=(0.04, 0.04, 0.03),
                    paint=dark,
                )
            )
    return parts


def fridge(rng: random.Random) -> list[Part]:
    """Return a refrigerator, washing machine or stove, upright or fallen."""
    w, h, d = rng.uniform(0.27, 0.35), rng.uniform(0.42, 0.9), rng.uniform(0.28, 0.33)
    metal = Paint(
        color=any_of(rng, [(226, 226, 222), (190, 194, 198), (205, 60, 50), (150, 190, 180)]),
        shine=0.5,
    )
    turn = (rng.uniform(-0.7, 0.7), 0.0, 0.0)
    cy, sy = math.cos(turn[0]), math.sin(turn[0])
    front = d + 0.012
    parts: list[Part] = [Block(center=(0, h, 0), half=(w, h, d), paint=metal, turn=turn)]
    if h < 0.55:
        glass = Paint(color=(50, 60, 72), shine=1.0)
        parts.append(
            Ball(
                center=(front * sy, h * 0.95, front * cy),
                radii=(0.19, 0.19, 0.04),
                paint=glass,
                turn=turn,
            )
        )
    else:
        line = Paint(color=(90, 92, 94))
        split = h * rng.uniform(1.1, 1.4)
        parts.append(
            Block(center=(0, split, 0), half=(w + 0.003, 0.012, front), paint=line, turn=turn)
        )
        hx = -w * 0.75
        for y in (split - 0.22, split + 0.18):
            at = (hx * cy + front * sy, y, -hx * sy + front * cy)
            parts.append(Block(center=at, half=(0.02, 0.12, 0.03), paint=line, turn=turn))
    return parts


def pallet(rng: random.Random) -> list[Part]:
    """Return a wooden pallet, flat, leaning or stacked."""
    wood = Paint(color=any_of(rng, WOOD), other=(70, 50, 34), pattern="planks", scale=0.3)
    parts: list[Part] = []
    yaw = rng.uniform(-0.7, 0.7)
    lean = rng.random() < 0.35
    for level in range(1 if lean else rng.choice([1, 2, 4, 6])):
        base = level * 0.15
        turn = (yaw + rng.uniform(-0.05, 0.05), 1.25 if lean else 0.0, 0.0)
        for i in range(6):
            z = (i - 2.5) * 0.2
            at = _turned((0.0, 0.13, z), turn, (0, base + (0.5 if lean else 0), 0))
            parts.append(Block(center=at, half=(0.6, 0.012, 0.07), paint=wood, turn=turn))
        for x in (-0.54, 0.0, 0.54):
            at = _turned((x, 0.06, 0.0), turn, (0, base + (0.5 if lean else 0), 0))
            parts.append(Block(center=at, half=(0.05, 0.055, 0.58), paint=wood, turn=turn))
    return parts


def _turned(
    p: tuple[float, float, float],
    turn: tuple[float, float, float],
    shift: tuple[float, float, float],
) -> tuple[float, float, float]:
    """Return a point turned by pitch and yaw, then moved."""
    x, y, z = p
    cp, sp, cy, sy = math.cos(turn[1]), math.sin(turn[1]), math.cos(turn[0]), math.sin(turn[0])
    y, z = y * cp - z * sp, y * sp + z * cp
    return x * cy + z * sy + shift[0], y + shift[1], -x * sy + z * cy + shift[2]


def bathtub(rng: random.Random) -> list[Part]:
    """Return a bath tub."""
    white = Paint(
        color=any_of(rng, [(232, 232, 228), (200, 214, 206), (226, 196, 190)], 0.05), shine=0.8
    )
    steel = Paint(color=(150, 150, 146), shine=0.6)
    length, rim = rng.uniform(0.75, 0.95), 0.6
    turn = (rng.uniform(-0.5, 0.5), 0.0, 0.0)
    parts: list[Part] = [
        Ball(center=(0, rim, 0), radii=(length, 0.55, 0.42), paint=white, turn=turn, cut=0.0)
    ]
    edge = [
        (length * math.cos(a), 0.0, 0.42 * math.sin(a))
        for a in (2 * math.pi * i / 20 for i in range(21))
    ]
    for p, q in pairwise(edge):
        ends = _turned(p, turn, (0, rim, 0)), _turned(q, turn, (0, rim, 0))
        parts.append(Limb(start=ends[0], end=ends[1], radius=0.045, paint=white))
    for x in (-0.5, 0.5):
        foot = _turned((x * length, 0.0, 0.25), turn, (0, 0.08, 0))
        parts.append(Limb(start=foot, end=(foot[0], 0.25, foot[2] * 0.7), radius=0.05, paint=steel))
    tap = _turned((length, 0.0, 0.0), turn, (0, rim, 0))
    parts.append(Limb(start=tap, end=(tap[0], rim + 0.18, tap[2]), radius=0.035, paint=steel))
    return parts


def chair(rng: random.Random) -> list[Part]:
    """Return a chair or table, sometimes upside down."""
    wood = Paint(color=rng.choice([any_of(rng, WOOD), vivid(rng), (40, 40, 42)]))
    w, seat, back = rng.uniform(0.2, 0.26), rng.uniform(0.42, 0.5), rng.uniform(0.4, 0.55)
    table = rng.random() < 0.35
    if table:
        w, seat, back = rng.uniform(0.4, 0.7), 0.72, 0.0
    flip = rng.random() < 0.3
    turn = rng.uniform(-0.9, 0.9)

    def place(p: tuple[float, float, float]) -> tuple[float, float, float]:
        y = (seat + 0.03 - p[1]) if flip else p[1]
        return _turned((p[0], y, p[2]), (turn, 0, 0), (0, 0.02, 0))

    parts: list[Part] = [
        Block(
            center=place((0, seat, 0)),
            half=(w + 0.03, 0.025, w + 0.03),
            paint=wood,
            turn=(turn, 0, 0),
        )
    ]
    for sx in (-1, 1):
        for sz in (-1, 1):
            top = seat + back if sz < 0 and back else seat
            ends = place((sx * w, 0, sz * w)), place((sx * w * 0.95, top, sz * w))
            parts.append(Limb(start=ends[0], end=ends[1], radius=0.022, paint=wood))
    for i in range(3 if back else 0):
        y = seat + back * (0.4 + 0.28 * i)
        parts.append(
            Limb(start=place((-w, y, -w)), end=place((w, y, -w)), radius=0.025, paint=wood)
        )
    return parts


def television(rng: random.Random) -> list[Part]:
    """Return an old television or a monitor."""
    body = Paint(color=any_of(rng, [(50, 50, 54), (90, 80, 70), (170, 166, 158)]))
    glass = Paint(color=(46, 58, 62), other=(96, 112, 116), pattern="mottle", scale=0.5, shine=1.0)
    w, h = rng.uniform(0.3, 0.5), rng.uniform(0.22, 0.32)
    yaw = rng.uniform(-0.6, 0.6)
    front = 0.2
    at = (front * math.sin(yaw), h + 0.02, front * math.cos(yaw))
    return [
        Block(
            center=(0, h + 0.02, 0),
            half=(w, h, front),
            paint=body,
            turn=(yaw, 0, rng.uniform(-0.1, 0.1)),
        ),
        Block(center=at, half=(w * 0.86, h * 0.8, 0.02), paint=glass, turn=(yaw, 0, 0)),
        Limb(start=(0, 2 * h, 0), end=(-0.3, 2 * h + 0.35, 0), radius=0.012, paint=body),
        Limb(start=(0, 2 * h, 0), end=(0.25, 2 * h + 0.4, 0), radius=0.012, paint=body),
    ]


def piano(rng: random.Random) -> list[Part]:
    """Return an upright piano or a cupboard."""
    dark = Paint(color=any_of(rng, [(46, 32, 26), (26, 26, 28), *WOOD]), shine=0.5)
    keys = Paint(color=(232, 230, 220), other=(20, 20, 20), pattern="stripes", scale=0.05)
    yaw = rng.uniform(-0.5, 0.5)
    turn = (yaw, 0.0, 0.0)

    def at(y: float, z: float) -> tuple[float, float, float]:
        return _turned((0, y, z), turn, (0, 0, 0))

    return [
        Block(center=at(0.6, -0.1), half=(0.72, 0.6, 0.16), paint=dark, turn=turn),
        Block(center=at(0.64, 0.18), half=(0.72, 0.05, 0.18), paint=dark, turn=turn),
        Block(center=at(0.71, 0.22), half=(0.66, 0.02, 0.1), paint=keys, turn=turn),
        Block(center=at(0.3, 0.26), half=(0.7, 0.3, 0.02), paint=dark, turn=turn),
    ]
