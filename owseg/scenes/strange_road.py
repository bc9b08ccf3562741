"""Strange objects: things from works, loads and nature that lie on roads."""

from __future__ import annotations

import math
import random
from itertools import pairwise

from owseg.scenes.colors import any_of, muted, near, vivid
from owseg.scenes.solids import Ball, Block, Drum, Limb, Paint, Part
from owseg.scenes.strange_goods import WOOD, cloth

RUBBER = (38.0, 38.0, 41.0)
STEEL = Paint(color=(150.0, 154.0, 160.0), shine=0.6)


def ring(
    center: tuple[float, float, float],
    radius: float,
    thick: float,
    paint: Paint,
    axis: str,
    parts: int = 14,
) -> list[Part]:
    """Return a ring of rods about the x, y or z axis."""
    out: list[Part] = []
    points = []
    for i in range(parts + 1):
        a, b = (
            radius * math.cos(2 * math.pi * i / parts),
            radius * math.sin(2 * math.pi * i / parts),
        )
        shift = {"x": (0, a, b), "y": (a, 0, b), "z": (a, b, 0)}[axis]
        points.append((center[0] + shift[0], center[1] + shift[1], center[2] + shift[2]))
    for p, q in pairwise(points):
        out.append(Limb(start=p, end=q, radius=thick, paint=paint))
    return out


def tyres(rng: random.Random) -> list[Part]:
    """Return tyres: one flat, one upright, or a stack."""
    rubber = Paint(color=near(rng, RUBBER, 0.3), other=(70, 70, 72), pattern="grain", scale=0.4)
    r, t = rng.uniform(0.22, 0.5), rng.uniform(0.09, 0.16)
    if rng.random() < 0.35:
        return ring((0, r + t, 0), r, t, rubber, "z", 18)
    parts: list[Part] = []
    for i in range(rng.choice([1, 1, 2, 3, 4])):
        shift = rng.uniform(-0.05, 0.05)
        parts += ring((shift, t + 1.9 * t * i, 0), r, t, rubber, "y", 16)
    return parts


def cones(rng: random.Random) -> list[Part]:
    """Return traffic cones in a heap, standing and fallen."""
    orange = Paint(
        color=near(rng, (232, 92, 34), 0.1), other=(236, 234, 226), pattern="bands", scale=0.13
    )
    base = Paint(color=(60, 54, 50))
    parts: list[Part] = []
    for _ in range(rng.randint(2, 5)):
        x, z, h = rng.uniform(-0.6, 0.6), rng.uniform(-0.3, 0.3), rng.uniform(0.3, 0.38)
        if rng.random() < 0.4:
            yaw = rng.uniform(-0.6, 0.6)
            turn = (yaw, 0.0, rng.choice([-1.45, 1.45]))
            parts.append(
                Drum(
                    center=(x, 0.16, z),
                    bottom=0.15,
                    top=0.03,
                    half_height=h,
                    paint=orange,
                    turn=turn,
                )
            )
            continue
        parts.append(Block(center=(x, 0.02, z), half=(0.2, 0.025, 0.2), paint=base))
        parts.append(
            Drum(center=(x, 0.04 + h, z), bottom=0.15, top=0.03, half_height=h, paint=orange)
        )
    return parts


def barrel(rng: random.Random) -> list[Part]:
    """Return barrels or drums, standing or lying."""
    parts: list[Part] = []
    for i in range(rng.choice([1, 1, 1, 2, 3])):
        skin = Paint(
            color=vivid(rng),
            other=rng.choice([(110, 70, 45), muted(rng), (240, 240, 235)]),
            pattern=rng.choice(["plain", "mottle", "grain", "bands"]),
            scale=rng.uniform(0.15, 0.4),
            shine=0.4,
        )
        r, h, x = rng.uniform(0.26, 0.33), rng.uniform(0.38, 0.5), i * 0.68
        if rng.random() < 0.4:
            turn = (rng.uniform(0.2, 1.2), 0.0, 1.5708)
            parts.append(
                Drum(center=(x, r, 0), bottom=r, top=r, half_height=h, paint=skin, turn=turn)
            )
            continue
        parts.append(Drum(center=(x, h, 0), bottom=r, top=r, half_height=h, paint=skin))
        for y in (0.05, 0.7 * h, 1.3 * h, 2 * h - 0.03):
            parts.append(
                Drum(
                    center=(x, y, 0), bottom=r + 0.015, top=r + 0.015, half_height=0.02, paint=skin
                )
            )
    return parts


