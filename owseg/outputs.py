"""What a result is published as: the topics, and the array that each of them carries.

Recordings and nodes both take it from here, so that they hold the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from owseg.render import overlay, palette
from owseg.types import UNKNOWN_ID, ClassInfo, Cluster, Result, UInt8Array

MASK = "segmentation/mask"
CONFIDENCE = "segmentation/confidence"
LABELS = "segmentation/label_info"
PROBABILITY = "anomaly/probability"
CLUSTERS = "clusters/mask"
DETECTIONS = "clusters/detections"
OVERLAY = "overlay"

GROUPED = frozenset({CLUSTERS, DETECTIONS, OVERLAY})
"""Topics that show the unknown objects: the others need no grouping, unless a meta classifier
drops some of them, which the mask shows, too."""

OPACITY = 0.5
"""Of the classes in the overlay, unless another is chosen."""

UNKNOWN_NAME = "unknown"
"""Name of `UNKNOWN_ID` in `segmentation/label_info`, and class of all `clusters/detections`."""

_MAX_MONO8_CLUSTER = 254


def confidence(result: Result) -> UInt8Array:
    """Return 255 * (1 - anomaly) as (H, W) uint8."""
    scaled = cv2.convertScaleAbs(result.anomaly, alpha=-255.0, beta=255.0)
    return scaled.astype(np.uint8, copy=False)


def cluster_mask(result: Result) -> npt.NDArray[Any]:
    """Give cluster ids as uint8 where all are up to 254, as uint16 otherwise."""
    if int(result.clusters.max(initial=0)) <= _MAX_MONO8_CLUSTER:
        return result.clusters.astype(np.uint8)
    return result.clusters


class Detection(NamedTuple):
    """One unknown object, with the values of a `vision_msgs/msg/Detection2D`.

    Attributes:
        id: that of the object in the cluster map; it stays while the object is seen.
        class_id: `UNKNOWN_NAME`.
        score: mean anomaly score of its pixels, 0..1.
        x: column of the middle of its box, in pixels from the left edge of the image.
        y: row of the middle, from the top edge.
        width: of the box, in pixels.
        height: of the box, in pixels.
    """

    id: str
    class_id: str
    score: float
    x: float
    y: float
    width: float
    height: float


def detections(objects: Sequence[Cluster]) -> list[Detection]:
    """Return the objects as detections, in their order.

    A box of one pixel in the top left corner has its middle at (0.5, 0.5).
    """
    return [_detection(item) for item in objects]


def _detection(item: Cluster) -> Detection:
    left, top, width, height = map(float, item.box)
    x, y = left + width / 2, top + height / 2
    return Detection(str(item.id), UNKNOWN_NAME, item.mean_anomaly, x, y, width, height)


def label_names(classes: Sequence[ClassInfo]) -> list[tuple[int, str]]:
    """Return id and name of each class, and of "unknown", in the order of the ids."""
    return sorted(({info.id: info.name for info in classes} | {UNKNOWN_ID: UNKNOWN_NAME}).items())


def label_threshold(threshold: float) -> float:
    """Return the confidence below which a pixel is unknown; `threshold` is that of anomaly."""
    return 1.0 - threshold


def _overlay(result: Result, opacity: float) -> UInt8Array:
    return overlay(result, _colors(result.classes), opacity)


@lru_cache(maxsize=4)
def _colors(classes: tuple[ClassInfo, ...]) -> UInt8Array:
    return palette(classes)


_ARRAYS: dict[str, Callable[[Result, float], npt.NDArray[Any]]] = {
    MASK: lambda result, _: result.open_set,
    CONFIDENCE: lambda result, _: confidence(result),
    PROBABILITY: lambda result, _: result.anomaly,
    CLUSTERS: lambda result, _: cluster_mask(result),
    OVERLAY: _overlay,
}

IMAGES = tuple(_ARRAYS)
"""Topics that carry images, in the order in which they are published."""


def array_of(topic: str, result: Result, opacity: float = OPACITY) -> npt.NDArray[Any]:
    """Return what a topic carries for a frame.

    Args:
        topic: one of `IMAGES`.
        result: of the frame; its `classes` colour the overlay.
        opacity: of the overlay: 0 = image only, 1 = classes only.

    Returns:
        (H, W) uint8 for masks and confidence, (H, W) uint16 for cluster ids above 254,
        (H, W) float32 for the probability, (H, W, 3) uint8 RGB for the overlay.
    """
    return _ARRAYS[topic](result, opacity)
