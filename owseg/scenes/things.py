"""Simple things in the street: poles, boards that face the camera, panels along the street."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from owseg.scenes.colors import Color
from owseg.scenes.scene import FENCE, POLE
from owseg.scenes.sprite import Picture, Sprite
from owseg.scenes.stage import Stage
from owseg.types import FloatArray

MIN_POLE_PX = 1.3
"""Poles are drawn at least this wide, so that distant ones do not flicker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pole:
    """A pole, with an arm and a lamp if wanted.

    Attributes:
        s: position across the street in metres.
        z: position along the street.
        height: metres.
        width: diameter in metres.
        color: colour.
        arm: length of an arm at the top towards larger s, may be negative; 0 for none.
        label: label id.
    """

    s: float
    z: float
    height: float
    width: float
    color: Color
    arm: float = 0.0
    label: int = POLE

    @property
    def far(self) -> float:
        """Position for the painter's order."""
        return self.z

    def shadow(self, stage: Stage) -> list[FloatArray]:
        """Return no shadow; that of a pole is too thin to matter."""
        return []

    def draw(self, stage: Stage) -> None:
        """Paint foot, shaft and arm."""
        across, depth = stage.locate(self.s, self.z)
        if not 1.5 < depth < 90:
            return
        cam, light = stage.camera, stage.light
        wide = max(MIN_POLE_PX, self.width * cam.focal_px / depth)
        (u, v0), (_, v1) = cam.pixel(across, 0, depth), cam.pixel(across, self.height, depth)
        shapes = [_upright(u, v0, v1, wide)]
        if self.height > 3:
            shapes.append(_upright(u, v0, v0 + (v1 - v0) * 0.16, wide * 1.7))
        if self.arm:
            k = cam.focal_px / depth
            end, rise = u + self.arm * k, v1 - 0.35 * k
            thin = max(MIN_POLE_PX, wide * 0.6)
            shapes.append(
                np.array(
                    [(u, v1), (end, rise), (end, rise + thin), (u, v1 + thin * 1.4)], np.float32
                )
            )
            head = max(2.0, 0.22 * k)
            shapes.append(
                np.array(
                    [
                        (end - head, rise - thin * 0.3),
                        (end + head, rise - thin * 0.3),
                        (end + head * 0.8, rise + thin * 1.5),
                        (end - head, rise + thin * 1.3),
                    ],
                    np.float32,
                )
            )
        stage.canvas.polygons(shapes, light.seen(self.color, 0.2, depth), self.label)
        if wide > 3:
            lit = light.seen(self.color, 0.9, depth)
            side = light.sun_side or -1
            stage.canvas.polygons(
                [_upright(u + side * wide * 0.22, v0, v1, wide * 0.3)], lit, self.label
            )


def _upright(u: float, v0: float, v1: float, wide: float) -> FloatArray:
    w = wide / 2
    return np.array([(u - w, v0), (u - w, v1), (u + w, v1), (u + w, v0)], np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """A picture that hangs or stands in the street and faces the camera: a sign, a signal, a tree.

    Attributes:
        picture: the sprite, drawn when it is first seen.
        s: position across the street in metres.
        z: position along the street.
        label: label id.
        instance: number in the instance map, 0 for none.
        scale: size relative to the picture's own.
        flip: mirror left and right.
        footprint: radius of the dark spot on the ground in metres; 0 for none, below 0 for one
            that fits the picture.
        facing: how much it is lit, -1 to 1.
        bias: added to z for the painter's order.
    """

    picture: Picture
    s: float
    z: float
    label: int
    instance: int = 0
    scale: float = 1.0
    flip: bool = False
    footprint: float = 0.0
    facing: float = 0.4
    bias: float = 0.0

    @property
    def far(self) -> float:
        """Position for the painter's order."""
        return self.z + self.bias

    def shadow(self, stage: Stage) -> list[FloatArray]:
        """Return a flat ellipse under the thing, shifted away from the sun."""
        if not self.footprint or not 2 < self.z - stage.camera.z < 40:
            return []
        r = self.scale * (self.footprint if self.footprint > 0 else 0.42 * self.picture(0).width_m)
        lean = -0.5 * stage.light.sun_side * r
        angles = np.linspace(0, 2 * np.pi, 9, endpoint=False).tolist()
        return [
            stage.points(
                [
                    (
                        self.s + lean + 1.25 * r * math.cos(a),
                        0,
                        self.z + 0.1 + 0.5 * r * math.sin(a),
                    )
                    for a in angles
                ]
            )
        ]

    def draw(self, stage: Stage) -> None:
        """Paint the picture."""
        stage.billboard(
            self.picture,
            self.s,
            self.z,
            label=self.label,
            instance=self.instance,
            facing=self.facing,
            flip=self.flip,
            scale=self.scale,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A piece of fence, wall or hedge along the street.

    Attributes:
        texture: its picture.
        s: position across the street.
        z0: near end.
        z1: far end.
        height: metres.
        label: label id.
        porous: whether one can see through.
    """

    texture: Sprite
    s: float
    z0: float
    z1: float
    height: float
    label: int = FENCE
    porous: bool = False

    @property
    def far(self) -> float:
        """Position for the painter's order."""
        return self.z1

    def shadow(self, stage: Stage) -> list[FloatArray]:
        """Return a narrow shadow at the foot."""
        z0 = max(self.z0, stage.camera.z + 1.5)
        if self.porous or z0 >= self.z1:
            return []
        lean = -stage.light.sun_side * self.height * min(0.8, stage.light.shadow_reach)
        near_s, far_s = self.s - 0.1, self.s + (lean or 0.2)
        return [
            stage.points(
                [(near_s, 0, z0), (far_s, 0, z0), (far_s, 0, self.z1), (near_s, 0, self.z1)]
            )
        ]

    def draw(self, stage: Stage) -> None:
        """Paint the panel."""
        side = 1 if self.s > 0 else -1
        stage.wall(
            self.texture,
            self.s,
            self.z0,
            self.s,
            self.z1,
            low=0,
            high=self.height,
            label=self.label,
            facing=stage.light.side_facing(side),
            porous=self.porous,
        )
