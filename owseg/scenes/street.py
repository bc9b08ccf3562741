"""The street in plan: where it bends, how wide it is, where side roads meet it.

Street coordinates: s metres to the right of the centre line, z metres along the street.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from owseg.scenes.config import SceneConfig
from owseg.scenes.seeds import stream
from owseg.types import FloatArray

BLOCK_M = 48.0
"""Length of the pieces in which the world is laid out."""
CORNER_M = 3.0
"""Radius of kerbs at side roads."""


@dataclass(frozen=True, kw_only=True)
class Street:
    """The plan of an endless street.

    Attributes:
        seed: which world.
        half: half the width of the road in metres.
        pavement: width of each pavement in metres.
        sway: two waves of the centre line: amplitude in metres, length in metres, phase.
        crossings: share of blocks that begin with a side road.
        side: +1 where traffic drives on the right, -1 on the left.
    """

    seed: int
    half: float
    pavement: float
    sway: tuple[tuple[float, float, float], tuple[float, float, float]]
    crossings: float
    side: int

    @property
    def edge(self) -> float:
        """Distance of the outer edge of the pavement from the centre line."""
        return self.half + self.pavement

    @property
    def lane(self) -> float:
        """Position s of the middle of the own lane."""
        return self.side * min(self.half * 0.5, 2.4)

    def center(self, z: float) -> float:
        """Return world x of the centre line."""
        (a, length, p), (b, short, q) = self.sway
        turn = 2 * math.pi * z
        return a * math.sin(turn / length + p) + b * math.sin(turn / short + q)

    def slope(self, z: float) -> float:
        """Return dx/dz of the centre line."""
        turn = 2 * math.pi
        return sum(
            a * turn / length * math.cos(turn * z / length + p) for a, length, p in self.sway
        )

    def centers(self, z: FloatArray) -> FloatArray:
        """Return world x of the centre line for an array of positions."""
        total = np.zeros_like(z)
        for a, length, p in self.sway:
            if a > 0:
                total += np.float32(a) * np.sin(
                    z * np.float32(2 * math.pi / length) + np.float32(p)
                )
        return total

    def crossing(self, block: int) -> tuple[float, float] | None:
        """Return position and half width of the side road at the start of a block, or None."""
        return _crossing(self.seed, block, self.crossings)

    def crossings_within(self, z0: float, z1: float) -> list[tuple[float, float]]:
        """Return all side roads between two positions."""
        first, last = math.floor(z0 / BLOCK_M) - 1, math.floor(z1 / BLOCK_M) + 1
        found = (self.crossing(b) for b in range(first, last + 1))
        return [c for c in found if c and z0 - 12 < c[0] < z1 + 12]


@lru_cache(maxsize=512)
def _crossing(seed: int, block: int, share: float) -> tuple[float, float] | None:
    rng = stream(seed, 23, block)
    if rng.random() >= share:
        return None
    half = rng.uniform(2.6, 4.2)
    return block * BLOCK_M + half + CORNER_M, half


def make_street(config: SceneConfig) -> Street:
    """Return the street of a configuration."""
    rng = stream(config.seed, 13)
    k = config.curvature
    return Street(
        seed=config.seed,
        half=config.road_width / 2,
        pavement=config.pavement_width,
        sway=(
            (k * rng.uniform(4, 14), rng.uniform(260, 420), rng.uniform(0, 6.3)),
            (k * rng.uniform(0, 2.5), rng.uniform(110, 180), rng.uniform(0, 6.3)),
        ),
        crossings=config.crossings,
        side=1 if config.traffic_side == "right" else -1,
    )
