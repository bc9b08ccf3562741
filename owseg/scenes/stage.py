"""The stage: canvas, camera, street and light of one frame, and how to paint on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from owseg.scenes.camera import NEAR_M, Camera
from owseg.scenes.canvas import Canvas, polygon_mask
from owseg.scenes.colors import Color
from owseg.scenes.lighting import Light
from owseg.scenes.sprite import Picture, Sprite
from owseg.scenes.street import Street
from owseg.types import FloatArray, UInt8Array

FAR_M = 160.0
"""Nothing beyond this is drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Everything a thing needs in order to draw itself.

    Attributes:
        canvas: what is painted.
        camera: the view.
        street: the plan.
        light: the light.
        time: seconds since the start of the drive.
    """

    canvas: Canvas
    camera: Camera
    street: Street
    light: Light
    time: float

    def locate(self, s: float, z: float) -> tuple[float, float]:
        """Return sideways offset and depth (metres) of a street position, seen by the camera."""
        return self.camera.to_view(self.street.center(z) + s, z)

    def points(self, spots: Sequence[tuple[float, float, float]]) -> FloatArray:
        """Return (N, 2) pixels of street points (s, height, z)."""
        pixels = []
        for s, up, z in spots:
            across, depth = self.locate(s, z)
            pixels.append(self.camera.pixel(across, up, max(depth, NEAR_M)))
        return np.array(pixels, np.float32)

    def billboard(
        self,
        picture: Picture,
        s: float,
        z: float,
        *,
        label: int,
        instance: int = 0,
        facing: float = 0.3,
        flip: bool = False,
        scale: float = 1.0,
    ) -> None:
        """Paint a sprite that stands at a street position and turns to the camera."""
        across, depth = self.locate(s, z)
        if not 1.2 < depth < FAR_M:
            return
        k = self.camera.focal_px / depth * scale
        if abs(across) * k > self.camera.width * scale / 2 + 5 * k * scale:
            return
        sprite = picture(round(2 * k))
        u, v = self.camera.pixel(across, sprite.lift_m * scale, depth)
        size = k * sprite.height_m
        if size < 2.5:
            return
        table = self.light.table(facing, depth)
        self.canvas.sprite(sprite, u, v, size / sprite.alpha.shape[0], table, label, instance, flip)

    def clipped(
        self, s0: float, z0: float, s1: float, z1: float
    ) -> tuple[float, float, float, float, float, float] | None:
        """Cut a ground segment at the near plane.

        Returns:
            Offset and depth of both ends, and the remaining range 0..1 of the segment; None
            where all of it lies behind the camera.
        """
        (a0, d0), (a1, d1) = self.locate(s0, z0), self.locate(s1, z1)
        t0, t1 = 0.0, 1.0
        if d0 < NEAR_M and d1 < NEAR_M:
            return None
        if d0 < NEAR_M:
            t0 = (NEAR_M - d0) / (d1 - d0)
            a0, d0 = a0 + (a1 - a0) * t0, NEAR_M
        elif d1 < NEAR_M:
            t1 = (NEAR_M - d0) / (d1 - d0)
            a1, d1 = a0 + (a1 - a0) * t1, NEAR_M
        return a0, d0, a1, d1, t0, t1

    def wall(
        self,
        texture: Sprite,
        s0: float,
        z0: float,
        s1: float,
        z1: float,
        *,
        low: float,
        high: float,
        label: int,
        facing: float,
        porous: bool = False,
    ) -> None:
        """Paint an upright wall from one street position to another.

        Args:
            texture: picture of the whole wall; it is stretched.
            s0: start of the wall, left edge of the picture.
            z0: start of the wall.
            s1: end of the wall.
            z1: end of the wall.
            low: height of the lower edge in metres.
            high: height of the upper edge in metres.
            label: label id.
            facing: -1 (shaded) to 1 (in the sun).
            porous: whether the picture has holes that show what is behind.
        """
        cut = self.clipped(s0, z0, s1, z1)
        if cut is None:
            return
        a0, d0, a1, d1, t0, t1 = cut
        if min(d0, d1) > FAR_M:
            return
        cam = self.camera
        (u0, top0), (_, bottom0) = cam.pixel(a0, high, d0), cam.pixel(a0, low, d0)
        (u1, top1), (_, bottom1) = cam.pixel(a1, high, d1), cam.pixel(a1, low, d1)
        box = self.canvas.clip(min(u0, u1), min(top0, top1), max(u0, u1), max(bottom0, bottom1))
        if box is None or box[3] - box[1] < 2:
            return
        quad = np.array([(u0, top0), (u1, top1), (u1, bottom1), (u0, bottom0)], np.float32)
        (color, alpha, _), _ = texture.at(
            max(1e-3, max(bottom0 - top0, bottom1 - top1) / texture.alpha.shape[0] * 0.8)
        )
        h, w = alpha.shape
        source = np.array([(t0 * w, 0), (t1 * w, 0), (t1 * w, h), (t0 * w, h)], np.float32)
        corner = np.array([box[0], box[1]], np.float32)
        matrix = cv2.getPerspectiveTransform(
            source - np.float32(0.5), quad - corner - np.float32(0.5)
        )
        size = (box[2] - box[0], box[3] - box[1])
        shown = cv2.warpPerspective(color, matrix, size, borderMode=cv2.BORDER_REPLICATE)
        lit = np.asarray(cv2.LUT(shown, self.light.table(facing, (d0 + d1) / 2)), np.uint8)
        mask = polygon_mask([quad], box)
        if porous:
            holes = np.asarray(cv2.warpPerspective(alpha, matrix, size), np.uint8)
            self.canvas.blend(box, lit, np.minimum(mask, holes), label, solid=mask)
        else:
            self.canvas.blend(box, lit, mask, label)

    def face(
        self,
        spots: Sequence[tuple[float, float, float]],
        color: Color,
        *,
        label: int,
        facing: float = 0.0,
        instance: int = 0,
    ) -> None:
        """Paint a flat polygon given by street points (s, height, z), if all lie ahead."""
        camera, pixels = self.camera, []
        for s, up, z in spots:
            across, depth = self.locate(s, z)
            if not NEAR_M < depth < FAR_M:
                return
            pixels.append(camera.pixel(across, up, depth))
        columns = [u for u, _ in pixels]
        if max(columns) < 0 or min(columns) > camera.width or max(columns) - min(columns) < 1:
            return
        seen = self.light.seen(color, facing, depth)
        self.canvas.polygons([np.array(pixels, np.float32)], seen, label, instance)


class Item(Protocol):
    """A thing in the world."""

    @property
    def far(self) -> float:
        """Position z for the painter's order; the largest is drawn first."""

    def draw(self, stage: Stage) -> None:
        """Paint the thing."""


def to_u8(picture: FloatArray) -> UInt8Array:
    """Return a float picture as uint8."""
    return np.clip(picture, 0, 255).astype(np.uint8)
