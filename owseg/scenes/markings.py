"""Road markings: lines, dashes, zebra crossings, stop lines and arrows, as ground polygons."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from owseg.scenes.camera import NEAR_M
from owseg.scenes.ground import mark
from owseg.scenes.seeds import stream
from owseg.scenes.stage import Stage
from owseg.scenes.street import BLOCK_M, Street
from owseg.types import FloatArray

SIGHT_M = 80.0
Gaps = list[tuple[float, float]]
"""Side roads: position and half width."""
ARROW = (
    (-0.08, 0.0),
    (0.08, 0.0),
    (0.08, 2.2),
    (0.45, 2.2),
    (0.0, 4.0),
    (-0.45, 2.2),
    (-0.08, 2.2),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Markings:
    """How a street is painted.

    Attributes:
        dash: length of a dash of the centre line and of the gap after it, in metres.
        edge_lines: distance of lines from the kerb in metres, none if empty.
        edge_yellow: whether the edge lines are yellow.
        solid_center: whether the centre line is continuous.
        lanes: whether each direction has two lanes.
        strength: how well the paint covers, 0..1.
    """

    dash: tuple[float, float]
    edge_lines: tuple[float, ...]
    edge_yellow: bool
    solid_center: bool
    lanes: bool
    strength: float


def make_markings(street: Street) -> Markings:
    """Return the markings of a world."""
    rng = stream(street.seed, 19)
    return Markings(
        dash=rng.choice([(2.0, 4.0), (4.0, 2.0), (3.0, 6.0), (1.0, 5.0)]),
        edge_lines=rng.choice([(), (), (0.3,), (0.3, 0.5), (0.25, 0.45)]),
        edge_yellow=rng.random() < 0.6,
        solid_center=rng.random() < 0.12,
        lanes=street.half > 5.4 and rng.random() < 0.6,
        strength=rng.uniform(0.55, 0.95),
    )


def paint_markings(stage: Stage, markings: Markings) -> None:
    """Paint the markings that can be seen."""
    light = stage.light
    white, yellow = light.seen((236, 236, 230), 0.7, 8), light.seen((214, 176, 60), 0.7, 8)
    gaps = stage.street.crossings_within(stage.camera.z, stage.camera.z + SIGHT_M)
    lines = list(_edge_lines(stage, markings, gaps))
    if markings.edge_yellow:
        mark(stage, lines, yellow, markings.strength)
        lines = []
    lines += [*_center(stage, markings, gaps), *_crossings(stage)]
    mark(stage, lines, white, markings.strength)


def _quad(stage: Stage, s0: float, s1: float, z0: float, z1: float) -> FloatArray | None:
    """Return the pixels of a ground rectangle, cut in front of the camera, or None."""
    z0 = max(z0, stage.camera.z + 1.5)
    if z1 <= z0 or min(stage.locate(s, z0)[1] for s in (s0, s1)) < NEAR_M:
        return None
    return stage.points([(s0, 0, z0), (s1, 0, z0), (s1, 0, z1), (s0, 0, z1)])


def _edge_lines(stage: Stage, markings: Markings, gaps: Gaps) -> Iterator[FloatArray]:
    start = math.floor(stage.camera.z / 8) * 8.0
    for z in np.arange(start, start + 48, 8.0):
        if _interrupted(gaps, float(z), 8.0):
            continue
        for gap in markings.edge_lines:
            for side in (-1, 1):
                s = side * (stage.street.half - gap)
                yield from _some(_quad(stage, s - 0.05, s + 0.05, float(z), float(z) + 8.0))


def _interrupted(gaps: Gaps, z: float, length: float) -> bool:
    return any(c - h - 3 < z + length and z < c + h + 3 for c, h in gaps)


def _center(stage: Stage, markings: Markings, gaps: Gaps) -> Iterator[FloatArray]:
    dash, gap = (6.0, 0.0) if markings.solid_center else markings.dash
    step = dash + gap
    half = stage.street.half
    rows = (0.0, -half / 2, half / 2) if markings.lanes else (0.0,)
    index = math.floor(stage.camera.z / step)
    while index * step < stage.camera.z + SIGHT_M:
        z = index * step
        for s in rows:
            if not _interrupted(gaps, z, dash):
                yield from _some(_quad(stage, s - 0.06, s + 0.06, z, z + dash))
        index += 1


def _crossings(stage: Stage) -> Iterator[FloatArray]:
    """Yield zebra crossings, stop lines and arrows of the blocks in sight."""
    street = stage.street
    first = math.floor(stage.camera.z / BLOCK_M)
    for block in range(first, first + 3):
        rng = stream(street.seed, 29, block)
        crossing = street.crossing(block)
        kind = rng.random()
        z = block * BLOCK_M + rng.uniform(22, 40)
        if crossing:
            stop = crossing[0] - crossing[1] - 2.2
            ends = (0.1, street.side * (street.half - 0.2))
            yield from _some(_quad(stage, min(ends), max(ends), stop, stop + 0.3))
            z = stop - 8
        if kind < 0.3:
            count = int(street.half * 2 / 1.0)
            for i in range(count):
                s = -street.half + 0.25 + i
                yield from _some(_quad(stage, s, s + 0.5, z - 1.3, z + 1.3))
        elif kind < 0.6:
            lane = street.side * street.half / 2
            if z > stage.camera.z + 2.5:
                head = [(lane + s, 0.0, z + dz) for s, dz in ARROW[2:6]]
                yield stage.points(head)
                yield from _some(_quad(stage, lane - 0.08, lane + 0.08, z, z + 2.2))


def _some(quad: FloatArray | None) -> Iterator[FloatArray]:
    if quad is not None:
        yield quad