def ladder(rng: random.Random) -> list[Part]:
    """Return a ladder that lies across the lane, or a pair of steps that stands."""
    rail = Paint(color=any_of(rng, [(186, 190, 196), *WOOD, (226, 170, 40)]), shine=0.3)
    parts: list[Part] = []
    if rng.random() < 0.5:
        length, tilt = rng.uniform(1.0, 1.8), rng.uniform(0.05, 0.3)
        yaw = rng.uniform(-0.4, 0.4)
        c, s = math.cos(yaw), math.sin(yaw)
        for z in (-0.2, 0.2):
            ends = [
                (k * c + z * s, 0.06 + (k + length) * tilt, -k * s + z * c)
                for k in (-length, length)
            ]
            parts.append(Limb(start=ends[0], end=ends[1], radius=0.035, paint=rail))
        for i in range(9):
            k = (i / 8 * 2 - 1) * length * 0.95
            ends = [
                (k * c + z * s, 0.06 + (k + length) * tilt, -k * s + z * c) for z in (-0.2, 0.2)
            ]
            parts.append(Limb(start=ends[0], end=ends[1], radius=0.022, paint=rail))
        return parts
    h = rng.uniform(1.0, 1.9)
    for side in (-1, 1):
        for z in (-0.4, 0.4):
            parts.append(
                Limb(start=(side * 0.28, 0, z), end=(side * 0.18, h, 0), radius=0.03, paint=rail)
            )
    for i in range(1, 6):
        w = 0.28 - 0.1 * i / 6
        parts.append(
            Block(center=(0, h * i / 6, 0.4 * (1 - i / 6)), half=(w, 0.018, 0.05), paint=rail)
        )
    return parts


def boulder(rng: random.Random) -> list[Part]:
    """Return rocks or rubble."""
    stone = Paint(
        color=any_of(rng, [(132, 126, 118), (150, 138, 120), (98, 96, 96), (150, 118, 96)]),
        other=(70, 68, 64),
        pattern=rng.choice(["mottle", "grain"]),
        scale=rng.uniform(0.4, 1.2),
    )
    size = rng.uniform(0.25, 0.75)
    parts: list[Part] = []
    for _ in range(rng.randint(3, 9)):
        turn = (rng.uniform(0, 3), rng.uniform(-0.5, 0.5), rng.uniform(-0.5, 0.5))
        at = (rng.gauss(0, 0.5) * size, size * rng.uniform(0.3, 0.7), rng.gauss(0, 0.3) * size)
        half = (
            size * rng.uniform(0.4, 0.8),
            size * rng.uniform(0.3, 0.6),
            size * rng.uniform(0.4, 0.7),
        )
        if rng.random() < 0.6:
            parts.append(Ball(center=at, radii=half, paint=stone, turn=turn))
        else:
            parts.append(
                Block(
                    center=at,
                    half=(half[0] * 0.7, half[1] * 0.7, half[2] * 0.7),
                    paint=stone,
                    turn=turn,
                )
            )
    return parts


