"""The ground: one cross-section texture of road, kerbs, pavements and verges, in perspective."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from owseg.scenes import materials
from owseg.scenes.colors import Color, near
from owseg.scenes.materials import GROUND_PX
from owseg.scenes.noise import fbm
from owseg.scenes.scene import PAVEMENT, ROAD, TREE
from owseg.scenes.seeds import stream
from owseg.scenes.stage import Stage, to_u8
from owseg.scenes.street import CORNER_M, Street
from owseg.types import FloatArray, UInt8Array

REACH_M = 16.0
"""The texture covers s = -16 m to 16 m; beyond, its border is repeated."""
ROWS = 512
"""Rows of the texture; it repeats every 512 / 25 m = 20.48 m."""
KERB_M = 0.16
"""Width of the kerb."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """The look of the ground of a world.

    Attributes:
        levels: the cross-section texture at three resolutions, (rows + 1, columns, 3) uint8.
        detail: (256, 256) uint8 fine grain, 128 is neutral.
        green: whether the land beyond the left and the right pavement is lawn.
    """

    levels: tuple[UInt8Array, ...]
    detail: UInt8Array
    green: tuple[bool, bool]


def make_ground(street: Street, green: tuple[bool, bool]) -> Ground:
    """Return the ground of a world."""
    rng = stream(street.seed, 17)
    width = round(2 * REACH_M * GROUND_PX)
    variant = rng.randrange(10)
    s = np.asarray((np.arange(width) + 0.5) / GROUND_PX - REACH_M, np.float32)
    wear = _wear(s, street, rng.uniform(0.0, 0.12)) * rng.uniform(0.75, 1.2)
    strip = _times(_material("asphalt", variant), wear)
    beyond = np.abs(s) > street.half
    strip[:, beyond] = _material("slabs", rng.randrange(10))[:, beyond]
    for side in (0, 1):
        yard = (s < -street.edge) if side == 0 else (s > street.edge)
        if green[side]:
            strip[:, yard] = _material("grass", rng.randrange(10))[:, yard]
    kerb = np.abs(np.abs(s) - street.half - KERB_M / 2) < KERB_M / 2
    strip[:, kerb] = strip[:, kerb] // 3 + round(0.65 * rng.uniform(120, 190))
    gutter = np.abs(np.abs(s) - street.half + 0.12) < 0.12
    strip[:, gutter] = strip[:, gutter] // 5 * 4
    levels = [strip]
    for fx, fy in ((2, 4), (4, 16)):
        size = (width // fx, ROWS // fy)
        levels.append(np.asarray(cv2.resize(strip, size, interpolation=cv2.INTER_AREA), np.uint8))
    detail = to_u8(128 + 64 * (fbm(77, 256, 32, 4, 0.9) - 0.5))
    closed = tuple(np.ascontiguousarray(np.concatenate([t, t[:1]])) for t in levels)
    return Ground(levels=closed, detail=detail, green=green)


def _times(picture: UInt8Array, gain: FloatArray) -> UInt8Array:
    """Return a picture with every column times its gain."""
    fixed = np.rint(gain * 256).astype(np.uint16)[None, :, None]
    return np.asarray(np.minimum((picture * fixed) >> 8, 255), np.uint8)


def _wear(s: FloatArray, street: Street, strength: float) -> FloatArray:
    """Return the brightness across the road: wheel tracks are smoother and lighter."""
    gain = np.ones_like(s)
    for lane in (-street.lane, street.lane):
        for track in (-0.8, 0.8):
            gain += strength * np.exp(-(((s - lane - track) / 0.3) ** 2))
        gain -= strength * 0.8 * np.exp(-(((s - lane) / 0.25) ** 2))
    return gain


@lru_cache(maxsize=32)
def _material(name: str, variant: int) -> UInt8Array:
    """Return (ROWS, columns, 3) uint8 of a ground material."""
    rng = stream(41, variant, len(name))
    width = round(2 * REACH_M * GROUND_PX)
    if name == "asphalt":
        grey = rng.uniform(84, 132)
        color: Color = (grey, grey * rng.uniform(0.97, 1.02), grey * rng.uniform(0.95, 1.06))
        return to_u8(materials.asphalt(rng, width, ROWS, color))
    if name == "slabs":
        color = near(
            rng,
            rng.choice([(150, 146, 140), (166, 158, 146), (140, 130, 126), (128, 128, 130)]),
            0.12,
        )
        make = rng.choice([materials.slabs, materials.slabs, materials.asphalt])
        return to_u8(make(rng, width, ROWS, color))
    color = near(rng, rng.choice([(96, 116, 58), (84, 108, 50), (120, 124, 70)]), 0.15)
    return to_u8(materials.grass(rng, width, ROWS, color))


def paint_ground(stage: Stage, ground: Ground) -> None:
    """Paint everything below the horizon, out to 190 m."""
    camera, canvas = stage.camera, stage.canvas
    first = max(0, math.ceil(camera.horizon_px + camera.focal_px * camera.height_m / 190))
    if first >= canvas.height:
        return
    x, z, depth = camera.ground(first)
    s = x - stage.street.centers(z)
    labels = _labels(s, ground, stage.street)
    inner = _open_side_roads(stage, s, z, labels)
    color = _sample(ground, inner, z, depth)
    _veil(stage, color, depth)
    canvas.image[first:] = color
    canvas.labels[first:] = labels


def _labels(s: FloatArray, ground: Ground, street: Street) -> UInt8Array:
    """Return the label of each ground pixel, side roads aside."""
    away = np.abs(s)
    labels = np.full(s.shape, PAVEMENT, np.uint8)
    labels[away < street.half] = ROAD
    if ground.green[0]:
        labels[s < -street.edge] = TREE
    if ground.green[1]:
        labels[s > street.edge] = TREE
    return labels


def _open_side_roads(stage: Stage, s: FloatArray, z: FloatArray, labels: UInt8Array) -> FloatArray:
    """Mark side roads in the labels; return where across the texture each pixel looks."""
    street = stage.street
    inner: FloatArray = np.array(s)
    low, high = np.minimum(z[:, 0], z[:, -1]), np.maximum(z[:, 0], z[:, -1])
    for middle, half in street.crossings_within(stage.camera.z, stage.camera.z + 190):
        reach = half + max(CORNER_M, street.pavement) + 1
        rows = np.flatnonzero((low < middle + reach) & (high > middle - reach))
        if len(rows):
            part = slice(int(rows[0]), int(rows[-1]) + 1)
            inner[part] = _open_side_road(
                street, s[part], z[part], inner[part], labels[part], middle, half
            )
    return inner


def _open_side_road(
    street: Street,
    s: FloatArray,
    z: FloatArray,
    inner: FloatArray,
    labels: UInt8Array,
    middle: float,
    half: float,
) -> FloatArray:
    """Do the same for one side road, on the rows where it may lie."""
    along = np.abs(z - np.float32(middle)) - np.float32(half)
    aside = np.abs(s) - np.float32(street.half)
    beyond = aside > 0
    road = beyond & (along < 0)
    corner = beyond & (along >= 0) & (along < CORNER_M) & (aside < CORNER_M)
    gap = np.hypot(CORNER_M - along, CORNER_M - aside)
    road |= corner & (gap > CORNER_M)
    kerb = corner & (gap <= CORNER_M) & (gap > CORNER_M - KERB_M)
    kerb |= beyond & (along >= 0) & (along < KERB_M) & (aside >= CORNER_M)
    walk = (along >= 0) & (along < street.pavement) & (aside > street.pavement)
    labels[walk] = PAVEMENT
    labels[road] = ROAD
    inner = np.where(road, _fold(s, street.half - 0.5), inner)
    inner = np.where(kerb, np.float32(street.half + KERB_M / 2), inner)
    paved = street.half + 0.3 + _fold(aside, max(0.1, street.pavement - 0.6))
    inner = np.where(walk & ~kerb, paved, inner)
    return np.asarray(inner, np.float32)


def _fold(x: FloatArray, width: float) -> FloatArray:
    """Return positions folded to and fro into 0..width, so that a narrow texture covers all."""
    turn = np.float32(2 * width)
    return np.asarray(np.abs(x - np.rint(x / turn) * turn), np.float32)


def _sample(ground: Ground, s: FloatArray, z: FloatArray, depth: FloatArray) -> UInt8Array:
    """Return (h, W, 3) ground colours, each band of rows from a fitting resolution."""
    period = np.float32(ROWS / GROUND_PX)
    away, rim = np.abs(s), np.float32(REACH_M - 0.5)
    inside = np.where(away > rim, np.copysign(rim - _fold(away - rim, 2.0), s), s)
    u = (inside + np.float32(REACH_M)) * GROUND_PX
    v = (z - np.floor(z / period) * period) * GROUND_PX
    out = np.empty((*s.shape, 3), np.uint8)
    near_row = int(np.searchsorted(-depth[:, 0], -12.0))
    middle_row = int(np.searchsorted(-depth[:, 0], -34.0))
    bands = ((near_row, len(depth), 1, 1), (middle_row, near_row, 2, 4), (0, middle_row, 4, 16))
    for texture, (top, bottom, fx, fy) in zip(ground.levels, bands, strict=True):
        if bottom > top:
            ux, vy = u[top:bottom] / np.float32(fx), v[top:bottom] / np.float32(fy)
            out[top:bottom] = cv2.remap(
                texture, ux, vy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
    _add_grain(ground, out[near_row:], s[near_row:], z[near_row:])
    return out


def _add_grain(ground: Ground, color: UInt8Array, s: FloatArray, z: FloatArray) -> None:
    """Add fine grain to near rows, where the texture alone would look smooth."""
    if not color.size:
        return
    fine = cv2.remap(
        ground.detail,
        s * np.float32(90),
        z * np.float32(60),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_WRAP,
    )
    color[...] = cv2.multiply(color, cv2.cvtColor(fine, cv2.COLOR_GRAY2RGB), scale=1 / 128)


def _veil(stage: Stage, color: UInt8Array, depth: FloatArray) -> None:
    """Apply light and haze, row by row."""
    light = stage.light
    close = int(np.searchsorted(-depth[:, 0], -0.015 * light.clear_m))
    color[close:] = cv2.LUT(color[close:], light.table(0.75, 1.0))
    color, depth = color[:close], depth[:close]
    veil = 1 - np.exp(-depth[:, 0] / np.float32(light.clear_m))
    gain = np.array(light.gain(0.75), np.float32)[None, :] * (1 - veil)[:, None]
    lift = np.array(light.air, np.float32)[None, :] * veil[:, None]
    color[...] = np.clip(color * gain[:, None, :] + lift[:, None, :], 0, 255)


def darken(stage: Stage, cast: Sequence[FloatArray], contact: Sequence[FloatArray]) -> None:
    """Paint shadows on the ground.

    Args:
        stage: where to paint.
        cast: (N, 2) pixel polygons of shadows that the sun casts.
        contact: (N, 2) pixel polygons of the darkness under things.
    """
    canvas = stage.canvas
    first = max(0, math.ceil(stage.camera.horizon_px))
    if first >= canvas.height or not (cast or contact):
        return
    mask = np.zeros((canvas.height - first, canvas.width), np.uint8)
    for shapes, strength in ((cast, stage.light.shadow), (contact, 0.55)):
        for shape in shapes:
            fixed = np.rint(np.clip(shape - (0, first), -9000, 9000)).astype(np.int32)
            cv2.fillConvexPoly(mask, fixed, round(255 * strength))
    soft = cv2.blur(mask, (5, 5))
    ground = canvas.image[first:]
    ground[...] = cv2.multiply(ground, cv2.cvtColor(255 - soft, cv2.COLOR_GRAY2RGB), scale=1 / 255)


def mark(stage: Stage, shapes: Sequence[FloatArray], color: Color, strength: float) -> None:
    """Paint road markings: worn paint over the asphalt; labels stay as they are."""
    canvas = stage.canvas
    first = max(0, math.ceil(stage.camera.horizon_px))
    if first >= canvas.height or not shapes:
        return
    mask: npt.NDArray[np.uint8] = np.zeros((canvas.height - first, canvas.width), np.uint8)
    fixed = [
        np.rint(np.clip(s - (0.5, first + 0.5), -4000, 4000) * 8).astype(np.int32) for s in shapes
    ]
    for shape in fixed:
        cv2.fillConvexPoly(mask, shape, 255, cv2.LINE_AA, 3)
    rows = np.flatnonzero(mask.any(axis=1))
    if not len(rows):
        return
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    weight = mask[top:bottom] * np.float32(strength / 255)
    area = canvas.image[first + top : first + bottom]
    paint = np.empty_like(area)
    paint[...] = np.clip(color, 0, 255)
    area[...] = cv2.blendLinear(paint, area, weight, 1 - weight)
