"""Examples of a new class: an image, and where in it the class is."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from owseg.errors import ShotError
from owseg.prototypes.classes import Shot
from owseg.types import UInt8Array

OTHER, CLASS, IGNORE = 0, 1, 255
"""Values of a mask: not the class, the class, and pixels that say nothing."""

_MARGIN = 1.0
_SUBPIXEL_BITS = 8

Polygon = npt.NDArray[np.float64]
"""(P, 2) corners x, y in pixels; (0, 0) is the upper left corner of the image."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Example:
    """An image with a mask of the class to learn.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        mask: (H, W) uint8 of `OTHER`, `CLASS` and `IGNORE`.
        source: where it came from, for messages and for the store.

    Raises:
        ShotError: wrong shapes, sizes that differ, other values, or no pixel of the class.
    """

    image: UInt8Array
    mask: UInt8Array
    source: str = "shot"

    def __post_init__(self) -> None:
        """Check the arrays once, at the boundary."""
        image, mask = self.image, self.mask
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
            raise ShotError(
                f"{self.source}: expected an (H, W, 3) uint8 RGB image, "
                f"got {image.shape} {image.dtype}"
            )
        if mask.ndim != 2 or mask.dtype != np.uint8:
            raise ShotError(
                f"{self.source}: expected an (H, W) uint8 mask, got {mask.shape} {mask.dtype}"
            )
        if mask.shape != image.shape[:2]:
            raise ShotError(
                f"{self.source}: the mask is {mask.shape[1]}x{mask.shape[0]}, the image "
                f"{image.shape[1]}x{image.shape[0]}; they must be of one size"
            )
        if not np.isin(mask, (OTHER, CLASS, IGNORE)).all():
            raise ShotError(f"{self.source}: a mask holds {OTHER}, {CLASS} and {IGNORE} only")
        if not (mask == CLASS).any():
            raise ShotError(
                f"{self.source}: the mask is empty; mark the pixels that belong to the class"
            )

    @property
    def pixels(self) -> int:
        """Pixels of the class."""
        return int(np.count_nonzero(self.mask == CLASS))

    @property
    def shot(self) -> Shot:
        """What the store keeps of it."""
        return Shot(image_sha256=_digest(self.image), pixels=self.pixels, source=self.source)


def merge_examples(examples: Iterable[Example]) -> list[Example]:
    """Join the examples of one and the same image, so that none calls another's class "other".

    Where masks differ, `CLASS` goes before `IGNORE`, and that before `OTHER`.
    """
    by_image: dict[tuple[tuple[int, ...], str], list[Example]] = {}
    for example in examples:
        by_image.setdefault((example.image.shape, _digest(example.image)), []).append(example)
    return [_joined(same) for same in by_image.values()]


def _joined(same: Sequence[Example]) -> Example:
    if len(same) == 1:
        return same[0]
    masks = np.stack([example.mask for example in same])
    mask = np.where((masks == IGNORE).any(axis=0), np.uint8(IGNORE), np.uint8(OTHER))
    mask[(masks == CLASS).any(axis=0)] = CLASS
    sources = dict.fromkeys(example.source for example in same)
    return Example(image=same[0].image, mask=mask, source=", ".join(sources))


def mask_of_polygons(
    polygons: Sequence[Polygon], height: int, width: int, source: str = "polygons"
) -> UInt8Array:
    """Fill polygons: (H, W) uint8 of `OTHER` and `CLASS`.

    Raises:
        ShotError: no polygon, fewer than three corners, all on one line, or one outside of the
            image.
    """
    if not polygons:
        raise ShotError(f"{source}: there is no polygon; draw one around each example of the class")
    mask = np.full((height, width), OTHER, np.uint8)
    for number, polygon in enumerate(polygons, start=1):
        _check_polygon(polygon, height, width, f"{source}: polygon {number}")
        corners = np.round((polygon - 0.5) * 2**_SUBPIXEL_BITS).astype(np.int32)
        cv2.fillPoly(mask, [corners], CLASS, shift=_SUBPIXEL_BITS)
    return mask


def _check_polygon(polygon: Polygon, height: int, width: int, name: str) -> None:
    if polygon.ndim != 2 or polygon.shape[1] != 2 or not np.isfinite(polygon).all():
        raise ShotError(f"{name} is not a list of corners [x, y]")
    if len(polygon) < 3:
        raise ShotError(f"{name} has {len(polygon)} corners; it needs at least 3")
    beyond = np.maximum(-polygon, polygon - np.array([width, height])).max(axis=1)
    if beyond.max() > _MARGIN:
        x, y = polygon[beyond.argmax()]
        raise ShotError(
            f"{name} has a corner at {x:g}, {y:g}, outside of the {width}x{height} image; "
            "was it drawn on an image of another size?"
        )
    if np.linalg.matrix_rank(polygon - polygon[0]) < 2:
        raise ShotError(f"{name} has no area: its corners lie on one line")


def _digest(image: UInt8Array) -> str:
    return hashlib.sha256(np.ascontiguousarray(image).data).hexdigest()
