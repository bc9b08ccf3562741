"""Buildings: front, side wall, roof and chimneys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from owseg.scenes.colors import Color
from owseg.scenes.facades import blank_wall, roof
from owseg.scenes.scene import BUILDING
from owseg.scenes.sprite import Sprite
from owseg.scenes.stage import Stage
from owseg.types import FloatArray

ORDER_BIAS_M = 4.0
"""Buildings are drawn a little earlier than things at the same distance."""
DEPTH_M = 9.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Building:
    """A house beside the street.

    Attributes:
        front: returns the picture of the street front.
        side: -1 left of the street, 1 right.
        offset: distance of the front from the centre line in metres.
        z0: near end.
        z1: far end.
        height: height of the eaves in metres.
        ridge: height of the roof above the eaves, 0 for a flat roof.
        wall: variant of the side wall and the roof.
        exposed: whether the near side wall can be seen.
        chimneys: positions of chimneys, 0..1 along the front.
    """

    front: Callable[[], Sprite]
    side: int
    offset: float
    z0: float
    z1: float
    height: float
    ridge: float = 0.0
    wall: int = 0
    exposed: bool = True
    chimneys: tuple[float, ...] = ()

    @property
    def far(self) -> float:
        """Position for the painter's order."""
        return self.z1 + ORDER_BIAS_M

    def shadow(self, stage: Stage) -> list[FloatArray]:
        """Return the shadow on the ground, where the sun stands behind the house."""
        z0 = max(self.z0, stage.camera.z + 1.2)
        if stage.light.sun_side != self.side or self.z1 <= z0:
            return []
        reach = (self.height + self.ridge * 0.6) * stage.light.shadow_reach
        s0, s1 = self.side * self.offset, self.side * (self.offset - reach)
        return [stage.points([(s0, 0, z0), (s1, 0, z0), (s1, 0, self.z1), (s0, 0, self.z1)])]

    def draw(self, stage: Stage) -> None:
        """Paint chimneys, roof, side wall and front, in this order."""
        s, light = self.side * self.offset, stage.light
        facing = light.side_facing(self.side)
        back = self.side * (self.offset + DEPTH_M)
        if self.ridge > 0:
            self._roof(stage, s, facing)
        if self.exposed and self.z0 > stage.camera.z + 0.7:
            self._side_wall(stage, s, back)
        if self.z1 > stage.camera.z + 0.7:
            z0, z1 = (self.z0, self.z1) if self.side < 0 else (self.z1, self.z0)
            front = self.front()
            stage.wall(front, s, z0, s, z1, low=0, high=self.height, label=BUILDING, facing=facing)

    def _side_wall(self, stage: Stage, s: float, back: float) -> None:
        texture = blank_wall(self.wall % 24)
        facing = 0.15 if stage.light.sun_side else 0.0
        if self.ridge > 0:
            top = self.height + self.ridge
            spots = [
                (s, self.height, self.z0),
                (s + (back - s) * 0.45, top, self.z0),
                (back, self.height, self.z0),
            ]
            stage.face(spots, texture.mean, label=BUILDING, facing=facing)
        stage.wall(
            texture,
            s,
            self.z0,
            back,
            self.z0,
            low=0,
            high=self.height,
            label=BUILDING,
            facing=facing,
        )

    def _roof(self, stage: Stage, s: float, facing: float) -> None:
        z0 = max(self.z0, stage.camera.z + 0.8)
        if z0 >= self.z1:
            return
        top, inner = self.height + self.ridge, s + self.side * DEPTH_M * 0.45
        for share in self.chimneys if z0 < stage.camera.z + 70 else ():
            z = self.z0 + share * (self.z1 - self.z0)
            if z > z0:
                self._chimney(stage, inner, z, top)
        texture = roof(self.wall % 16)
        spots = [
            (s, self.height, z0),
            (inner, top, z0),
            (inner, top, self.z1),
            (s, self.height, self.z1),
        ]
        stage.face(spots, texture.mean, label=BUILDING, facing=min(1.0, facing + 0.35))

    def _chimney(self, stage: Stage, s: float, z: float, top: float) -> None:
        color: Color = (128.0, 84.0, 66.0)
        low, high = top - 0.6, top + 1.2
        spots = [(s - 0.4, low, z), (s + 0.4, low, z), (s + 0.4, high, z), (s - 0.4, high, z)]
        stage.face(spots, color, label=BUILDING, facing=-0.2)
        for pot in (-0.22, 0.1) if z < stage.camera.z + 35 else ():
            x = s + pot
            cap = [
                (x, high, z),
                (x + 0.18, high, z),
                (x + 0.18, high + 0.35, z),
                (x, high + 0.35, z),
            ]
            stage.face(cap, (170.0, 110.0, 80.0), label=BUILDING)