def trolley(rng: random.Random) -> list[Part]:
    """Return a shopping trolley, rarely with goods."""
    wire = Paint(color=near(rng, (158, 162, 168), 0.15), shine=0.4)
    grip = Paint(color=vivid(rng))
    parts: list[Part] = []
    yaw = rng.uniform(-1.2, 1.2)
    c, s = math.cos(yaw), math.sin(yaw)

    def at(x: float, y: float, z: float) -> tuple[float, float, float]:
        return x * c + z * s, y, -x * s + z * c

    def rod(p: tuple[float, float, float], q: tuple[float, float, float], r: float = 0.012) -> None:
        parts.append(Limb(start=at(*p), end=at(*q), radius=r, paint=wire))

    for y, w, z0, z1 in (
        (0.5, 0.18, -0.38, 0.36),
        (0.7, 0.22, -0.4, 0.42),
        (0.92, 0.26, -0.42, 0.48),
    ):
        for side in (-1, 1):
            rod((side * w, y, z0), (side * w, y, z1), 0.018)
        rod((-w, y, z1), (w, y, z1), 0.018)
        rod((-w, y, z0), (w, y, z0), 0.018)
    for i in range(7):
        t = i / 6
        for side in (-1, 1):
            rod((side * 0.18, 0.5, -0.38 + 0.74 * t), (side * 0.26, 0.92, -0.42 + 0.9 * t))
        rod((-0.18 + 0.36 * t, 0.5, 0.36), (-0.26 + 0.52 * t, 0.92, 0.48))
        rod((-0.18 + 0.36 * t, 0.5, -0.38), (-0.18 + 0.36 * t, 0.5, 0.36))
    for side in (-1, 1):
        rod((side * 0.22, 0.1, 0.4), (side * 0.2, 0.5, -0.3), 0.02)
        rod((side * 0.22, 0.14, -0.36), (side * 0.22, 0.14, 0.4), 0.02)
        rod((side * 0.25, 0.92, -0.42), (side * 0.25, 1.02, -0.52), 0.018)
        for z in (-0.36, 0.4):
            parts.append(
                Ball(
                    center=at(side * 0.22, 0.06, z),
                    radii=(0.06, 0.06, 0.06),
                    paint=Paint(color=RUBBER),
                )
            )
    parts.append(
        Limb(start=at(-0.26, 1.02, -0.52), end=at(0.26, 1.02, -0.52), radius=0.028, paint=grip)
    )
    for _ in range(rng.choice([0, 0, 2, 4])):
        half = (rng.uniform(0.06, 0.14), rng.uniform(0.08, 0.16), rng.uniform(0.06, 0.14))
        spot = at(rng.uniform(-0.1, 0.1), 0.62, rng.uniform(-0.25, 0.3))
        parts.append(
            Block(center=spot, half=half, paint=Paint(color=vivid(rng)), turn=(rng.random(), 0, 0))
        )
    return parts


def logs(rng: random.Random) -> list[Part]:
    """Return logs or a fallen branch."""
    bark = Paint(
        color=any_of(rng, [(96, 74, 56), (120, 98, 76), (84, 72, 62)]),
        other=(54, 42, 32),
        pattern="grain",
        scale=0.5,
    )
    cut = Paint(color=(206, 172, 122), other=(150, 112, 70), pattern="rings", scale=0.04)
    parts: list[Part] = []
    r, half = rng.uniform(0.1, 0.24), rng.uniform(0.6, 1.3)
    spots = [(0.0, r), (2 * r, r), (r, 2.7 * r), (-2 * r, r), (-r, 2.7 * r)]
    yaw = rng.uniform(-1.2, 1.2)
    for z, y in spots[: rng.choice([1, 1, 3, 5])]:
        at = (z * math.sin(yaw), y, z * math.cos(yaw))
        turn = (yaw, 0.0, 1.5708)
        parts.append(
            Drum(center=at, bottom=r, top=r * 0.95, half_height=half, paint=bark, turn=turn)
        )
        parts.append(
            Drum(
                center=at,
                bottom=r * 0.8,
                top=r * 0.8,
                half_height=half + 0.005,
                paint=cut,
                turn=turn,
            )
        )
    return parts


