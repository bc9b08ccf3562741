"""The nouns that all parts share. Arrays are checked once, where they enter.

Conventions, kept everywhere:

- images are uint8 RGB, shape (H, W, 3), C-contiguous;
- anomaly scores lie in [0, 1] and grow with anomaly;
- label 255 in ground truth means "ignore"; id 255 in an open-set mask means "unknown";
- cluster id 0 means "no unknown object".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from owseg.errors import ImageError

UInt8Array = npt.NDArray[np.uint8]
UInt16Array = npt.NDArray[np.uint16]
FloatArray = npt.NDArray[np.float32]

IGNORE_ID = 255
"""Ground-truth label of pixels that count nowhere."""

UNKNOWN_ID = 255
"""Id of an unknown pixel in an open-set mask (uint8)."""

NO_CLUSTER = 0
"""Cluster id of pixels that belong to no unknown object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One camera image on its way through the system.

    Attributes:
        image: (H, W, 3) uint8, RGB, C-contiguous.
        stamp_ns: acquisition time in nanoseconds since the epoch.
        frame_id: the optical frame of the camera, copied to every output.
        index: running number within the source, from 0.

    Raises:
        ImageError: the image has another shape or dtype.
    """

    image: UInt8Array
    stamp_ns: int = 0
    frame_id: str = ""
    index: int = 0

    def __post_init__(self) -> None:
        """Check the array once, at the boundary."""
        shape, dtype = self.image.shape, self.image.dtype
        if len(shape) != 3 or shape[2] != 3 or dtype != np.uint8 or 0 in shape:
            raise ImageError(f"expected an (H, W, 3) uint8 RGB image, got {shape} {dtype}")

    @property
    def height(self) -> int:
        """Rows of the image."""
        return int(self.image.shape[0])

    @property
    def width(self) -> int:
        """Columns of the image."""
        return int(self.image.shape[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassInfo:
    """A class that the system can name.

    Attributes:
        id: value in the known map, 0..254.
        name: lower-case name, unique within a model.
        color: RGB, each 0..255.
    """

    id: int
    name: str
    color: tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """One unknown object in one frame.

    Attributes:
        id: its value in the cluster map; with tracking the same in every frame that shows it.
        area: pixels.
        box: column and row of its top left pixel, width and height, in pixels; the smallest
            that has all of it.
        mean_anomaly: mean anomaly score of its pixels, 0..1, at the resolution of the network.
        age: frames since it was first seen, this one included.
    """

    id: int
    area: int
    box: tuple[int, int, int, int]
    mean_anomaly: float
    age: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What the pipeline says about one frame, at the resolution of the frame.

    Attributes:
        frame: the frame it was computed from.
        known: (H, W) uint8, best known class of each pixel, whatever the anomaly score.
        anomaly: (H, W) float32 in [0, 1], calibrated anomaly score.
        open_set: (H, W) uint8, `known`, or 255 where the pixel is called unknown.
        clusters: (H, W) uint16, 0 = no unknown object, else the id of one. Without tracking
            the ids are 1, 2, ... without gaps.
        timings_ms: milliseconds by stage ("inference", "grouping", ...).
        classes: what the ids in `known` and `open_set` mean in this frame, in their order.
        objects: the unknown objects, where they are tracked; None = they are not.
        partition: (H, W) uint16, all pixels grouped, before they are known or unknown; None
            unless it was asked for.
    """

    frame: Frame
    known: UInt8Array
    anomaly: FloatArray
    open_set: UInt8Array
    clusters: UInt16Array
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    classes: tuple[ClassInfo, ...] = ()
    objects: tuple[Cluster, ...] | None = None
    partition: UInt16Array | None = None

    @property
    def num_clusters(self) -> int:
        """Number of unknown objects in the frame."""
        return int(self.clusters.max(initial=0)) if self.objects is None else len(self.objects)
