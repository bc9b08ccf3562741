"""The sky: a gradient, clouds, and the skyline where the street ends."""

from __future__ import annotations

import math
from functools import lru_cache

import cv2
import numpy as np

from owseg.scenes.noise import fbm
from owseg.scenes.scene import BUILDING, SKY, TREE
from owseg.scenes.seeds import stream
from owseg.scenes.stage import Stage, to_u8
from owseg.types import FloatArray, UInt8Array

SKYLINE_WIDTH = 2048
"""Columns of the skyline for a full turn of 180 degrees."""


def paint_sky(stage: Stage, seed: int) -> None:
    """Paint the sky from the top to just below the horizon."""
    canvas, light, camera = stage.canvas, stage.light, stage.camera
    rows = min(canvas.height, math.ceil(camera.horizon_px) + 6)
    if rows <= 0:
        return
    up = np.clip((camera.horizon_px - np.arange(0, rows, 2)) / (0.62 * camera.focal_px), 0, 1)
    top, low = np.array(light.sky_top, np.float32), np.array(light.sky_low, np.float32)
    base = low + (top - low) * (up.astype(np.float32) ** 0.7)[:, None, None]
    clouds = _clouds(stage, seed, rows)[..., None]
    half = to_u8(base + (np.array(light.cloud_color, np.float32) - base) * clouds)
    canvas.image[:rows] = cv2.resize(half, (camera.width, rows), interpolation=cv2.INTER_LINEAR)
    canvas.labels[:rows] = SKY


def _clouds(stage: Stage, seed: int, rows: int) -> FloatArray:
    """Return float32 cloud cover 0..1 of every other row and column: noise on a level sheet."""
    camera, cover = stage.camera, stage.light.cloud
    noise = fbm(200 + seed % 6, 256, 2, 6, 0.6)
    ys = (camera.horizon_px - np.arange(0, rows, 2, dtype=np.float32)[:, None]) / camera.focal_px
    xs = (
        np.arange(0, camera.width, 2, dtype=np.float32)[None, :] - camera.center_px
    ) / camera.focal_px
    far = 1 / (np.maximum(ys, 0) + 0.12)
    u = ((xs + camera.yaw) * far * 34 + (seed % 256)).astype(np.float32)
    v = np.broadcast_to((far * 34).astype(np.float32), u.shape)
    picked = cv2.remap(
        noise, u, np.ascontiguousarray(v), cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP
    )
    dense = np.clip((picked - (0.92 - 0.75 * cover)) * 3.2, 0, 1) * np.clip(ys * 9 + 0.25, 0, 1)
    return np.asarray(dense, np.float32)


@lru_cache(maxsize=16)
def _skyline(variant: int) -> tuple[FloatArray, FloatArray, UInt8Array]:
    """Return heights (radians), brightness and labels of the skyline, by direction."""
    rng = stream(31, variant)
    noise = fbm(300 + variant, 256, 4, 6)
    line = np.concatenate([noise[row] for row in range(0, 256, 32)])[:SKYLINE_WIDTH]
    height = 0.008 + 0.045 * rng.uniform(0.4, 1.4) * line
    shade = 46 + 50 * np.concatenate([noise[row] for row in range(7, 256, 32)])[:SKYLINE_WIDTH]
    label = np.full(SKYLINE_WIDTH, TREE, np.uint8)
    x = 0
    while x < SKYLINE_WIDTH:
        step = rng.randint(8, 60)
        if rng.random() < 0.45:
            height[x : x + step] = rng.uniform(0.02, 0.07)
            shade[x : x + step] = rng.uniform(80, 150)
            label[x : x + step] = BUILDING
        x += step
    return height.astype(np.float32), shade.astype(np.float32), label


def paint_skyline(stage: Stage, seed: int) -> None:
    """Paint distant trees and houses on the horizon."""
    camera, canvas = stage.camera, stage.canvas
    height, shade, label = _skyline(seed % 12)
    angle = (
        np.arctan((np.arange(camera.width) + 0.5 - camera.center_px) / camera.focal_px) + camera.yaw
    )
    column = (angle / math.pi * SKYLINE_WIDTH + SKYLINE_WIDTH // 2).astype(int) % SKYLINE_WIDTH
    top = camera.horizon_px - height[column] * camera.focal_px
    first = max(0, math.floor(float(top.min())))
    last = min(
        canvas.height, math.ceil(camera.horizon_px + camera.focal_px * camera.height_m / 170)
    )
    if last <= first:
        return
    rows = np.arange(first, last)[:, None]
    inside = rows + 0.5 > top[None, :]
    tint = np.where((label == TREE)[column, None], (0.75, 0.95, 0.6), (1.0, 0.95, 0.9))
    base = shade[column, None] * tint
    veil = max(0.25, stage.light.veil(150))
    color = base * np.array(stage.light.gain(0)) * (1 - veil) + np.array(stage.light.air) * veil
    area = canvas.image[first:last]
    area[inside] = np.broadcast_to(np.clip(color, 0, 255).astype(np.uint8), area.shape)[inside]
    labels = canvas.labels[first:last]
    labels[inside] = np.broadcast_to(label[column], labels.shape)[inside]
