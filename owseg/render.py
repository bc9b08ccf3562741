"""Pictures of results: class colours, anomaly heat, cluster colours, overlay.

Everything here is cheap enough to run for every frame: about 1 ms at 480x360.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np

from owseg.types import (
    NO_CLUSTER,
    UNKNOWN_ID,
    ClassInfo,
    FloatArray,
    Result,
    UInt8Array,
    UInt16Array,
)

UNKNOWN_COLOR = (255, 64, 0)
"""RGB of unknown pixels: a signal orange that no class uses."""

OTHER_COLOR = (128, 128, 128)
"""RGB of ids that no class has."""

OUTLINE_COLOR = (255, 255, 255)
"""RGB of the outlines around unknown objects."""

_CYCLE = 255
_SHADE = 26
_LARGE_ROWS = 720


def palette(classes: Sequence[ClassInfo]) -> UInt8Array:
    """Return the colour table (256, 3) uint8 RGB of the classes; 255 = unknown, others grey."""
    table = np.full((256, 3), OTHER_COLOR, np.uint8)
    for info in classes:
        table[info.id] = info.color
    table[UNKNOWN_ID] = UNKNOWN_COLOR
    return table


def color_labels(labels: UInt8Array, colors: UInt8Array) -> UInt8Array:
    """Colour a label map: (H, W) uint8 and a (256, 3) table to (H, W, 3) uint8 RGB."""
    table = np.ascontiguousarray(colors)[:, None]
    return cv2.applyColorMap(labels, table).astype(np.uint8, copy=False)


@lru_cache(maxsize=1)
def anomaly_palette() -> UInt8Array:
    """Return the colours of anomaly scores 0, 1/255, ..., 1: (256, 3) uint8 RGB, read-only."""
    ramp = np.arange(256, dtype=np.uint8)[None]
    table = cv2.applyColorMap(ramp, cv2.COLORMAP_INFERNO)[0, :, ::-1]
    return _frozen(table.astype(np.uint8))


def color_anomaly(anomaly: FloatArray) -> UInt8Array:
    """Colour an anomaly map in [0, 1] with a perceptual map: dark = known, bright = anomalous."""
    return color_labels(quantise(anomaly), anomaly_palette())


def quantise(anomaly: FloatArray) -> UInt8Array:
    """Scale (H, W) float32 in [0, 1] to uint8 0..255, rounded."""
    return cv2.convertScaleAbs(anomaly, alpha=255.0).astype(np.uint8, copy=False)


@lru_cache(maxsize=1)
def cluster_palette() -> UInt8Array:
    """Return the colours of cluster ids: (256, 3) uint8 RGB, read-only; row 0 is black.

    Each colour is the one that is farthest, in CIE Lab, from all before it and from the
    dimmed image and the white outline: ids 1, 2, 3, ... look as different as can be, and
    an id has the same colour in every frame and every run.
    """
    candidates, lab = _bright_colors()
    anchors = _to_lab(np.array([[0, 0, 0], [96, 96, 96], OUTLINE_COLOR], np.uint8))
    gap = np.min([_distance(lab, anchor) for anchor in anchors], axis=0)
    table = np.zeros((256, 3), np.uint8)
    best = int(np.argmin(_distance(lab, _to_lab(np.array([UNKNOWN_COLOR], np.uint8))[0])))
    for row in range(1, _CYCLE + 1):
        table[row] = candidates[best]
        gap = np.minimum(gap, _distance(lab, lab[best]))
        best = int(np.argmax(gap))
    table[NO_CLUSTER] = 0
    return _frozen(table)


def distinct_color(taken: Sequence[tuple[int, int, int]]) -> tuple[int, int, int]:
    """Return the bright colour that is farthest, in CIE Lab, from those that are taken.

    Unknown orange, the grey of other ids, black and white count as taken. The same colours
    give the same answer, whatever their order.
    """
    candidates, lab = _bright_colors()
    fixed = [UNKNOWN_COLOR, OTHER_COLOR, OUTLINE_COLOR, (0, 0, 0)]
    anchors = _to_lab(np.array([*fixed, *taken], np.uint8))
    gap = np.min([_distance(lab, anchor) for anchor in anchors], axis=0)
    red, green, blue = candidates[int(np.argmax(gap))].tolist()
    return red, green, blue


def color_clusters(clusters: UInt16Array) -> UInt8Array:
    """Colour cluster ids: (H, W) uint16 to (H, W, 3) uint8 RGB; black = not unknown."""
    return color_labels(_cyclic(clusters), cluster_palette())


def draw_clusters(image: UInt8Array, clusters: UInt16Array) -> UInt8Array:
    """Dim the image to grey and draw each unknown object in its colour, with an outline.

    Args:
        image: (H, W, 3) uint8 RGB.
        clusters: (H, W) uint16, 0 = not unknown.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    objects = cv2.addWeighted(image, 0.4, color_clusters(clusters), 0.6, 0)
    out = dim(image)
    cv2.copyTo(objects, (clusters != NO_CLUSTER).view(np.uint8), out)
    return draw_outlines(out, clusters)


