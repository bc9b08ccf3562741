"""Street furniture: lamps, signs on posts, traffic lights, bollards and fences."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import lru_cache

import numpy as np

from owseg.scenes import materials
from owseg.scenes.colors import Color, any_of, near, vivid
from owseg.scenes.facades import BRICK, STONE
from owseg.scenes.scene import SIGN
from owseg.scenes.seeds import stream
from owseg.scenes.signs import sign, signal
from owseg.scenes.sprite import Sprite
from owseg.scenes.stage import to_u8
from owseg.scenes.things import Board, Pole

METALS: list[Color] = [(120, 124, 126), (60, 64, 66), (150, 152, 150), (40, 60, 50), (90, 80, 70)]


FENCE_KINDS = ("railing", "wood", "brick", "stone", "mesh", "picket")


@lru_cache(maxsize=48)
def fence(kind: str, variant: int) -> Sprite:
    """Return 3 m of fence: 96 columns, 1 m is 32 rows."""
    rng = stream(89, FENCE_KINDS.index(kind), variant)
    w = 96
    h = round(
        32
        * {"railing": 1.2, "wood": 1.8, "brick": 1.1, "stone": 1.2, "mesh": 1.9, "picket": 1.0}[
            kind
        ]
    )
    alpha = np.full((h, w), 255, np.uint8)
    if kind in ("brick", "stone"):
        make = materials.bricks if kind == "brick" else materials.ashlar
        picture = make(rng, w, h, any_of(rng, BRICK if kind == "brick" else STONE))
        picture[:4] = near(rng, (170, 164, 152), 0.1)
        picture[4:6] *= 0.6
    elif kind == "wood":
        picture = materials.plaster(
            rng, w, h, any_of(rng, [(130, 96, 66), (110, 92, 74), (92, 84, 74), (150, 110, 70)])
        )
        picture[:, ::8] *= 0.55
        picture[:, 1::8] *= 0.85
        picture[[3, 4, h - 8, h - 7]] *= 0.8
    else:
        color = near(
            rng, rng.choice([(34, 36, 38), (60, 70, 64), (226, 226, 220), (110, 114, 116)]), 0.1
        )
        picture = np.broadcast_to(np.array(color, np.float32), (h, w, 3)).copy()
        alpha[...] = 0
        step, thick = {"railing": (6, 2), "mesh": (6, 1), "picket": (6, 4)}[kind]
        for k in range(thick):
            alpha[:, k::step] = 255
        if kind == "mesh":
            alpha[::6] = 255
        for bar in (2, 3, h - 7, h - 6):
            alpha[bar] = 255
        alpha[:, :3] = 255
    return Sprite(color=to_u8(picture), alpha=alpha, height_m=h / 32)


def signpost(rng: random.Random, s: float, z: float) -> list[Pole | Board]:
    """Return a sign on its post."""
    plate = sign(rng.randrange(48))
    metal = any_of(rng, METALS)
    top = plate.lift_m + plate.height_m
    return [
        Pole(s=s, z=z, height=top, width=0.08, color=metal),
        Board(picture=lambda _: plate, s=s, z=z - 0.05, label=SIGN, facing=rng.uniform(-0.2, 0.9)),
    ]


def hanging_sign(rng: random.Random, s: float, z: float) -> Board:
    """Return a sign that sticks out from a shop front."""
    plate = sign(rng.randrange(48))
    hung = replace(plate, lift_m=rng.uniform(2.4, 3.4), height_m=rng.uniform(0.6, 1.2))
    return Board(picture=lambda _: hung, s=s, z=z, label=SIGN, facing=rng.uniform(-0.4, 0.7))


def traffic_light(rng: random.Random, s: float, z: float) -> list[Pole | Board]:
    """Return a traffic light on its post."""
    head = signal(rng.randrange(6))
    return [
        Pole(s=s, z=z, height=2.6, width=0.12, color=(48, 50, 52)),
        Board(picture=lambda _: head, s=s, z=z - 0.05, label=SIGN, facing=0.9),
    ]


def lamp_post(rng: random.Random, s: float, z: float) -> Pole:
    """Return a street lamp whose arm reaches over the road."""
    arm = rng.choice([0.0, 1.2, 1.8]) * (-1 if s > 0 else 1)
    height = rng.uniform(4.5, 8.5)
    return Pole(
        s=s, z=z, height=height, width=rng.uniform(0.1, 0.16), color=any_of(rng, METALS), arm=arm
    )


def bollard(rng: random.Random, s: float, z: float) -> Pole:
    """Return a bollard."""
    color = rng.choice([(34, 34, 36), (200, 200, 196), vivid(rng)])
    return Pole(s=s, z=z, height=rng.uniform(0.8, 1.1), width=rng.uniform(0.12, 0.22), color=color)
