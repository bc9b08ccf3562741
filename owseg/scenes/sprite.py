"""Cut-outs: pictures with an outline, kept at several sizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import cv2
import numpy as np

from owseg.scenes.colors import Color
from owseg.types import FloatArray, UInt8Array

Picture = Callable[[int], "Sprite"]
"""A sprite that is drawn when first needed: takes the rows it will cover, returns it."""

SIZES = (24, 48, 96, 192)
"""Sizes in pixels at which sprites are drawn."""

Level = tuple[UInt8Array, UInt8Array, UInt8Array]


@dataclass(frozen=True, kw_only=True)
class Sprite:
    """A picture with an outline that stands in the world.

    Attributes:
        color: (h, w, 3) uint8 RGB; also defined a little outside the outline.
        alpha: (h, w) uint8 coverage.
        solid: (h, w) uint8, 255 inside the outline that the label map shows; often alpha itself.
        height_m: height of the picture in metres.
        lift_m: height of its lower edge above the ground in metres.
    """

    color: UInt8Array
    alpha: UInt8Array
    solid: UInt8Array = field(default_factory=lambda: np.zeros((0, 0), np.uint8))
    height_m: float = 1.0
    lift_m: float = 0.0

    @property
    def width_m(self) -> float:
        """Width of the picture in metres."""
        rows, columns = self.alpha.shape
        return self.height_m * int(columns) / int(rows)

    @cached_property
    def mean(self) -> Color:
        """Mean colour of the whole picture."""
        r, g, b = (float(c) for c in self.color.reshape(-1, 3).mean(axis=0))
        return r, g, b

    @cached_property
    def levels(self) -> tuple[Level, ...]:
        """The picture at full size, half, quarter and so on: colour, alpha, solid."""
        solid = self.solid if self.solid.size else self.alpha
        level: Level = (self.color, self.alpha, solid)
        out = [level]
        while min(level[1].shape) > 6 and len(out) < 6:
            level = (_half(level[0]), _half(level[1]), _half(level[2]))
            out.append(level)
        return tuple(out)

    def at(self, scale: float) -> tuple[Level, float]:
        """Return the level for drawing at `scale` and the scale that is left, mostly 0.5 to 1."""
        levels = self.levels
        index = 0
        while scale <= 0.5 and index + 1 < len(levels):
            scale, index = scale * 2, index + 1
        return levels[index], scale


def _half(picture: UInt8Array) -> UInt8Array:
    """Return a picture at half the size; odd sizes are padded first so that scales stay exact."""
    h, w = picture.shape[:2]
    if h % 2 or w % 2:
        picture = np.asarray(cv2.copyMakeBorder(picture, 0, h % 2, 0, w % 2, cv2.BORDER_REPLICATE))
    size = (picture.shape[1] // 2, picture.shape[0] // 2)
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def size_for(rows: int) -> int:
    """Return the size in `SIZES` at which to draw a sprite that covers some rows."""
    return next((size for size in SIZES if size >= rows), SIZES[-1])


def bleed(color: FloatArray, alpha: FloatArray) -> UInt8Array:
    """Return the colours continued across the outline, so that soft edges keep their hue.

    Args:
        color: (h, w, 3) float32, 0..255.
        alpha: (h, w) float32, 0..1.
    """
    weight = alpha[..., None]
    soft = cv2.blur(color * weight, (9, 9))
    mass = cv2.blur(alpha, (9, 9))[..., None]
    spread = soft / np.maximum(mass, 1e-3)
    return np.clip(np.where(weight > 0.5, color, spread), 0, 255).astype(np.uint8)