def dim(image: UInt8Array) -> UInt8Array:
    """Return a dark grey version of the image (H, W, 3) uint8 RGB, a ground to draw on."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    dark = cv2.convertScaleAbs(grey, alpha=0.5, beta=_SHADE)
    return cv2.cvtColor(dark, cv2.COLOR_GRAY2RGB).astype(np.uint8, copy=False)


def draw_outlines(
    image: UInt8Array,
    clusters: UInt16Array | UInt8Array,
    color: tuple[int, int, int] = OUTLINE_COLOR,
) -> UInt8Array:
    """Draw the border of each object into the image.

    The line covers the outermost pixels of the object and those next to it; objects that
    touch are parted by a line. It is twice as wide on images of 720 rows and more.

    Args:
        image: (H, W, 3) uint8 RGB; changed in place.
        clusters: (H, W) unsigned integers, 0 = no object.
        color: RGB of the line.

    Returns:
        The image.
    """
    reach = 5 if image.shape[0] >= _LARGE_ROWS else 3
    window = _window((clusters != NO_CLUSTER).view(np.uint8), reach)
    square = np.ones((reach, reach), np.uint8)
    border = cv2.morphologyEx(clusters[window], cv2.MORPH_GRADIENT, square)
    line = np.empty_like(image[window])
    cv2.rectangle(line, (0, 0), (line.shape[1], line.shape[0]), color, cv2.FILLED)
    cv2.copyTo(line, (border > 0).view(np.uint8), image[window])
    return image


def _window(objects: UInt8Array, margin: int) -> tuple[slice, slice]:
    """Return the rows and columns that hold all objects, and some pixels around them."""
    left, top, width, height = cv2.boundingRect(objects)
    rows = slice(max(0, top - margin), top + height + margin)
    return rows, slice(max(0, left - margin), left + width + margin)


def overlay(result: Result, colors: UInt8Array, opacity: float = 0.5) -> UInt8Array:
    """Blend the open-set classes over the image and outline the unknown objects.

    Args:
        result: a result.
        colors: (256, 3) colour table from `palette`.
        opacity: 0 = image only, 1 = classes only.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    colored = color_labels(result.open_set, colors)
    blended = cv2.addWeighted(result.frame.image, 1.0 - opacity, colored, opacity, 0)
    return draw_outlines(blended.astype(np.uint8, copy=False), result.clusters)


def _cyclic(clusters: UInt16Array) -> UInt8Array:
    """Ids 1..255, then 1..255 again; 0 stays 0."""
    return np.take(_cycle_table(), clusters)


@lru_cache(maxsize=1)
def _cycle_table() -> UInt8Array:
    table = (np.arange(1 << 16) - 1) % _CYCLE + 1
    table[NO_CLUSTER] = NO_CLUSTER
    return _frozen(table.astype(np.uint8))


def _bright_colors() -> tuple[UInt8Array, FloatArray]:
    """Saturated and bright colours (N, 3) uint8 RGB, and the same in Lab."""
    levels = np.linspace(0, 255, 18).astype(np.uint8)
    grid = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(-1, 3)
    lab = _to_lab(grid)
    chroma = np.hypot(lab[:, 1], lab[:, 2])
    keep = (lab[:, 0] >= 50) & (chroma >= 40) & (chroma <= 105)
    return grid[keep], lab[keep]


def _to_lab(colors: UInt8Array) -> FloatArray:
    """(N, 3) uint8 RGB to CIE Lab, L in 0..100."""
    scaled = colors[None].astype(np.float32) / np.float32(255)
    lab: FloatArray = cv2.cvtColor(scaled, cv2.COLOR_RGB2LAB)[0]
    return lab


def _distance(lab: FloatArray, to: FloatArray) -> FloatArray:
    distance: FloatArray = np.linalg.norm(lab - to, axis=1)
    return distance


def _frozen(table: UInt8Array) -> UInt8Array:
    fixed = np.ascontiguousarray(table)
    fixed.setflags(write=False)
    return fixed
