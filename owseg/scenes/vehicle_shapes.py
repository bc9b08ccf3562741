"""Proportions of the types of vehicles."""

from __future__ import annotations

from dataclasses import dataclass

Profile = tuple[tuple[float, float], ...]
"""Points (position along the car 0..1 from the rear, height in metres)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Proportions of a type of vehicle.

    Attributes:
        length: metres.
        width: metres.
        sill: height of the lower edge.
        belt: upper edge of the lower body, from the rear to the front.
        cabin: outline of the windows and the roof: four points (position, height).
        taper: width of the roof relative to the body.
        wheel: radius.
        share: how often the type occurs.
    """

    length: float
    width: float
    sill: float
    belt: Profile
    cabin: Profile
    taper: float
    wheel: float
    share: float


SHAPES: dict[str, Shape] = {
    "hatch": Shape(
        length=3.9,
        width=1.68,
        sill=0.22,
        belt=((0, 0.86), (0.02, 0.95), (0.68, 0.92), (0.97, 0.74), (1, 0.6)),
        cabin=((0.02, 0.93), (0.12, 1.42), (0.5, 1.46), (0.72, 0.92)),
        taper=0.76,
        wheel=0.3,
        share=3,
    ),
    "saloon": Shape(
        length=4.5,
        width=1.74,
        sill=0.22,
        belt=((0, 0.8), (0.02, 0.94), (0.7, 0.92), (0.97, 0.76), (1, 0.6)),
        cabin=((0.13, 0.94), (0.25, 1.38), (0.54, 1.42), (0.72, 0.92)),
        taper=0.74,
        wheel=0.31,
        share=3,
    ),
    "estate": Shape(
        length=4.6,
        width=1.74,
        sill=0.22,
        belt=((0, 0.84), (0.02, 0.96), (0.7, 0.93), (0.97, 0.76), (1, 0.6)),
        cabin=((0.02, 0.95), (0.08, 1.42), (0.54, 1.46), (0.72, 0.93)),
        taper=0.78,
        wheel=0.31,
        share=2,
    ),
    "suv": Shape(
        length=4.5,
        width=1.84,
        sill=0.34,
        belt=((0, 1.0), (0.02, 1.1), (0.7, 1.06), (0.97, 0.94), (1, 0.76)),
        cabin=((0.02, 1.08), (0.08, 1.66), (0.54, 1.7), (0.72, 1.06)),
        taper=0.82,
        wheel=0.37,
        share=2,
    ),
    "van": Shape(
        length=5.0,
        width=1.95,
        sill=0.3,
        belt=((0, 1.1), (0.01, 1.12), (0.8, 1.12), (0.97, 0.98), (1, 0.7)),
        cabin=((0.0, 1.12), (0.01, 2.15), (0.72, 2.2), (0.88, 1.1)),
        taper=0.9,
        wheel=0.34,
        share=1.2,
    ),
    "truck": Shape(
        length=7.5,
        width=2.3,
        sill=0.5,
        belt=((0, 1.2), (0.01, 1.2), (0.85, 1.2), (0.99, 1.2), (1, 0.9)),
        cabin=((0.0, 1.2), (0.002, 3.2), (0.92, 3.2), (0.99, 1.2)),
        taper=0.98,
        wheel=0.46,
        share=0.4,
    ),
    "bus": Shape(
        length=10.0,
        width=2.5,
        sill=0.35,
        belt=((0, 1.15), (0.01, 1.15), (0.9, 1.15), (0.995, 1.1), (1, 0.9)),
        cabin=((0.0, 1.15), (0.005, 3.0), (0.98, 3.05), (0.996, 1.1)),
        taper=0.97,
        wheel=0.48,
        share=0.4,
    ),
}
