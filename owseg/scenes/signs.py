"""Pictures of traffic signs and traffic lights."""

from __future__ import annotations

import random
from functools import lru_cache

import cv2
import numpy as np

from owseg.scenes.colors import near
from owseg.scenes.seeds import stream
from owseg.scenes.sprite import Sprite
from owseg.scenes.stage import to_u8
from owseg.types import UInt8Array


@lru_cache(maxsize=64)
def sign(variant: int) -> Sprite:
    """Return a sign plate, 0.5 to 1 m high, hanging between 1.6 and 2.6 m."""
    rng = stream(97, variant)
    kind = rng.choice(
        ["ring", "triangle", "blue", "direction", "parking", "board", "yellow", "stop"]
    )
    size = 96
    picture, mask = np.zeros((size, size, 3), np.uint8), np.zeros((size, size), np.uint8)
    back = rng.choice([(30, 80, 160), (20, 100, 60), (230, 228, 220), (240, 200, 40)])
    if kind in ("ring", "blue"):
        cv2.circle(mask, (48, 48), 46, 255, -1)
        picture[...] = (190, 30, 34) if kind == "ring" else (36, 84, 170)
        if kind == "ring":
            cv2.circle(picture, (48, 48), 34, (236, 236, 232), -1)
    elif kind == "triangle":
        corners = np.array([(48, 4), (94, 88), (2, 88)], np.int32)
        cv2.fillConvexPoly(mask, corners, 255)
        picture[...] = (196, 32, 34)
        cv2.fillConvexPoly(
            picture, np.array([(48, 24), (78, 80), (18, 80)], np.int32), (238, 238, 234)
        )
    elif kind == "stop":
        angles = np.pi / 8 + np.arange(8) * np.pi / 4
        cv2.fillConvexPoly(
            mask,
            np.stack([48 + 47 * np.cos(angles), 48 + 47 * np.sin(angles)], 1).astype(np.int32),
            255,
        )
        picture[...] = (184, 28, 32)
    else:
        top = rng.randint(2, 30) if kind in ("direction", "board") else 4
        mask[top : 96 - top, 2:94] = 255
        picture[...] = {"parking": (32, 78, 168), "yellow": (236, 196, 40)}.get(kind, back)
        edge = (240, 240, 236) if int(picture[48, 48].astype(int).sum()) < 500 else (30, 30, 30)
        cv2.rectangle(picture, (6, top + 4), (90, 91 - top), edge, 2)
    _glyphs(picture, rng)
    grime = 0.9 + 0.15 * np.linspace(1, 0, size, dtype=np.float32)[:, None, None]
    return Sprite(
        color=to_u8(picture * grime),
        alpha=mask,
        height_m=rng.uniform(0.55, 0.95),
        lift_m=rng.uniform(1.7, 2.5),
    )


def _glyphs(picture: UInt8Array, rng: random.Random) -> None:
    """Write a symbol or two lines that resemble text into the middle of a sign."""
    ink = (24, 24, 26) if picture[48, 48].sum() > 400 else (240, 240, 236)
    if rng.random() < 0.5:
        text = rng.choice(["30", "P", "20", "STOP", "!", "40", "50"])
        (w, h), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_DUPLEX, 1.0, 2)
        cv2.putText(picture, text, (48 - w // 2, 52 + h // 2), cv2.FONT_HERSHEY_DUPLEX, 1.0, ink, 3)
        return
    for row in (40, 52, 64):
        x = rng.randint(22, 36)
        while x < 70:
            step = rng.randint(4, 12)
            cv2.rectangle(picture, (x, row), (x + step - 3, row + 5), ink, -1)
            x += step


@lru_cache(maxsize=16)
def signal(state: int) -> Sprite:
    """Return the head of a traffic light: state modulo 3 is red, amber, green."""
    rng = stream(101, state)
    picture = np.empty((96, 40, 3), np.uint8)
    picture[...] = near(rng, (30, 32, 34), 0.3)
    for i, color in enumerate([(250, 50, 40), (250, 180, 50), (60, 240, 130)]):
        on = i == state % 3
        shade = color if on else tuple(c // 6 for c in color)
        cv2.circle(picture, (20, 18 + 30 * i), 12, shade, -1, cv2.LINE_AA)
        cv2.circle(picture, (20, 18 + 30 * i), 13, (16, 16, 18), 2, cv2.LINE_AA)
    alpha = np.full((96, 40), 255, np.uint8)
    if state % 2:
        picture[:3] = picture[-3:] = (230, 230, 226)
        picture[:, :3] = picture[:, -3:] = (230, 230, 226)
    return Sprite(color=picture, alpha=alpha, height_m=1.0, lift_m=2.4)
