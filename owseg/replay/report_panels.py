"""The pictures of a report: panels of one frame, small enough to embed."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import cv2
import numpy as np

from owseg.render import (
    UNKNOWN_COLOR,
    anomaly_palette,
    color_labels,
    dim,
    draw_clusters,
    draw_outlines,
)
from owseg.replay.report_frames import TRUTH_ANOMALY, Shot
from owseg.types import IGNORE_ID, NO_CLUSTER, UNKNOWN_ID, UInt8Array, UInt16Array

THUMB_WIDTH = 132
_FONT, _FONT_SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.4
IGNORE_COLOR = (38, 42, 48)
"""RGB of pixels that count nowhere, in the truth panel."""

FOUND, MISSED, FALSE_ALARM, WRONG_CLASS = 1, 2, 3, 4
ERROR_KINDS: dict[int, tuple[str, tuple[int, int, int]]] = {
    FOUND: ("anomaly found", (0, 176, 144)),
    MISSED: ("anomaly missed", (232, 44, 132)),
    FALSE_ALARM: ("false alarm", (255, 190, 40)),
    WRONG_CLASS: ("wrong class", (84, 132, 228)),
}
"""What the error panel shows: name and RGB by kind; 0 = right, or counts nowhere."""

_LADDER = ((1.0, 85), (1.0, 72), (0.75, 68), (0.5, 62), (0.33, 45))
"""Scale and JPEG quality, from the best down; the last is taken whatever it needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One picture.

    Attributes:
        key: short name for style sheets and scripts.
        title: name for people.
        alt: description for those who cannot see it.
        uri: the picture as a data URI.
        width: in pixels.
        height: in pixels.
    """

    key: str
    title: str
    alt: str
    uri: str
    width: int
    height: int


def panels_of(shot: Shot, colors: UInt8Array, budget: int, classes: int) -> list[Panel]:
    """Draw and encode the panels of one frame.

    Args:
        shot: the frame.
        colors: (256, 3) colour table of the classes.
        budget: bytes for all panels together, before base64; quality and size give way to it.
        classes: number of classes that the network was trained on.
    """
    drawings = _drawings(shot, colors, classes)
    for scale, quality in _LADDER:
        encoded = [_encoded(image, flat, scale, quality) for *_, image, flat in drawings]
        if sum(len(data) for _, data, _ in encoded) <= budget:
            break
    return [
        Panel(key=key, title=title, alt=alt, uri=_uri(kind, data), width=size[0], height=size[1])
        for (key, title, alt, *_), (kind, data, size) in zip(drawings, encoded, strict=True)
    ]


def thumbnail(shot: Shot, colors: UInt8Array) -> str:
    """Return a small overlay of classes and image as a data URI."""
    height, width = shot.open_set.shape
    size = (THUMB_WIDTH, max(1, round(THUMB_WIDTH * height / width)))
    colored = color_labels(shot.open_set, colors)
    blended = cv2.addWeighted(shot.image, 0.55, colored, 0.45, 0).astype(np.uint8, copy=False)
    draw_outlines(blended, shot.clusters)
    return _uri("jpeg", _jpeg(cv2.resize(blended, size, interpolation=cv2.INTER_AREA), 76))


def errors_of(open_set: UInt8Array, truth: UInt8Array, classes: int) -> UInt8Array:
    """Compare a decision with the truth, pixel by pixel.

    A class learnt on the way (id `classes` or above) counts as an anomaly that was found. Where
    it is true, anything else is a wrong class, unknown as well.

    Args:
        open_set: (H, W) uint8, 255 = unknown.
        truth: (H, W) uint8, 254 = anomaly, 255 = ignore.
        classes: number of classes that the network was trained on.

    Returns:
        (H, W) uint8: 0 = right or ignored, else a key of `ERROR_KINDS`.
    """
    kinds = np.zeros(truth.shape, np.uint8)
    anomaly = truth == TRUTH_ANOMALY
    known = truth < TRUTH_ANOMALY
    unknown = open_set == UNKNOWN_ID
    kinds[known & (open_set != truth)] = WRONG_CLASS
    kinds[(truth < classes) & unknown] = FALSE_ALARM
    kinds[anomaly] = MISSED
    kinds[anomaly & (open_set >= classes)] = FOUND
    return kinds


def draw_errors(image: UInt8Array, kinds: UInt8Array) -> UInt8Array:
    """Colour the kinds of error over a dimmed image: (H, W, 3) uint8 RGB."""
    table = np.zeros((256, 3), np.uint8)
    for kind, (_, color) in ERROR_KINDS.items():
        table[kind] = color
    colored = cv2.addWeighted(image, 0.2, color_labels(kinds, table), 0.8, 0)
    out = dim(image)
    cv2.copyTo(colored, kinds, out)
    return out


def draw_truth(truth: UInt8Array, colors: UInt8Array) -> UInt8Array:
    """Colour the truth like the classes, with the anomalies outlined: (H, W, 3) uint8 RGB."""
    table = colors.copy()
    table[TRUTH_ANOMALY] = UNKNOWN_COLOR
    table[IGNORE_ID] = IGNORE_COLOR
    anomaly = (truth == TRUTH_ANOMALY).view(np.uint8)
    return draw_outlines(color_labels(truth, table), anomaly)


def number_clusters(image: UInt8Array, clusters: UInt16Array) -> UInt8Array:
    """Write the id of each unknown object at its middle: `--cluster` takes them.

    Args:
        image: (H, W, 3) uint8 RGB; changed in place.
        clusters: (H, W) uint16, 0 = not unknown.

    Returns:
        The image.
    """
    for number in np.unique(clusters[clusters != NO_CLUSTER]).tolist():
        rows, columns = np.nonzero(clusters == number)
        (width, height), _ = cv2.getTextSize(str(number), _FONT, _FONT_SCALE, 1)
        left = int(np.clip(columns.mean() - width / 2, 1, max(1, image.shape[1] - width - 1)))
        base = int(np.clip(rows.mean() + height / 2, height + 1, max(height + 1, len(image) - 2)))
        for color, thickness in ((0, 0, 0), 3), ((255, 255, 255), 1):
            place = (left, base)
            cv2.putText(
                image, str(number), place, _FONT, _FONT_SCALE, color, thickness, cv2.LINE_AA
            )
    return image


_Drawing = tuple[str, str, str, UInt8Array, bool]


def _drawings(shot: Shot, colors: UInt8Array, classes: int) -> list[_Drawing]:
    """Key, title, description, picture, and whether it has few colours, for each panel."""
    name = f"frame {shot.position}"
    found = f"{shot.objects} unknown object" + ("" if shot.objects == 1 else "s")
    drawings: list[_Drawing] = [
        ("camera", "Camera", f"Camera image of {name}", shot.image, False),
        (
            "classes",
            "Classes",
            f"Known classes of {name} in their colours, unknown pixels in orange",
            draw_outlines(color_labels(shot.open_set, colors), shot.clusters),
            True,
        ),
        (
            "anomaly",
            "Anomaly score",
            f"Anomaly score of {name}, from dark (known) to bright (anomalous)",
            color_labels(shot.anomaly, anomaly_palette()),
            False,
        ),
        (
            "objects",
            "Unknown objects",
            f"{name.capitalize()} in grey with {found}, each with its colour and number",
            number_clusters(draw_clusters(shot.image, shot.clusters), shot.clusters),
            False,
        ),
    ]
    if shot.truth is not None:
        drawings += _truth_drawings(shot, shot.truth, colors, classes)
    return drawings


def _truth_drawings(
    shot: Shot, truth: UInt8Array, colors: UInt8Array, classes: int
) -> list[_Drawing]:
    kinds = errors_of(shot.open_set, truth, classes)
    return [
        (
            "truth",
            "Ground truth",
            f"Ground truth of frame {shot.position}, anomalies in orange with an outline",
            draw_truth(truth, colors),
            True,
        ),
        (
            "errors",
            "Errors",
            f"Errors in frame {shot.position}: anomalies found and missed, false alarms, "
            "wrong classes",
            draw_errors(shot.image, kinds),
            False,
        ),
    ]


def _encoded(
    image: UInt8Array, flat: bool, scale: float, quality: int
) -> tuple[str, bytes, tuple[int, int]]:
    """Kind, bytes and (width, height); pictures with few colours as PNG where that is smaller."""
    height, width = image.shape[:2]
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    if size != (width, height):
        method = cv2.INTER_NEAREST if flat else cv2.INTER_AREA
        image = cv2.resize(image, size, interpolation=method).astype(np.uint8, copy=False)
    jpeg = _jpeg(image, quality)
    png = _png(image) if flat else b""
    if png and len(png) <= len(jpeg):
        return "png", png, size
    return "jpeg", jpeg, size


def _jpeg(image: np.ndarray, quality: int) -> bytes:
    flags = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
    return _imencode(".jpg", image, flags)


def _png(image: np.ndarray) -> bytes:
    return _imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 6])


def _imencode(suffix: str, image: np.ndarray, flags: list[int]) -> bytes:
    done, data = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), flags)
    assert done
    return data.tobytes()


def _uri(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
