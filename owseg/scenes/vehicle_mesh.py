"""Meshes of vehicles: proportions, panels, windows, wheels and lamps."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from owseg.scenes.colors import Color, near, scaled, vivid
from owseg.scenes.seeds import stream
from owseg.scenes.vehicle_shapes import SHAPES, Profile, Shape
from owseg.types import FloatArray

PAINTS: list[Color] = [
    (196, 200, 204),
    (150, 154, 160),
    (84, 88, 94),
    (30, 31, 34),
    (232, 232, 230),
    (36, 54, 104),
    (140, 28, 32),
    (28, 70, 52),
    (96, 110, 130),
    (176, 156, 120),
]
GLASS: Color = (38, 46, 54)
DARK: Color = (30, 31, 33)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mesh:
    """A vehicle in its own axes: x to the right, y up, z forward, origin on the ground.

    Attributes:
        points: (V, 3) float32 in metres.
        faces: range of points that are the corners of each face.
        colors: (F, 3) float32 colours.
        normals: (F, 3) float32 outward normals.
        firsts: (F,) index of the first corner of each face.
        glow: (F,) whether a face is a lamp that shines.
        length: metres.
        width: metres.
        height: metres.
    """

    points: FloatArray
    faces: tuple[tuple[int, int], ...]
    colors: FloatArray
    normals: FloatArray
    glow: npt.NDArray[np.bool_]
    firsts: npt.NDArray[np.intp]
    length: float
    width: float
    height: float


class _Builder:
    """Collects the faces of a mesh; a face needs no partner, both sides are mirrored."""

    def __init__(self) -> None:
        self.points: list[tuple[float, float, float]] = []
        self.faces: list[tuple[int, int]] = []
        self.colors: list[Color] = []
        self.normals: list[tuple[float, float, float]] = []
        self.glow: list[bool] = []

    def face(
        self,
        spots: list[tuple[float, float, float]],
        color: Color,
        out: tuple[float, float, float],
        glow: bool = False,
    ) -> None:
        """Add one face whose normal points to the same side as `out`."""
        start = len(self.points)
        self.points += spots
        self.faces.append((start, len(self.points)))
        a, b = (tuple(q - p for p, q in zip(spots[0], spots[i], strict=True)) for i in (1, 2))
        x, y, z = a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]
        size = max(math.hypot(x, y, z), 1e-6)
        size = size if x * out[0] + y * out[1] + z * out[2] >= 0 else -size
        self.normals.append((x / size, y / size, z / size))
        self.colors.append(color)
        self.glow.append(glow)

    def sides(
        self, spots: list[tuple[float, float, float]], color: Color, glow: bool = False
    ) -> None:
        """Add a face on the right and its mirror image on the left."""
        self.face(spots, color, (1, 0, 0), glow)
        self.face([(-x, y, z) for x, y, z in spots], color, (-1, 0, 0), glow)

    def across(
        self,
        y0: float,
        z0: float,
        w0: float,
        y1: float,
        z1: float,
        w1: float,
        color: Color,
        out: tuple[float, float, float],
    ) -> None:
        """Add a face across the car between two lines of half widths w0 and w1."""
        self.face([(-w0, y0, z0), (w0, y0, z0), (w1, y1, z1), (-w1, y1, z1)], color, out)


def _lerp(profile: Profile, t: float) -> float:
    return float(np.interp(t, [p[0] for p in profile], [p[1] for p in profile]))


@lru_cache(maxsize=256)
def vehicle(kind: str, variant: int) -> Mesh:
    """Return a vehicle; the variant decides on proportions and colours."""
    rng = stream(83, sorted(SHAPES).index(kind), variant)
    shape = SHAPES[kind]
    paint = near(rng, rng.choice(PAINTS), 0.12) if rng.random() < 0.93 else vivid(rng)
    if kind in ("van", "truck") and rng.random() < 0.6:
        paint = near(rng, (228, 228, 226), 0.05)
    if kind == "bus":
        paint = rng.choice(
            [(170.0, 30.0, 36.0), (40.0, 90.0, 150.0), (60.0, 120.0, 70.0), (220.0, 200.0, 190.0)]
        )
    build = _Builder()
    length, half = shape.length * rng.uniform(0.94, 1.06), shape.width / 2
    tall = rng.uniform(0.96, 1.04)
    _body(build, shape, length, half, tall, paint)
    _cabin(build, shape, kind, length, half, tall, paint)
    _wheels(build, shape, length, half, rng)
    _ends(build, shape, length, half, tall, rng)
    return Mesh(
        points=np.array(build.points, np.float32),
        faces=tuple(build.faces),
        colors=np.array(build.colors, np.float32),
        normals=np.array(build.normals, np.float32),
        glow=np.array(build.glow),
        firsts=np.array([f[0] for f in build.faces]),
        length=length,
        width=shape.width,
        height=max(y for _, y in shape.cabin) * tall,
    )


def _body(
    build: _Builder, shape: Shape, length: float, half: float, tall: float, paint: Color
) -> None:
    """Add the lower body: bulging sides in three strips, and the surfaces on top."""
    cuts = [0.0, 0.02, 0.12, 0.3, 0.5, 0.68, 0.85, 0.97, 1.0]
    widths = [
        _lerp(((0, 0.86), (0.05, 0.96), (0.3, 1), (0.75, 1), (0.94, 0.94), (1, 0.8)), t) * half
        for t in cuts
    ]
    levels = [
        [
            shape.sill,
            shape.sill + 0.45 * (top - shape.sill),
            shape.sill + 0.72 * (top - shape.sill),
            top,
        ]
        for top in (_lerp(shape.belt, t) * tall for t in cuts)
    ]
    bulge = (0.95, 1.0, 0.99, 0.93)
    for i in range(len(cuts) - 1):
        z0, z1 = (cuts[i] - 0.5) * length, (cuts[i + 1] - 0.5) * length
        for j in range(3):
            spots = [
                (widths[i] * bulge[j], levels[i][j], z0),
                (widths[i + 1] * bulge[j], levels[i + 1][j], z1),
                (widths[i + 1] * bulge[j + 1], levels[i + 1][j + 1], z1),
                (widths[i] * bulge[j + 1], levels[i][j + 1], z0),
            ]
            shade = (0.72, 0.95, 1.08)[j]
            build.sides(spots, scaled(paint, shade))
        build.across(
            levels[i][3],
            z0,
            widths[i] * 0.93,
            levels[i + 1][3],
            z1,
            widths[i + 1] * 0.93,
            paint,
            (0, 1, 0),
        )
    for i, out in ((0, (0.0, 0.0, -1.0)), (len(cuts) - 1, (0.0, 0.0, 1.0))):
        z = (cuts[i] - 0.5) * length
        for j in range(3):
            shade = (0.62, 0.92, 1.04)[j]
            color = scaled(paint, shade)
            build.across(
                levels[i][j],
                z,
                widths[i] * bulge[j],
                levels[i][j + 1],
                z,
                widths[i] * bulge[j + 1],
                color,
                out,
            )


def _cabin(
    build: _Builder, shape: Shape, kind: str, length: float, half: float, tall: float, paint: Color
) -> None:
    """Add windows, pillars and roof."""
    (r0, yr0), (r1, yr1), (f1, yf1), (f0, yf0) = shape.cabin
    z = [(t - 0.5) * length for t in (r0, r1, f1, f0)]
    y = [v * tall for v in (yr0, yr1, yf1, yf0)]
    low, high = half * 0.93, half * shape.taper * 0.93
    build.sides(
        [(low, y[0], z[0]), (low, y[3], z[3]), (high, y[2], z[2]), (high, y[1], z[1])], paint
    )
    build.across(y[1], z[1], high, y[2], z[2], high, paint, (0, 1, 0))
    build.across(y[0], z[0], low, y[1], z[1], high, paint, (0, 0.2, -1))
    build.across(y[2], z[2], high, y[3], z[3], low, paint, (0, 0.5, 1))
    closed = kind in ("van", "truck")
    if not closed:
        _pane(build, (y[0], z[0], low), (y[1], z[1], high), (0, 0.2, -1))
    _pane(build, (y[3], z[3], low), (y[2], z[2], high), (0, 0.5, 1))
    spans = {
        "van": ((0.76, 0.97),),
        "truck": ((0.86, 0.97),),
        "bus": tuple((i / 8 + 0.01, (i + 1) / 8 - 0.01) for i in range(8)),
    }
    for a, b in spans.get(kind, ((0.06, 0.33), (0.36, 0.62), (0.65, 0.94))):
        _side_window(build, y, z, low, high, a, b)


def _pane(
    build: _Builder,
    low: tuple[float, float, float],
    high: tuple[float, float, float],
    out: tuple[float, float, float],
) -> None:
    """Add a windscreen: dark below, sky above, inset from the frame."""

    def at(t: float, inset: float) -> tuple[float, float, float]:
        y, z, w = (a + (b - a) * t for a, b in zip(low, high, strict=True))
        return y + out[1] * 0.01, z + out[2] * 0.01, w * inset

    for t0, t1, color in ((0.1, 0.5, GLASS), (0.5, 0.9, (70.0, 82.0, 92.0))):
        (y0, z0, w0), (y1, z1, w1) = at(t0, 0.88), at(t1, 0.88)
        build.across(y0, z0, w0, y1, z1, w1, color, out)


def _side_window(
    build: _Builder, y: list[float], z: list[float], low: float, high: float, a: float, b: float
) -> None:
    """Add one side window between two shares of the cabin."""

    def at(share: float, t: float) -> tuple[float, float, float]:
        z_low, z_high = z[0] + (z[3] - z[0]) * share, z[1] + (z[2] - z[1]) * share
        y_low, y_high = y[0] + (y[3] - y[0]) * share, y[1] + (y[2] - y[1]) * share
        return (
            low + (high - low) * t + 0.008,
            y_low + (y_high - y_low) * t,
            z_low + (z_high - z_low) * t,
        )

    for t0, t1, color in ((0.08, 0.5, GLASS), (0.5, 0.86, (62.0, 74.0, 84.0))):
        build.sides([at(a, t0), at(b, t0), at(b, t1), at(a, t1)], color)


def _wheels(build: _Builder, shape: Shape, length: float, half: float, rng: random.Random) -> None:
    """Add tyres, rims and the dark below the body."""
    r = shape.wheel
    rim: Color = near(rng, (150, 152, 156), 0.2)
    build.face(
        [
            (-half * 0.8, 0.12, -length / 2 + 0.3),
            (half * 0.8, 0.12, -length / 2 + 0.3),
            (half * 0.8, 0.4, -length / 2 + 0.02),
            (-half * 0.8, 0.4, -length / 2 + 0.02),
        ],
        DARK,
        (0, 0, -1),
    )
    build.face(
        [
            (-half * 0.8, 0.12, length / 2 - 0.3),
            (half * 0.8, 0.12, length / 2 - 0.3),
            (half * 0.8, 0.4, length / 2 - 0.02),
            (-half * 0.8, 0.4, length / 2 - 0.02),
        ],
        DARK,
        (0, 0, 1),
    )
    for share in (0.19, 0.81):
        z = (share - 0.5) * length
        for radius, color, x in (
            (r * 1.16, DARK, half * 1.003),
            (r, (44.0, 44.0, 46.0), half * 1.006),
            (r * 0.62, rim, half * 1.01),
            (r * 0.2, (70.0, 70.0, 72.0), half * 1.012),
        ):
            disc = [
                (x, max(0.0, r + radius * math.sin(a)), z + radius * math.cos(a))
                for a in (2 * math.pi * i / 12 for i in range(12))
            ]
            build.sides(disc, color)
        end = -1 if share < 0.5 else 1
        zz = z + end * r * 0.7
        tread = [(half * 0.72, 0.0, zz), (half, 0.0, zz), (half, r, zz), (half * 0.72, r, zz)]
        for side in (-1, 1):
            build.face(
                [(side * px, py, pz) for px, py, pz in tread], (36.0, 36.0, 38.0), (0, 0, end)
            )


def _ends(
    build: _Builder, shape: Shape, length: float, half: float, tall: float, rng: random.Random
) -> None:
    """Add lamps, number plates, bumpers and the grille."""

    def panel(
        x0: float, x1: float, y0: float, y1: float, end: int, color: Color, glow: bool = False
    ) -> None:
        z = end * (length / 2 + 0.012)
        build.face([(x0, y0, z), (x1, y0, z), (x1, y1, z), (x0, y1, z)], color, (0, 0, end), glow)

    rear, front = shape.belt[0][1] * tall, shape.belt[-1][1] * tall
    w = half * 0.84
    bump = rng.choice([DARK, (60.0, 62.0, 64.0)])
    panel(-w, w, shape.sill, shape.sill + 0.14, -1, bump)
    panel(-w, w, shape.sill, shape.sill + 0.14, 1, bump)
    lamp = rng.uniform(0.13, 0.24)
    for side in (-1, 1):
        x0, x1 = sorted((side * w, side * (w - 0.24)))
        panel(x0, x1, rear - lamp - 0.06, rear - 0.05, -1, (176.0, 26.0, 26.0), True)
        panel(x0, x1, front - 0.17, front - 0.03, 1, (226.0, 228.0, 224.0), True)
        xo0, xo1 = sorted((side * (w - 0.02), side * (w - 0.1)))
        panel(xo0, xo1, front - 0.15, front - 0.05, 1, (230.0, 150.0, 60.0))
    panel(-w * 0.5, w * 0.5, front - 0.16, front - 0.05, 1, (36.0, 37.0, 40.0))
    y = shape.sill + 0.2
    panel(-0.26, 0.26, y, y + 0.12, -1, rng.choice([(226.0, 200.0, 70.0), (232.0, 232.0, 230.0)]))
    panel(-0.26, 0.26, shape.sill + 0.06, shape.sill + 0.17, 1, (232.0, 232.0, 230.0))


def any_vehicle(rng: random.Random, parked: bool = False) -> Mesh:
    """Return a random vehicle; buses and trucks do not park."""
    kinds = [k for k in sorted(SHAPES) if not (parked and k in ("bus", "truck"))]
    kind = rng.choices(kinds, [SHAPES[k].share for k in kinds])[0]
    return vehicle(kind, rng.randrange(30))
