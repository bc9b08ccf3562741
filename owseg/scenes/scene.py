"""What the generator returns: one rendered frame with its exact ground truth."""

from __future__ import annotations

from dataclasses import dataclass

from owseg.types import UInt8Array, UInt16Array

STRANGE_ID = 254
"""Label of pixels of strange objects, things that no class of `CAMVID11` covers."""

SKY, BUILDING, POLE, ROAD, PAVEMENT, TREE, SIGN, FENCE, CAR, PEDESTRIAN, BICYCLIST = range(11)
"""Label ids of the known classes, in the order of `CAMVID11`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One rendered frame.

    Attributes:
        image: (H, W, 3) uint8, RGB.
        labels: (H, W) uint8, 0..10 as in `CAMVID11`, `STRANGE_ID` for strange objects.
            Porous things (railings, bare crowns, spoked wheels) are labelled as their outline.
        instances: (H, W) uint16, above 0 exactly where a car or a strange object is seen;
            an object keeps its number during a drive.
        stamp_ns: time since the epoch in nanoseconds, or since the start of the drive.
    """

    image: UInt8Array
    labels: UInt8Array
    instances: UInt16Array
    stamp_ns: int = 0
