"""Facades: pictures of the street fronts of houses, shops and offices."""

from __future__ import annotations

import random
from functools import lru_cache

import cv2
import numpy as np

from owseg.scenes import materials
from owseg.scenes.colors import Color, any_of, near, scaled, vivid
from owseg.scenes.materials import WALL_PX
from owseg.scenes.noise import fbm, patch
from owseg.scenes.seeds import stream
from owseg.scenes.sprite import Sprite
from owseg.scenes.stage import to_u8
from owseg.types import FloatArray

BRICK: list[Color] = [
    (150, 84, 62),
    (132, 74, 58),
    (170, 110, 78),
    (186, 158, 116),
    (120, 92, 78),
    (160, 140, 110),
]
RENDER: list[Color] = [
    (214, 206, 190),
    (196, 184, 160),
    (226, 224, 218),
    (200, 170, 140),
    (170, 180, 186),
    (206, 190, 150),
]
STONE: list[Color] = [(186, 172, 144), (160, 152, 138), (140, 132, 120), (200, 188, 160)]
FRAME: list[Color] = [(232, 232, 228), (222, 220, 212), (60, 56, 54), (96, 74, 58), (40, 60, 52)]

SHARE = {"shops": 0.95, "terrace": 0.06, "suburb": 0.0, "park": 0.0, "offices": 0.3}
"""How often the ground floor is a shop, by style."""
VARIANTS = 40
"""Different fronts per style."""


class _Front:
    """A front that is being drawn; coordinates in metres from the lower left corner."""

    def __init__(self, picture: FloatArray, lamps: bool) -> None:
        self.picture, self.lamps = picture, lamps
        self.h, self.w = picture.shape[:2]

    def rect(self, x: float, y: float, w: float, h: float, color: Color) -> None:
        """Fill a rectangle."""
        x0, x1 = round(x * WALL_PX), round((x + w) * WALL_PX)
        y0, y1 = self.h - round((y + h) * WALL_PX), self.h - round(y * WALL_PX)
        self.picture[max(0, y0) : max(0, y1), max(0, x0) : max(0, x1)] = color

    def dim(self, x: float, y: float, w: float, h: float, gain: float) -> None:
        """Darken a rectangle."""
        x0, x1 = round(x * WALL_PX), round((x + w) * WALL_PX)
        y0, y1 = self.h - round((y + h) * WALL_PX), self.h - round(y * WALL_PX)
        self.picture[max(0, y0) : max(0, y1), max(0, x0) : max(0, x1)] *= gain

    def glass(self, rng: random.Random, x: float, y: float, w: float, h: float) -> None:
        """Fill a rectangle with a pane: dark room, curtain, reflection, or lamp light."""
        x0, x1 = max(0, round(x * WALL_PX)), round((x + w) * WALL_PX)
        y0, y1 = max(0, self.h - round((y + h) * WALL_PX)), max(0, self.h - round(y * WALL_PX))
        area = self.picture[y0:y1, x0:x1]
        if not area.size:
            return
        rows, cols = area.shape[:2]
        ramp = np.linspace(1, 0, rows, dtype=np.float32)[:, None, None]
        sky = rng.choice([0.0, 0.0, 40.0, 90.0])
        pane = np.array(near(rng, (40, 46, 54), 0.3), np.float32) + ramp * sky * np.array(
            (0.9, 0.97, 1.05), np.float32
        )
        blur = patch(fbm(60, 128, 4, 4), cols, rows, rng.randrange(128), rng.randrange(128))[
            ..., None
        ]
        pane = pane * (0.6 + 0.8 * blur)
        if self.lamps and rng.random() < 0.5:
            pane = np.array(near(rng, (255, 214, 140), 0.12), np.float32) * (0.7 + 0.6 * blur)
        area[...] = pane
        if rng.random() < 0.35:
            drop = rng.uniform(0.1, 0.6)
            area[: int(rows * drop)] = np.array(near(rng, (206, 200, 186), 0.15)) * (
                1.3 if self.lamps else 0.85
            )


def _window(
    front: _Front,
    rng: random.Random,
    x: float,
    y: float,
    w: float,
    h: float,
    frame: Color,
    kind: int,
) -> None:
    """Draw a window with frame, bars, sill and lintel."""
    front.dim(x - 0.1, y - 0.02, w + 0.2, h + 0.12, 0.75)
    if kind != 2:
        front.rect(
            x - 0.12, y + h, w + 0.24, 0.16, scaled(frame, 0.82) if kind else (176, 160, 136)
        )
    front.rect(x - 0.04, y, w + 0.08, h, frame)
    front.glass(rng, x + 0.05, y + 0.06, w - 0.1, h - 0.12)
    bar = 0.05
    if kind == 0:
        front.rect(x, y + h * 0.5, w, bar, frame)
        front.rect(x + w / 2 - bar / 2, y, bar, h, frame)
    elif kind == 1:
        front.rect(x, y + h * 0.68, w, bar, frame)
    else:
        for i in (1, 2):
            front.rect(x + w * i / 3 - bar / 2, y, bar, h, frame)
    front.rect(x - 0.1, y - 0.1, w + 0.2, 0.1, scaled(frame, 0.85))
    front.dim(x - 0.1, y - 0.22, w + 0.2, 0.12, 0.7)


