"""Traffic: what moves.

Every mover follows from its number and the time, so any frame of a drive can be drawn alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

from owseg.scenes.cars import Vehicle
from owseg.scenes.people import HEADINGS, PHASES, bicyclist, pedestrian
from owseg.scenes.scene import BICYCLIST, PEDESTRIAN
from owseg.scenes.seeds import stream
from owseg.scenes.things import Board
from owseg.scenes.vehicle_mesh import any_vehicle
from owseg.scenes.world import World

FIRST_ID = 60000
"""Instance numbers of moving vehicles start here."""


def movers(world: World, time: float, z: float) -> Iterator[Vehicle | Board]:
    """Yield all moving things at a time, for a camera at position z."""
    yield from _oncoming(world, time, z)
    yield from _leading(world, time)
    yield from _walking(world, time, z)
    yield from _riding(world, time, z)


def ego_position(world: World, time: float) -> float:
    """Return the position of the camera along the street."""
    return 1.0 + world.config.speed * time


def _oncoming(world: World, time: float, z: float) -> Iterator[Vehicle]:
    """Yield cars that come towards the camera, a queue without end."""
    config, street = world.config, world.street
    if config.cars <= 0:
        return
    gap, speed = 42.0 / config.cars, 9.0
    first = math.floor((z + speed * time) / gap)
    for k in range(first, first + math.ceil(170 / gap)):
        rng = stream(config.seed, 103, k)
        if rng.random() > 0.75:
            continue
        mesh = any_vehicle(rng)
        at = (k + rng.uniform(0, 0.5)) * gap - speed * time
        lane = -street.side * min(street.half - 1.1, max(1.2, street.half * 0.42))
        yield Vehicle(
            mesh=mesh,
            s=lane + rng.uniform(-0.2, 0.2),
            z=at,
            yaw=math.pi,
            instance=FIRST_ID + k % 4000,
        )


def _leading(world: World, time: float) -> Iterator[Vehicle]:
    """Yield the cars ahead in the own lane; they keep their distance and avoid obstacles too."""
    config, street = world.config, world.street
    ahead = 0.0
    for k in range(4):
        rng = stream(config.seed, 107, k)
        chosen = rng.random() < 0.45 * config.cars
        ahead += rng.uniform(9, 38) if k else rng.uniform(10, 45)
        if not chosen:
            continue
        mesh = any_vehicle(rng)
        z = ego_position(world, time) + ahead + mesh.length / 2 + 2.5 * math.sin(time * 0.4 + k)
        s = street.lane + world.swerve(z)
        yield Vehicle(mesh=mesh, s=s, z=z, yaw=0.0, instance=FIRST_ID + 4500 + k)


def _heading(yaw: float) -> int:
    """Return the picture number for someone who walks at an angle to the viewing direction."""
    return round(yaw / (2 * math.pi) * HEADINGS) % HEADINGS


def _walking(world: World, time: float, z: float) -> Iterator[Board]:
    """Yield people who walk along the pavements, and some who cross the road."""
    config, street = world.config, world.street
    if config.people <= 0:
        return
    for lane in range(4):
        side, way = (-1, 1)[lane % 2], (-1, 1)[lane // 2]
        gap, speed = 26.0 / config.people, way * 1.3
        first = math.floor((z - speed * time) / gap)
        for k in range(first, first + math.ceil(70 / gap) + 1):
            rng = stream(config.seed, 109, lane, k)
            at = (k + rng.uniform(0, 0.8)) * gap + speed * time
            s = side * (street.half + rng.uniform(0.5, max(0.6, street.pavement - 0.3)))
            phase = math.floor(time * 6 + rng.randrange(PHASES)) % PHASES
            heading = _heading(0.0 if way < 0 else math.pi)
            who, chosen = rng.randrange(20), rng.random() < 0.6
            if rng.random() < 0.1:
                across = (time * 1.1 + rng.uniform(0, 40)) % 40
                s, heading = side * (street.half + 1 - across), _heading(-side * math.pi / 2)
                at = (k + 0.5) * gap
                chosen = chosen and across < 2 * street.half + 2
            if chosen:
                body = partial(pedestrian, who, phase, heading)
                yield Board(
                    picture=body,
                    s=s,
                    z=at,
                    label=PEDESTRIAN,
                    footprint=0.35,
                    facing=rng.uniform(-0.3, 0.7),
                )


def _riding(world: World, time: float, z: float) -> Iterator[Board]:
    """Yield bicyclists at the edges of the road."""
    config, street = world.config, world.street
    if config.people <= 0:
        return
    for way in (-1, 1):
        gap, speed = 26.0 / config.people, way * 4.5
        first = math.floor((z - speed * time) / gap)
        for k in range(first, first + math.ceil(90 / gap) + 1):
            rng = stream(config.seed, 113, way, k)
            at = (k + rng.uniform(0, 0.8)) * gap + speed * time
            s = way * street.side * (street.half - rng.uniform(0.5, 1.1))
            phase = math.floor(time * 8 + rng.randrange(PHASES)) % PHASES
            heading = _heading(
                (math.pi if way > 0 else 0.0) + rng.choice([-0.79, 0.0, 0.0, 0.79]) * (at % 1 > 2)
            )
            who, chosen = rng.randrange(14), rng.random() < 0.6
            if chosen:
                rider = partial(bicyclist, who, phase, heading)
                yield Board(
                    picture=rider,
                    s=s,
                    z=at,
                    label=BICYCLIST,
                    footprint=0.5,
                    facing=rng.uniform(-0.3, 0.7),
                )
