"""The canvas: image, labels and instances that are painted together, far to near."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from owseg.scenes.sprite import Sprite
from owseg.types import FloatArray, UInt8Array

SHIFT = 3
"""Fractional bits of polygon coordinates."""

_SHARPER = np.clip((np.arange(256) - 181) * (255 / 74), 0, 255).astype(np.uint8)
"""OpenCV's soft edges reach a pixel beyond the polygon; this cuts them back to it."""

Box = tuple[int, int, int, int]


class Canvas:
    """Image, labels and instances of one frame.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        labels: (H, W) uint8.
        instances: (H, W) uint16.
    """

    def __init__(self, width: int, height: int) -> None:
        """Start with a black sky."""
        self.width, self.height = width, height
        self.image = np.zeros((height, width, 3), np.uint8)
        self.labels = np.zeros((height, width), np.uint8)
        self.instances = np.zeros((height, width), np.uint16)

    def clip(self, x0: float, y0: float, x1: float, y1: float) -> Box | None:
        """Return the whole pixels that a box touches, or None where it misses the canvas."""
        if not (x0 < self.width and y0 < self.height and x1 > 0 and y1 > 0):
            return None
        left, top = max(0, math.floor(x0)), max(0, math.floor(y0))
        right, bottom = min(self.width, math.ceil(x1)), min(self.height, math.ceil(y1))
        return (left, top, right, bottom) if right > left and bottom > top else None

    def blend(
        self,
        box: Box,
        color: UInt8Array,
        alpha: UInt8Array,
        label: int,
        instance: int = 0,
        solid: UInt8Array | None = None,
    ) -> None:
        """Paint a picture into a box; labels change where it covers at least half of a pixel.

        Args:
            box: left, top, right, bottom in pixels, inside the canvas.
            color: (h, w, 3) uint8, C-contiguous.
            alpha: (h, w) uint8 coverage.
            label: label id.
            instance: instance number, 0 for none.
            solid: (h, w) uint8 outline for labels where it differs from alpha.
        """
        x0, y0, x1, y1 = box
        weight = alpha * np.float32(1 / 255)
        target = self.image[y0:y1, x0:x1]
        target[...] = cv2.blendLinear(color, np.ascontiguousarray(target), weight, 1 - weight)
        inside = (alpha if solid is None else solid) > 127
        self.labels[y0:y1, x0:x1][inside] = label
        self.instances[y0:y1, x0:x1][inside] = instance

    def polygons(
        self, shapes: Sequence[FloatArray], color: Sequence[float], label: int, instance: int = 0
    ) -> None:
        """Paint convex (N, 2) polygons with soft edges in one colour."""
        every = shapes[0] if len(shapes) == 1 else np.concatenate(shapes)
        (x0, y0), (x1, y1) = every.min(axis=0).tolist(), every.max(axis=0).tolist()
        box = self.clip(x0 - 1, y0 - 1, x1 + 1, y1 + 1)
        if box is None:
            return
        mask = polygon_mask(shapes, box)
        plain = np.empty((*mask.shape, 3), np.uint8)
        plain[...] = [min(255, max(0, round(c))) for c in color]
        self.blend(box, plain, mask, label, instance)

    def sprite(
        self,
        sprite: Sprite,
        u: float,
        v: float,
        scale: float,
        table: UInt8Array,
        label: int,
        instance: int = 0,
        flip: bool = False,
    ) -> None:
        """Paint a sprite.

        Args:
            sprite: what to paint.
            u: column of its centre.
            v: row of its lower edge.
            scale: pixels of the canvas per pixel of the sprite.
            table: (256, 1, 3) uint8, colours as lit and seen through haze.
            label: label id.
            instance: instance number, 0 for none.
            flip: mirror left and right.
        """
        h, w = sprite.alpha.shape
        box = self.clip(u - scale * w / 2, v - scale * h, u + scale * w / 2, v)
        if box is None:
            return
        (color, alpha, solid), rest = sprite.at(scale)
        left, top = u - scale * w / 2 - box[0], v - scale * h - box[1]
        gain = -rest if flip else rest
        start = left + scale * w if flip else left
        matrix = np.array([[gain, 0, start + gain / 2 - 0.5], [0, rest, top + rest / 2 - 0.5]])
        size = (box[2] - box[0], box[3] - box[1])
        cover = np.asarray(cv2.warpAffine(alpha, matrix, size), np.uint8)
        shown = cv2.warpAffine(color, matrix, size, borderMode=cv2.BORDER_REPLICATE)
        outline = None
        if solid is not alpha:
            outline = np.asarray(cv2.warpAffine(solid, matrix, size), np.uint8)
        self.blend(
            box, np.asarray(cv2.LUT(shown, table), np.uint8), cover, label, instance, outline
        )


def polygon_mask(shapes: Sequence[FloatArray], box: Box) -> UInt8Array:
    """Return (h, w) uint8 coverage of convex polygons (N, 2) inside a box of the canvas."""
    x0, y0, x1, y1 = box
    mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
    offset = np.array([x0 + 0.5, y0 + 0.5], np.float32)
    for shape in shapes:
        fixed = np.rint(np.minimum(np.maximum(shape - offset, -8000), 8000) * (1 << SHIFT))
        cv2.fillConvexPoly(mask, fixed.astype(np.int32), 255, cv2.LINE_AA, SHIFT)
    return np.asarray(cv2.LUT(mask, _SHARPER), np.uint8)