def _door(front: _Front, rng: random.Random, x: float, frame: Color) -> None:
    """Draw a house door with a light above it."""
    color = rng.choice([vivid(rng), (40, 44, 60), (60, 36, 30), (30, 60, 44)])
    front.rect(x - 0.15, 0, 1.25, 2.75, frame)
    front.glass(rng, x, 2.2, 0.95, 0.4)
    front.rect(x, 0, 0.95, 2.1, scaled(color, 0.8))
    for i in (0, 1):
        for j in (0, 1):
            front.dim(x + 0.12 + 0.4 * i, 0.25 + 0.95 * j, 0.3, 0.7, 0.8)
    front.rect(x - 0.2, 0, 1.4, 0.16, (150, 146, 140))


def _letters(
    front: _Front, rng: random.Random, x: float, y: float, w: float, h: float, color: Color
) -> None:
    """Draw something that looks like writing."""
    cursor = x
    while cursor < x + w:
        wide = h * rng.uniform(0.35, 0.75)
        if rng.random() < 0.85:
            front.rect(cursor, y, h * 0.14, h, color)
            for part in rng.sample((0.0, 0.42, 0.86), rng.randint(1, 3)):
                front.rect(cursor, y + part * h, wide * 0.8, h * 0.14, color)
            if rng.random() < 0.5:
                front.rect(cursor + wide * 0.7, y, h * 0.14, h * rng.choice([0.5, 1.0]), color)
        cursor += wide + h * 0.15


def _shop(front: _Front, rng: random.Random, w: float, height: float) -> None:
    """Draw a shop front: panes, door, fascia with writing, sometimes an awning."""
    color = rng.choice([vivid(rng), near(rng, (36, 40, 48), 0.5), near(rng, (190, 180, 160), 0.2)])
    front.rect(0, 0, w, height, scaled(color, 0.8))
    x, door_at = 0.25, rng.randrange(3)
    panes = max(2, round(w / 2.2))
    step = (w - 0.4) / panes
    for i in range(panes):
        if i == door_at % panes:
            front.rect(x, 0, step - 0.1, height - 0.85, scaled(color, 0.6))
            front.glass(rng, x + 0.1, 0.15, step - 0.3, height - 1.1)
        else:
            front.glass(rng, x, 0.5, step - 0.15, height - 1.35)
            for _ in range(rng.randint(2, 8)):
                size = rng.uniform(0.1, 0.4)
                goods = scaled(vivid(rng), 1.2 if front.lamps else 0.6)
                front.rect(
                    x + rng.random() * (step - 0.6), 0.55 + rng.random() * 0.5, size, size, goods
                )
        x += step
    back, ink = scaled(color, 0.95), rng.choice([(236, 232, 222), (30, 30, 30), (230, 200, 80)])
    front.rect(0.1, height - 0.75, w - 0.2, 0.6, back)
    text = rng.uniform(0.35, 0.75) * w
    _letters(front, rng, (w - text) / 2, height - 0.6, text, 0.3, ink)
    front.dim(0, height - 0.87, w, 0.12, 0.55)
    if rng.random() < 0.3:
        stripe = vivid(rng)
        for i in range(int(w / 0.4)):
            front.rect(0.4 * i, height - 1.25, 0.4, 0.55, stripe if i % 2 else (230, 226, 216))
        front.dim(0, height - 1.5, w, 0.25, 0.5)


def _curtain_wall(front: _Front, rng: random.Random, w: float, h: float) -> None:
    """Draw an office front: bands or a grid of glass."""
    step, floor = rng.uniform(1.1, 2.4), rng.uniform(3.0, 3.6)
    pane = floor * rng.uniform(0.45, 0.85)
    y = rng.choice([0.4, floor])
    front.glass(rng, 0.3, 0.3, w - 0.6, floor - 0.8)
    while y + pane < h - 0.3:
        x = 0.2
        while x + step <= w:
            front.glass(rng, x, y + 0.3, step - 0.12, pane)
            x += step
        front.dim(0, y + 0.18, w, 0.12, 0.75)
        y += floor


