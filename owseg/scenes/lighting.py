"""Light and air: where the sun is, how bright a surface is, how haze veils the distance."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from owseg.scenes.colors import Color, hsv, mixed
from owseg.scenes.config import SceneConfig
from owseg.scenes.seeds import stream
from owseg.types import UInt8Array


@dataclass(frozen=True, kw_only=True)
class Light:
    """The light of a world.

    Attributes:
        sun_side: -1 sun on the left, 1 on the right, 0 none to be seen.
        lit: factor of surfaces that face the sun, per channel.
        shaded: factor of surfaces that do not.
        sky_top: colour of the sky overhead.
        sky_low: colour of the sky at the horizon.
        cloud: cloud cover, 0..1.
        cloud_color: colour of clouds.
        shadow: how dark cast shadows are, 0..1.
        shadow_reach: length of a shadow per metre of height, across the street.
        air: colour of the haze.
        clear_m: distance at which 63 % of a thing is veiled.
        lamps: whether windows and head lamps shine.
    """

    sun_side: int
    lit: Color
    shaded: Color
    sky_top: Color
    sky_low: Color
    cloud: float
    cloud_color: Color
    shadow: float
    shadow_reach: float
    air: Color
    clear_m: float
    lamps: bool
    _tables: dict[tuple[int, int], UInt8Array] = field(default_factory=dict)

    def gain(self, facing: float) -> Color:
        """Return the light factor of a surface; facing is -1 (shaded) to 1 (in the sun)."""
        return mixed(self.shaded, self.lit, (facing + 1) / 2)

    def side_facing(self, side: int) -> float:
        """Return how much a wall on a side (-1 left, 1 right) that faces the street is lit."""
        return 0.1 if self.sun_side == 0 else float(-side * self.sun_side)

    def veil(self, depth: float) -> float:
        """Return how much haze covers a thing at a depth in metres, 0..1."""
        return 1 - math.exp(-max(0.0, depth) / self.clear_m)

    def table(self, facing: float, depth: float) -> UInt8Array:
        """Return (256, 1, 3) uint8: colour of a surface after light and haze."""
        key = (round(facing * 8), min(40, round(4 * math.log2(max(1.0, depth)))))
        if key not in self._tables:
            veil = self.veil(2.0 ** (key[1] / 4))
            gain = np.array(self.gain(key[0] / 8)) * (1 - veil)
            ramp = np.arange(256)[:, None] * gain + np.array(self.air) * veil
            self._tables[key] = np.clip(ramp, 0, 255).astype(np.uint8).reshape(256, 1, 3)
        return self._tables[key]

    def seen(self, color: Color, facing: float, depth: float) -> Color:
        """Return one colour after light and haze."""
        veil = self.veil(depth)
        r, g, b = (
            min(255.0, c * k) * (1 - veil) + a * veil
            for c, k, a in zip(color, self.gain(facing), self.air, strict=True)
        )
        return r, g, b


def make_light(config: SceneConfig) -> Light:
    """Return the light that belongs to a configuration."""
    rng = stream(config.seed, 11)
    white = rng.random() < 0.45
    if config.lighting == "sunny":
        low = (
            (236.0, 242.0, 250.0)
            if white
            else hsv(rng.uniform(0.54, 0.6), rng.uniform(0.06, 0.2), 0.97)
        )
        top = (
            (220.0, 234.0, 250.0)
            if white
            else hsv(rng.uniform(0.55, 0.61), rng.uniform(0.25, 0.55), rng.uniform(0.75, 0.95))
        )
        warm = rng.uniform(0.0, 0.12)
        strong = rng.uniform(1.05, 1.3)
        lit: Color = (strong, strong * (1 - warm / 2), strong * (1 - warm))
        dim = rng.uniform(0.4, 0.68)
        shaded: Color = (dim * 0.92, dim * 0.97, dim * 1.06)
        side, cloud, shadow = rng.choice([-1, 1]), rng.uniform(0, 0.6), rng.uniform(0.4, 0.66)
        cloud_color: Color = (250.0, 250.0, 250.0)
    elif config.lighting == "overcast":
        grey = rng.uniform(150, 246)
        low, top = (grey * 0.98, grey, grey * 1.01), (grey * 0.8, grey * 0.83, grey * 0.88)
        lit, shaded = (0.85, 0.87, 0.9), (0.6, 0.62, 0.65)
        side, cloud, shadow = 0, rng.uniform(0.4, 1.0), rng.uniform(0.15, 0.3)
        cloud_color = (grey * 0.7, grey * 0.72, grey * 0.76)
    else:
        glow = hsv(rng.uniform(0.02, 0.12), rng.uniform(0.2, 0.55), rng.uniform(0.6, 0.9))
        low, top = glow, hsv(rng.uniform(0.58, 0.66), rng.uniform(0.3, 0.5), rng.uniform(0.3, 0.5))
        lit, shaded = (0.58, 0.53, 0.53), (0.36, 0.37, 0.43)
        side, cloud, shadow = rng.choice([-1, 0, 1]), rng.uniform(0.2, 0.9), rng.uniform(0.1, 0.3)
        cloud_color = mixed(glow, (60, 56, 76), 0.6)
    return Light(
        sun_side=side,
        lit=lit,
        shaded=shaded,
        sky_top=top,
        sky_low=low,
        cloud=cloud,
        cloud_color=cloud_color,
        shadow=shadow,
        shadow_reach=rng.uniform(0.25, 1.6),
        air=mixed(low, (128, 128, 128), 0.12),
        clear_m=60 + 1100 * (1 - config.haze) ** 3,
        lamps=config.lighting == "dusk",
    )
