"""Synthetic negatives: pieces of other training images in random shapes.

They need no outlier data. Structure and colours are those of the same camera, so that a network
cannot tell them by how they were drawn; shape, scale, turn and place do not fit.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from owseg.types import UInt8Array

HARMONICS = 5
CORNERS = 64
SMALLEST = 16


def foreign_piece(
    donor: UInt8Array, size: int, rng: np.random.Generator
) -> tuple[UInt8Array, npt.NDArray[np.bool_]]:
    """Cut a piece of an image in a random shape.

    The piece is enlarged or reduced up to three times, turned by quarters of a circle, mirrored,
    and every second time its colour channels change places.

    Args:
        donor: (H, W, 3) uint8 image, at least 2 pixels high and wide.
        size: longer side of the piece in pixels, at least 2.
        rng: source of randomness.

    Returns:
        (h, w, 3) uint8 picture and (h, w) bool mask; max(h, w) is `size`.
    """
    aspect = float(np.exp(rng.uniform(-0.8, 0.8)))
    rows = max(2, round(size * min(1.0, 1 / aspect)))
    columns = max(2, round(size * min(1.0, aspect)))
    zoom = float(np.exp(rng.uniform(-np.log(3), np.log(3))))
    taken = [
        int(np.clip(length / zoom, 2, limit))
        for length, limit in zip((rows, columns), donor.shape[:2], strict=True)
    ]
    top, left = (
        int(rng.integers(0, limit - length + 1))
        for length, limit in zip(taken, donor.shape[:2], strict=True)
    )
    piece = np.rot90(donor[top : top + taken[0], left : left + taken[1]], int(rng.integers(4)))
    if rng.random() < 0.5:
        piece = piece[:, ::-1]
    if rng.random() < 0.5:
        piece = piece[..., rng.permutation(3)]
    picture = cv2.resize(np.ascontiguousarray(piece), (columns, rows), interpolation=cv2.INTER_AREA)
    return picture.astype(np.uint8, copy=False), random_shape(rows, columns, rng)


def random_shape(rows: int, columns: int, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Return a closed wavy shape that fills most of a box of (rows, columns)."""
    angles = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
    radius = np.ones(CORNERS)
    for order in range(2, 2 + HARMONICS):
        radius += rng.uniform(0, 0.6 / order) * np.cos(order * angles + rng.uniform(0, 2 * np.pi))
    outline = np.maximum(radius, 0.2) * np.stack([np.cos(angles), np.sin(angles)])
    low, high = outline.min(axis=1, keepdims=True), outline.max(axis=1, keepdims=True)
    corners = (outline - low) / (high - low) * np.array([[columns - 1], [rows - 1]])
    mask = np.zeros((rows, columns), np.uint8)
    cv2.fillPoly(mask, [np.round(corners.T).astype(np.int32)], 1)
    return mask.astype(np.bool_)
