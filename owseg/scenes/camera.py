"""The camera: a pinhole that looks along the street, upright (no roll).

World axes: x to the right, y up from the ground, z along the street, in metres.
Pitch moves the horizon row, so that verticals stay vertical.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from owseg.types import FloatArray

NEAR_M = 0.6
"""Nothing nearer than this is drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """Pose and intrinsics of one frame.

    Attributes:
        width: columns of the image.
        height: rows of the image.
        focal_px: focal length in pixels.
        horizon_px: row of the horizon.
        height_m: height above the ground in metres.
        x: world x in metres.
        z: world z in metres.
        yaw: heading in radians, positive to the right.
    """

    width: int
    height: int
    focal_px: float
    horizon_px: float
    height_m: float
    x: float
    z: float
    yaw: float

    @property
    def center_px(self) -> float:
        """Column of the optical axis."""
        return self.width / 2

    def to_view(self, x: float, z: float) -> tuple[float, float]:
        """Return sideways offset and depth in metres of a world position."""
        dx, dz = x - self.x, z - self.z
        c, s = math.cos(self.yaw), math.sin(self.yaw)
        return dx * c - dz * s, dx * s + dz * c

    def pixel(self, across: float, up: float, depth: float) -> tuple[float, float]:
        """Return column and row of a point given by offset, height above ground and depth."""
        k = self.focal_px / depth
        return self.center_px + k * across, self.horizon_px + k * (self.height_m - up)

    def project(self, points: FloatArray) -> FloatArray:
        """Return (N, 3) column, row, depth of (N, 3) world points; depth is cut at `NEAR_M`."""
        dx, dz = points[:, 0] - self.x, points[:, 2] - self.z
        c, s = math.cos(self.yaw), math.sin(self.yaw)
        depth = np.maximum(dx * s + dz * c, NEAR_M)
        k = self.focal_px / depth
        u = self.center_px + k * (dx * c - dz * s)
        v = self.horizon_px + k * (self.height_m - points[:, 1])
        return np.stack([u, v, depth], axis=1).astype(np.float32)

    def ground(self, row: int) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return world x (h, W), world z (h, W) and depth (h, 1) of the ground from a row down."""
        rows = np.arange(row, self.height, dtype=np.float32)[:, None] + np.float32(0.5)
        cols = np.arange(self.width, dtype=np.float32)[None, :] + np.float32(0.5)
        depth = (self.focal_px * self.height_m / (rows - self.horizon_px)).astype(np.float32)
        across = (cols - np.float32(self.center_px)) * (depth / np.float32(self.focal_px))
        c, s = np.float32(math.cos(self.yaw)), np.float32(math.sin(self.yaw))
        x = across * c + (depth * s + np.float32(self.x))
        z = across * (-s) + (depth * c + np.float32(self.z))
        return x, z, depth