def _wall(rng: random.Random, w: int, h: int, style: str) -> FloatArray:
    """Return a bare wall."""
    if style == "offices":
        color = any_of(rng, [(150, 150, 150), (190, 184, 174), (110, 112, 118), *BRICK[:3]])
        return materials.concrete(rng, w, h, color)
    kind = rng.random()
    if kind < 0.55:
        return materials.bricks(rng, w, h, any_of(rng, BRICK))
    if kind < 0.85:
        return materials.plaster(rng, w, h, any_of(rng, RENDER))
    return materials.ashlar(rng, w, h, any_of(rng, STONE))


def _storeys(front: _Front, rng: random.Random, w: float, h: float, style: str) -> None:
    """Draw ground floor and upper floors."""
    frame, kind = any_of(rng, FRAME, 0.05), rng.randrange(3)
    floor = rng.uniform(2.9, 3.5)
    columns = max(1, round(w / rng.uniform(2.0, 3.4)))
    win_w, win_h = rng.uniform(0.9, 1.3), rng.uniform(1.3, 1.9)
    step = w / columns
    shop = rng.random() < SHARE[style]
    if shop:
        _shop(front, rng, w, min(floor + 0.4, 3.8))
    else:
        door = rng.randrange(columns)
        for i in range(columns):
            x = (i + 0.5) * step
            if i == door:
                _door(front, rng, x - 0.47, frame)
            else:
                _window(front, rng, x - win_w / 2, 0.95, win_w, win_h, frame, kind)
    y = floor + (0.5 if shop else 0.0)
    if rng.random() < 0.4:
        front.rect(0, y - 0.1, w, 0.18, scaled(frame, 0.9))
    while y + win_h + 1.0 < h:
        for i in range(columns):
            _window(front, rng, (i + 0.5) * step - win_w / 2, y + 0.9, win_w, win_h, frame, kind)
        y += floor


def front_size(style: str, variant: int) -> tuple[float, float]:
    """Return width and height in metres of a front."""
    rng = stream(53, sorted(SHARE).index(style), variant)
    low, high = {"offices": (9, 20), "shops": (8, 15), "terrace": (6.5, 11)}.get(style, (5, 7.5))
    return rng.uniform(5, 11) * (1.8 if style == "offices" else 1), rng.uniform(low, high)


@lru_cache(maxsize=512)
def facade(style: str, variant: int, lamps: bool) -> Sprite:
    """Return front number `variant` of a style; its `height_m` is the height of the eaves.

    Args:
        style: "shops", "terrace", "suburb", "park" or "offices".
        variant: 0 to `VARIANTS` - 1.
        lamps: whether some windows are lit from inside.
    """
    rng = stream(57, sorted(SHARE).index(style), variant)
    w, h = front_size(style, variant)
    front = _Front(_wall(rng, round(w * WALL_PX), round(h * WALL_PX), style), lamps)
    if lamps:
        front.picture *= 0.8
    if style == "offices":
        _curtain_wall(front, rng, w, h)
    else:
        _storeys(front, rng, w, h, style)
    trim = any_of(rng, [*RENDER, (70, 66, 62)])
    front.rect(0, h - 0.3, w, 0.3, scaled(trim, 0.9))
    front.dim(0, h - 0.5, w, 0.2, 0.6)
    if rng.random() < 0.6:
        front.rect(rng.choice([0.1, w - 0.2]), 0, 0.1, h, (70, 70, 72))
    rise = np.linspace(1.04, 0.88, front.h, dtype=np.float32)[:, None, None]
    color = to_u8(front.picture * rise)
    return Sprite(color=color, alpha=np.full(color.shape[:2], 255, np.uint8), height_m=h)


@lru_cache(maxsize=64)
def blank_wall(variant: int) -> Sprite:
    """Return the side wall of a house, with few windows."""
    rng = stream(59, variant)
    w, h = 8.0, 8.0
    front = _Front(_wall(rng, round(w * WALL_PX), round(h * WALL_PX), "terrace"), lamps=False)
    for _ in range(rng.randint(0, 3)):
        _window(
            front, rng, rng.uniform(0.5, 6.5), rng.choice([1.0, 4.2]), 0.9, 1.2, (220, 220, 214), 1
        )
    color = to_u8(front.picture)
    return Sprite(color=color, alpha=np.full(color.shape[:2], 255, np.uint8), height_m=h)


@lru_cache(maxsize=16)
def roof(variant: int) -> Sprite:
    """Return the picture of a roof."""
    rng = stream(61, variant)
    color = any_of(rng, [(92, 92, 98), (110, 100, 96), (150, 88, 66), (126, 80, 62), (84, 86, 84)])
    picture = to_u8(
        cv2.GaussianBlur(materials.slates(rng, 256, 128, color), (0, 0), 0.6).astype(np.float32)
    )
    return Sprite(color=picture, alpha=np.full(picture.shape[:2], 255, np.uint8), height_m=4.0)