def sacks(rng: random.Random) -> list[Part]:
    """Return rubbish bags or sandbags."""
    parts: list[Part] = []
    shiny = rng.random() < 0.6
    for _ in range(rng.randint(2, 7)):
        color = near(rng, (34, 34, 38), 0.4) if shiny else near(rng, (186, 166, 126), 0.2)
        skin = Paint(
            color=color,
            other=(120, 120, 126),
            pattern="mottle",
            scale=0.6,
            shine=0.7 if shiny else 0,
        )
        x, y = rng.uniform(-0.6, 0.6), rng.choice([0.0, 0.0, 0.3])
        radii = (rng.uniform(0.22, 0.38), rng.uniform(0.2, 0.34), rng.uniform(0.2, 0.35))
        parts.append(
            Ball(center=(x, y + radii[1] * 0.85, rng.uniform(-0.2, 0.2)), radii=radii, paint=skin)
        )
        if shiny:
            parts.append(
                Drum(
                    center=(x, y + radii[1] * 1.85, 0),
                    bottom=0.1,
                    top=0.02,
                    half_height=0.09,
                    paint=skin,
                )
            )
    return parts


def wheelbarrow(rng: random.Random) -> list[Part]:
    """Return a wheelbarrow."""
    pan = Paint(
        color=any_of(rng, [(40, 110, 60), (190, 60, 40), (60, 80, 150), (120, 120, 124)]),
        other=(110, 80, 60),
        pattern="mottle",
        scale=0.5,
    )
    tube = Paint(color=(50, 52, 56))
    yaw = rng.uniform(-1.2, 1.2)
    c, s = math.cos(yaw), math.sin(yaw)

    def at(x: float, y: float, z: float) -> tuple[float, float, float]:
        return x * c + z * s, y, -x * s + z * c

    parts: list[Part] = [
        Drum(center=at(0, 0.5, 0), bottom=0.26, top=0.45, half_height=0.16, paint=pan),
        Ball(center=at(0, 0.62, 0), radii=(0.38, rng.uniform(0.05, 0.25), 0.38), paint=cloth(rng)),
    ]
    for side in (-1, 1):
        parts.append(
            Limb(start=at(0.75, 0.2, 0), end=at(-0.9, 0.62, side * 0.3), radius=0.025, paint=tube)
        )
        parts.append(
            Limb(
                start=at(-0.3, 0.42, side * 0.2),
                end=at(-0.35, 0.0, side * 0.25),
                radius=0.025,
                paint=tube,
            )
        )
    parts += ring(
        at(0.75, 0.2, 0), 0.15, 0.045, Paint(color=RUBBER), "z" if abs(s) < 0.7 else "x", 10
    )
    return parts


def spool(rng: random.Random) -> list[Part]:
    """Return a cable drum or a roll of pipe."""
    wood = Paint(color=any_of(rng, WOOD), other=(90, 66, 44), pattern="rings", scale=0.16)
    cable = Paint(
        color=rng.choice([(30, 30, 32), vivid(rng)]),
        other=(70, 70, 74),
        pattern="bands",
        scale=0.05,
    )
    r, half = rng.uniform(0.4, 0.8), rng.uniform(0.25, 0.4)
    turn = (rng.uniform(-0.8, 0.8), 0.0, 1.5708) if rng.random() < 0.6 else (0.0, 0.0, 0.0)
    c, s = math.cos(turn[0]), math.sin(turn[0])
    up = r if turn[2] else half
    parts: list[Part] = [
        Drum(
            center=(0, up, 0),
            bottom=r * 0.65,
            top=r * 0.65,
            half_height=half,
            paint=cable,
            turn=turn,
        )
    ]
    for side in (-1, 1):
        at = (side * half * c, r, -side * half * s) if turn[2] else (0.0, up + side * half, 0.0)
        parts.append(Drum(center=at, bottom=r, top=r, half_height=0.04, paint=wood, turn=turn))
    return parts
