"""What a drive looks like: one frozen configuration, checked once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from owseg.errors import UsageError
from owseg.scenes.strange import STRANGE_KINDS

LIGHTINGS = ("sunny", "overcast", "dusk")
STYLES = ("shops", "terrace", "suburb", "park", "offices", "mixed")
SIDES = ("left", "right")


@dataclass(frozen=True, kw_only=True)
class SceneConfig:
    """A street, the traffic in it, the light and the camera.

    Attributes:
        width: image columns, 64..4096.
        height: image rows, 48..4096.
        seed: which world; any integer.
        focal: focal length in image widths, 0.4..3 (0.8 sees 64 degrees).
        horizon: row of the horizon as a share of the height, 0.2..0.8.
        camera_height: metres above the road, 0.5..4.
        camera_yaw: heading relative to the street in degrees, -45..45.
        speed: metres per second, 0..40.
        lighting: one of `LIGHTINGS`.
        haze: 0 (clear) to 1 (fog).
        style: what stands beside the street, one of `STYLES`.
        traffic_side: the side vehicles drive on, "left" or "right".
        road_width: metres, 5..24.
        pavement_width: metres, 1..8.
        curvature: 0 (straight) to 1 (winding).
        crossings: share of blocks that begin with a side road, 0..1.
        trees: density, 0..3 (1 is usual); likewise cars, people and furniture.
        cars: density of parked and moving cars, 0..3.
        people: density of pedestrians and bicyclists, 0..3.
        furniture: density of poles, lamps, signs and traffic lights, 0..3.
        strange: kinds of strange objects that may appear; empty for none.
        strange_per_100m: mean number of strange objects on 100 m of street, 0..40.
        effects: strength of blur, noise, vignetting and compression, 0..2.

    Raises:
        UsageError: a value is out of range or unknown.
    """

    width: int = 480
    height: int = 360
    seed: int = 0
    focal: float = 0.8
    horizon: float = 0.48
    camera_height: float = 1.4
    camera_yaw: float = 0.0
    speed: float = 8.0
    lighting: str = "sunny"
    haze: float = 0.2
    style: str = "mixed"
    traffic_side: str = "left"
    road_width: float = 8.0
    pavement_width: float = 2.6
    curvature: float = 0.3
    crossings: float = 0.4
    trees: float = 1.0
    cars: float = 1.0
    people: float = 1.0
    furniture: float = 1.0
    strange: tuple[str, ...] = tuple(STRANGE_KINDS)
    strange_per_100m: float = 6.0
    effects: float = 1.0

    def __post_init__(self) -> None:
        """Check every value."""
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if (
                isinstance(value, bool)
                or not isinstance(value, (int, float))
                or not math.isfinite(value)
            ):
                raise UsageError(f"{name} must be a number, not {value!r}")
            if not low <= value <= high:
                raise UsageError(f"{name} must be within {low:g} to {high:g}, not {value:g}")
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise UsageError(
                    f"{name} must be one of {', '.join(known)}, not {getattr(self, name)!r}"
                )
        for kind in self.strange:
            if kind not in STRANGE_KINDS:
                raise UsageError(
                    f"unknown strange object {kind!r}; known ones are {', '.join(STRANGE_KINDS)}"
                )
        for name in ("width", "height", "seed"):
            if not isinstance(getattr(self, name), int):
                raise UsageError(f"{name} must be a whole number, not {getattr(self, name)!r}")

    @property
    def focal_px(self) -> float:
        """Focal length in pixels."""
        return self.focal * self.width


_RANGES = {
    "width": (64, 4096),
    "height": (48, 4096),
    "focal": (0.4, 3),
    "horizon": (0.2, 0.8),
    "camera_height": (0.5, 4),
    "camera_yaw": (-45, 45),
    "speed": (0, 40),
    "haze": (0, 1),
    "road_width": (5, 24),
    "pavement_width": (1, 8),
    "curvature": (0, 1),
    "crossings": (0, 1),
    "trees": (0, 3),
    "cars": (0, 3),
    "people": (0, 3),
    "furniture": (0, 3),
    "strange_per_100m": (0, 40),
    "effects": (0, 2),
}
_CHOICES = {"lighting": LIGHTINGS, "style": STYLES, "traffic_side": SIDES}


def random_config(
    rng: np.random.Generator, width: int = 480, height: int = 360, **overrides: Any
) -> SceneConfig:
    """Return a configuration drawn at random; world and camera resemble street data sets.

    Args:
        rng: source of randomness; the same state gives the same configuration.
        width: image columns.
        height: image rows.
        **overrides: fields of `SceneConfig` to be set as given.

    Raises:
        UsageError: an override is unknown or out of range.
    """
    values: dict[str, Any] = {
        "width": width,
        "height": height,
        "seed": int(rng.integers(1 << 40)),
        "focal": float(rng.uniform(0.72, 0.98)),
        "horizon": float(np.clip(rng.normal(0.5, 0.035), 0.38, 0.62)),
        "camera_height": float(rng.uniform(1.2, 1.65)),
        "camera_yaw": float(np.clip(rng.normal(0, 6), -25, 25)),
        "lighting": str(rng.choice(LIGHTINGS, p=(0.45, 0.4, 0.15))),
        "haze": float(rng.uniform(0, 0.5) ** 1.5),
        "style": str(rng.choice(STYLES, p=(0.2, 0.16, 0.14, 0.1, 0.1, 0.3))),
        "traffic_side": str(rng.choice(SIDES)),
        "road_width": float(rng.uniform(6.0, 11.5)),
        "pavement_width": float(rng.uniform(1.6, 4.2)),
        "curvature": float(rng.uniform(0, 1) ** 2),
        "crossings": float(rng.uniform(0.1, 0.8)),
        "trees": float(rng.uniform(0.2, 1.8)),
        "cars": float(rng.uniform(0.3, 1.8)),
        "people": float(rng.uniform(0.3, 2.6)),
        "furniture": float(rng.uniform(0.4, 1.8)),
        "strange_per_100m": float(rng.uniform(2, 14)),
        "effects": float(rng.uniform(0.4, 1.4)),
    }
    unknown = sorted(set(overrides) - set(SceneConfig.__dataclass_fields__))
    if unknown:
        raise UsageError(f"SceneConfig has no field {unknown[0]!r}")
    return SceneConfig(**(values | overrides))
