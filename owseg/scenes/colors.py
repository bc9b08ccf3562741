"""Colours: random picks and small conversions. RGB, floats 0..255 unless said otherwise."""

from __future__ import annotations

import colorsys
import random
from collections.abc import Sequence

Color = tuple[float, float, float]


def hsv(hue: float, saturation: float, value: float) -> Color:
    """Return RGB 0..255 of hue, saturation and value, each 0..1."""
    r, g, b = colorsys.hsv_to_rgb(hue % 1.0, saturation, value)
    return 255 * r, 255 * g, 255 * b


def scaled(color: Color, factor: float) -> Color:
    """Return the colour times a factor, cut at 255."""
    r, g, b = (min(255.0, c * factor) for c in color)
    return r, g, b


def mixed(a: Color, b: Color, weight: float) -> Color:
    """Return the colour between a (weight 0) and b (weight 1)."""
    r, g, bl = (p + (q - p) * weight for p, q in zip(a, b, strict=True))
    return r, g, bl


def near(rng: random.Random, color: Color, spread: float) -> Color:
    """Return a colour near another one: common brightness and single channels vary."""
    gain = 1 + rng.uniform(-spread, spread)
    r, g, b = (
        min(255.0, max(0.0, c * gain * (1 + rng.uniform(-spread, spread) / 3))) for c in color
    )
    return r, g, b


def vivid(rng: random.Random) -> Color:
    """Return any strong colour."""
    return hsv(rng.random(), rng.uniform(0.5, 0.95), rng.uniform(0.4, 0.95))


def muted(rng: random.Random) -> Color:
    """Return any weak colour."""
    return hsv(rng.random(), rng.uniform(0.03, 0.4), rng.uniform(0.15, 0.85))


def any_of(rng: random.Random, colors: Sequence[Color], spread: float = 0.15) -> Color:
    """Return one of the colours, varied a little."""
    return near(rng, rng.choice(colors), spread)
