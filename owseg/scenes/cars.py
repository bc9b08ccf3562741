"""Vehicles on the street: a mesh is projected, shaded and painted face by face."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from owseg.scenes.scene import CAR
from owseg.scenes.stage import Stage
from owseg.scenes.vehicle_mesh import Mesh
from owseg.types import FloatArray, UInt8Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Vehicle:
    """A vehicle on the street.

    Attributes:
        mesh: its body.
        s: position across the street.
        z: position of its middle along the street.
        yaw: heading relative to the street in radians, 0 away from the camera.
        instance: number in the instance map.
    """

    mesh: Mesh
    s: float
    z: float
    yaw: float
    instance: int

    @property
    def far(self) -> float:
        """Position for the painter's order."""
        return self.z

    def _world(self, stage: Stage, points: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return points in world axes and the rotation."""
        turn = self.yaw + math.atan(stage.street.slope(self.z))
        c, s = math.cos(turn), math.sin(turn)
        spin = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]], np.float32)
        middle = np.array([stage.street.center(self.z) + self.s, 0, self.z], np.float32)
        return points @ spin.T + middle, spin

    def shadow(self, stage: Stage) -> list[FloatArray]:
        """Return the darkness under the vehicle."""
        w, h = self.mesh.width * 0.56, self.mesh.length * 0.52
        lean = stage.light.sun_side * 0.25
        spots = np.array(
            [
                (-w - max(lean, 0), 0, -h),
                (w - min(lean, 0), 0, -h),
                (w - min(lean, 0), 0, h),
                (-w - max(lean, 0), 0, h),
            ],
            np.float32,
        )
        world, _ = self._world(stage, spots)
        seen = stage.camera.project(world)
        return [] if seen[:, 2].min() < 1.0 else [np.ascontiguousarray(seen[:, :2])]

    def draw(self, stage: Stage) -> None:
        """Paint the faces that are turned to the camera, far to near, at twice the resolution."""
        world, spin = self._world(stage, self.mesh.points)
        camera = stage.camera
        seen = camera.project(world)
        if seen[:, 2].min() < 1.0 or seen[:, 2].max() > 170:
            return
        (x0, y0), (x1, y1) = seen[:, :2].min(axis=0), seen[:, :2].max(axis=0)
        box = stage.canvas.clip(float(x0), float(y0), float(x1), float(y1))
        if box is None or y1 - y0 < 2:
            return
        fat = 2 if (box[2] - box[0]) * (box[3] - box[1]) < 40000 else 1
        colors, order = self._shaded(stage, world, spin, float(seen[:, 2].mean()))
        size = ((box[3] - box[1]) * fat, (box[2] - box[0]) * fat)
        picture, mask = np.zeros((*size, 3), np.uint8), np.zeros(size, np.uint8)
        fixed = np.rint(((seen[:, :2] - (box[0], box[1])) * fat - 0.5) * 8).astype(np.int32)
        for f in order:
            first, last = self.mesh.faces[f]
            corners = fixed[first:last]
            cv2.fillConvexPoly(picture, corners, colors[f], cv2.LINE_8, 3)
            cv2.fillConvexPoly(mask, corners, 255, cv2.LINE_8, 3)
        self._gloss(picture, float(y0 - box[1]) * fat, float(y1 - box[1]) * fat)
        if fat > 1:
            picture, mask = _shrink(picture, mask, box)
        stage.canvas.blend(box, picture, mask, CAR, self.instance)

    def _shaded(
        self, stage: Stage, world: FloatArray, spin: FloatArray, depth: float
    ) -> tuple[list[list[float]], list[int]]:
        """Return the lit colour of every face, and the visible faces from far to near."""
        mesh, camera, light = self.mesh, stage.camera, stage.light
        normals = mesh.normals @ spin.T
        firsts = world[mesh.firsts]
        eye = np.array([camera.x, camera.height_m, camera.z], np.float32)
        visible = ((eye - firsts) * normals).sum(1) > 0
        sun = np.array([light.sun_side * 0.75, 0.6, -0.25], np.float32)
        facing = np.clip(normals @ sun + (0.25 if light.sun_side == 0 else 0), -1, 1)
        lit, shaded = np.array(light.lit), np.array(light.shaded)
        gain = shaded + (lit - shaded) * ((facing + 1) / 2)[:, None]
        gain = gain * (0.82 + 0.3 * np.maximum(normals[:, 1:2], 0))
        color = mesh.colors * gain
        if light.lamps:
            color[mesh.glow] = np.minimum(255, mesh.colors[mesh.glow] * 1.6 + 20)
        veil = light.veil(depth)
        color = np.clip(color, 0, 255) * (1 - veil) + np.array(light.air) * veil
        order = np.flatnonzero(visible).tolist()
        return color.tolist(), order

    def _gloss(self, picture: UInt8Array, top: float, bottom: float) -> None:
        """Darken towards the ground, as bodywork mirrors the road below and the sky above."""
        rows = np.arange(picture.shape[0], dtype=np.float32)
        share = np.clip((rows - top) / max(1.0, bottom - top), 0, 1)
        gain = (1.1 - 0.32 * share)[:, None, None]
        picture[...] = np.clip(picture * gain, 0, 255)


def _shrink(
    picture: UInt8Array, mask: UInt8Array, box: tuple[int, int, int, int]
) -> tuple[UInt8Array, UInt8Array]:
    """Return picture and mask at half the size, without dark edges."""
    size = (box[2] - box[0], box[3] - box[1])
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    cover = np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_AREA), np.uint8)
    full = small * (255 / np.maximum(cover, 1).astype(np.float32))[..., None]
    return np.clip(full, 0, 255).astype(np.uint8), cover
