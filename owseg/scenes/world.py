"""The world: an endless street, laid out block by block from the seed."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from functools import lru_cache, partial

from owseg.scenes.buildings import Building
from owseg.scenes.cars import Vehicle
from owseg.scenes.config import SceneConfig
from owseg.scenes.facades import SHARE
from owseg.scenes.frontage import Frontage
from owseg.scenes.furniture import bollard, lamp_post, signpost, traffic_light
from owseg.scenes.people import HEADINGS, pedestrian
from owseg.scenes.scene import PEDESTRIAN, STRANGE_ID
from owseg.scenes.seeds import stream
from owseg.scenes.strange import strange_sprite
from owseg.scenes.street import BLOCK_M, Street, make_street
from owseg.scenes.things import Board, Panel, Pole
from owseg.scenes.vehicle_mesh import any_vehicle

Thing = Building | Board | Panel | Pole | Vehicle
IDS_PER_BLOCK = 48
"""Instance numbers set aside for each block."""


class World:
    """Everything that stands still, by block.

    Attributes:
        config: what the world is made from.
        street: its plan.
    """

    def __init__(self, config: SceneConfig) -> None:
        """Prepare an empty world; blocks are laid out when they are first needed."""
        self.config = config
        self.street: Street = make_street(config)
        rng = stream(config.seed, 37)
        self._styles = tuple(self._style(rng) for _ in range(2))
        self._frontage = Frontage(config, self.street)
        self.block = lru_cache(maxsize=64)(self._block)
        self._hazards = lru_cache(maxsize=64)(self._list_hazards)

    def _style(self, rng: random.Random) -> str:
        """Return the style of one side."""
        return rng.choice(sorted(SHARE)) if self.config.style == "mixed" else self.config.style

    @property
    def green(self) -> tuple[bool, bool]:
        """Whether the land on the left and on the right is lawn."""
        left, right = (style in ("park", "suburb") for style in self._styles)
        return left, right

    def around(self, z: float, far: float) -> list[Thing]:
        """Return the still things from just behind a position to `far` metres ahead."""
        first, last = math.floor((z - 20) / BLOCK_M), math.floor((z + far) / BLOCK_M)
        return [thing for b in range(first, last + 1) for thing in self.block(b)]

    def swerve(self, z: float) -> float:
        """Return how far the own lane bends aside at a position, around strange objects."""
        first = math.floor((z - 40) / BLOCK_M)
        shift = 0.0
        for b in range(first, first + 3):
            for s, at in self._hazards(b):
                away = -1 if s > self.street.lane else 1
                overlap = max(0.0, 2.1 - abs(s - self.street.lane))
                shift += away * overlap * math.exp(-(((z - at) / 10) ** 2))
        limit = 1.9
        return max(-limit, min(limit, shift))

    def _list_hazards(self, b: int) -> list[tuple[float, float]]:
        """Return where strange objects lie on the road in a block."""
        return [(s, z) for s, z, _ in self._strange_spots(b) if abs(s) < self.street.half]

    def _strange_spots(self, b: int) -> list[tuple[float, float, random.Random]]:
        """Return where strange objects lie in a block, and the stream that shapes each."""
        rng = stream(self.config.seed, 43, b)
        mean = self.config.strange_per_100m * BLOCK_M / 100 if self.config.strange else 0.0
        count = min(20, int(mean) + (rng.random() < mean % 1))
        street, spots = self.street, []
        for k in range(count):
            z = (b + rng.random()) * BLOCK_M
            place = rng.random()
            if place < 0.5:
                s = street.side * rng.uniform(0.1, street.half - 0.3)
            elif place < 0.62:
                s = -street.side * rng.uniform(0.6, 1.0) * street.half
            else:
                s = rng.choice([-1, 1]) * (street.half + rng.uniform(0.3, street.pavement + 0.4))
            spots.append((s, z, stream(self.config.seed, 47, b, k)))
        return spots

    def _block(self, b: int) -> tuple[Thing, ...]:
        """Lay out one block."""
        rng = stream(self.config.seed, 41, b)
        things: list[Thing] = []
        start, end = b * BLOCK_M, (b + 1) * BLOCK_M
        crossing = self.street.crossing(b)
        begin = crossing[0] + crossing[1] + 2.5 if crossing else start
        ends = self.street.crossing(b + 1)
        stop = ends[0] - ends[1] - 2.5 if ends else end
        for side in (-1, 1):
            style = self._style_of(b, side)
            things += self._frontage.fill(rng, side, style, begin, min(stop, end))
            things += self._furniture(rng, side, begin, end)
        if crossing:
            things += self._corner(rng, crossing)
        things += self._parked(rng, b, begin + 4, min(stop, end) - 3)
        things += self._standing(rng, begin, end)
        things += self._strange(b)
        return tuple(things)

    def _style_of(self, b: int, side: int) -> str:
        """Return the style of one side of a block; mixed streets change now and then."""
        rng = stream(self.config.seed, 53, b, side)
        if self.config.style == "mixed" and rng.random() < 0.3:
            return rng.choice(sorted(SHARE))
        return self._styles[(side + 1) // 2]

    def _furniture(self, rng: random.Random, side: int, z0: float, z1: float) -> Iterator[Thing]:
        """Add lamps, signs and bollards at the kerb."""
        many, street = self.config.furniture, self.street
        kerb = side * (street.half + 0.45)
        z = z0 + rng.uniform(2, 14)
        while z < z1:
            if rng.random() < 0.65 * many:
                yield lamp_post(
                    rng, side * (street.half + rng.choice([0.4, street.pavement - 0.3])), z
                )
            z += rng.uniform(12, 22)
        for _ in range(int(rng.uniform(0, 3.6) * many + 0.4)):
            yield from signpost(
                rng, kerb if rng.random() < 0.7 else side * (street.edge - 0.3), rng.uniform(z0, z1)
            )
        if rng.random() < 0.25 * many:
            z = rng.uniform(z0, max(z0, z1 - 8))
            for k in range(rng.randint(3, 7)):
                yield bollard(rng, kerb, z + 1.5 * k)
        if rng.random() < 0.12 * many:
            yield from self._frontage.fence_row(
                rng, side * (street.half + 0.3), z0 + 4, z0 + rng.uniform(8, 18), 1.0
            )

    def _corner(self, rng: random.Random, crossing: tuple[float, float]) -> Iterator[Thing]:
        """Add traffic lights or signs where a side road comes in."""
        z, half = crossing
        lights = rng.random() < 0.5 * self.config.furniture
        for side in (-1, 1):
            s = side * (self.street.half + 0.6)
            for at in (z - half - 3.2, z + half + 3.2):
                if lights:
                    yield from traffic_light(rng, s, at)
                elif rng.random() < 0.4 * self.config.furniture:
                    yield from signpost(rng, s, at)

    def _parked(self, rng: random.Random, b: int, z0: float, z1: float) -> Iterator[Thing]:
        """Add rows of parked cars at the kerbs."""
        number = _first_id(b) + 1
        for side in (-1, 1):
            if rng.random() > 0.5 * self.config.cars or self.street.half < 3.2:
                continue
            z = z0 + rng.uniform(0, 10)
            while z < z1:
                mesh = any_vehicle(rng, parked=True)
                if z + mesh.length > z1:
                    break
                s = side * (self.street.half - mesh.width / 2 - rng.uniform(0.1, 0.25))
                if rng.random() < 0.75 and not self._blocked(
                    b, s, z + mesh.length / 2, mesh.length / 2 + 0.8
                ):
                    away = side == self.street.side or rng.random() < 0.25
                    yaw = (0.0 if away else math.pi) + rng.gauss(0, 0.02)
                    yield Vehicle(mesh=mesh, s=s, z=z + mesh.length / 2, yaw=yaw, instance=number)
                    number += 1
                z += mesh.length + rng.uniform(0.7, 2.5)

    def _blocked(self, b: int, s: float, z: float, reach: float) -> bool:
        """Return whether a strange object lies where a car would park."""
        return any(abs(s - hs) < 1.8 and abs(z - hz) < reach + 0.5 for hs, hz in self._hazards(b))

    def _standing(self, rng: random.Random, z0: float, z1: float) -> Iterator[Thing]:
        """Add people who wait on the pavements."""
        for _ in range(int(rng.uniform(0, 2.2) * self.config.people)):
            side = rng.choice([-1, 1])
            s = side * (self.street.half + rng.uniform(0.4, max(0.5, self.street.pavement - 0.3)))
            z, who, heading = rng.uniform(z0, z1), rng.randrange(20), rng.randrange(HEADINGS)
            for k in range(rng.choice([1, 1, 2])):
                body = partial(pedestrian, who + k, 0, heading)
                yield Board(
                    picture=body,
                    s=s + 0.6 * k,
                    z=z + 0.2 * k,
                    label=PEDESTRIAN,
                    footprint=0.35,
                    facing=rng.uniform(-0.3, 0.7),
                )

    def _strange(self, b: int) -> Iterator[Thing]:
        """Add the strange objects of a block."""
        kinds = self.config.strange
        for k, (s, z, rng) in enumerate(self._strange_spots(b)):
            picture = partial(strange_sprite, rng.choice(kinds), rng.randrange(6))
            yield Board(
                picture=picture,
                s=s,
                z=z,
                label=STRANGE_ID,
                instance=_first_id(b) + 24 + k,
                scale=rng.uniform(0.85, 1.3),
                flip=rng.random() < 0.5,
                footprint=-1.0,
                facing=rng.uniform(-0.2, 0.9),
            )


def _first_id(b: int) -> int:
    """Return the number before the instance numbers of a block."""
    return IDS_PER_BLOCK * ((b + 2) % 1200)
