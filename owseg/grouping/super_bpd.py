"""Grouping by super boundary-to-pixel directions (super-BPD), inside the unknown mask.

A network predicts, at every pixel, the direction away from the nearest border of its
segment. Pixels that follow each other inwards are a super-BPD; super-BPDs merge where the
field hardly turns between them, and never where it points apart.

Source: J. Wan et al., "Super-BPD: Super Boundary-to-Pixel Direction for Fast Image
Segmentation", CVPR 2020, Sections 3.2 and 3.3. Ours are: the partition inside the mask,
roots that join only where the field flows in, repulsion that stays with merged regions,
slivers that are absorbed, and integer angles.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from owseg.errors import UsageError
from owseg.grouping.components import connected_components
from owseg.grouping.partition import Partition, limits_of
from owseg.grouping.rules import PartitionRules
from owseg.jit import warm_up
from owseg.types import UNKNOWN_ID, FloatArray, UInt8Array, UInt16Array

_NO_FIELD = 1e-12
"""Mean square of a field below which it says nothing."""


class SuperBpd:
    """Groups unknown pixels by a direction field.

    The partition has a grid of twice the resolution of the field (the same, where the
    stride is odd). It can be called from several threads at once.

    Args:
        stride: pixels of the image per cell of the field, along one side.
        rules: what merges.

    Attributes:
        fallbacks: frames whose field was useless, so that components were taken.

    Raises:
        UsageError: the stride is no whole number above 0.
        MissingDependencyError: numba is not installed.
    """

    needs_direction = True

    def __init__(self, stride: int, rules: PartitionRules | None = None) -> None:
        if stride < 1:
            raise UsageError(f"the stride of a direction field must be 1 or more, got {stride}")
        from owseg.grouping import _field, _regions, _trees

        self._kernels = _field, _trees, _regions
        self._quantise = _field.angles_of if stride % 2 else _field.doubled_angles
        self._field = _field
        self._stride = stride
        self._scale = 1 if stride % 2 else 2
        self._cell = stride // self._scale
        self._rules = rules or PartitionRules()
        self._spare = [Partition()]
        self.fallbacks = 0

    def warm_up(self) -> None:
        """Compile what no cache has yet: seconds after the installation, then well below one."""
        rows, columns = np.mgrid[:24, :32].astype(np.float32)
        field = np.stack([np.float32(11.3) - rows, np.float32(7.2) - columns % 16])
        open_set = np.full((24 * self._stride, 32 * self._stride), UNKNOWN_ID, np.uint8)
        warm_up(lambda: self(open_set, field), *self._kernels)

    def __call__(self, open_set: UInt8Array, direction: FloatArray | None = None) -> UInt16Array:
        """Group the unknown pixels.

        Args:
            open_set: (H, W) uint8, 255 = unknown.
            direction: (2, h, w) float32, row then column, at the stride of the grouping.

        Returns:
            (H, W) uint16 ids 1, 2, ... without gaps; 0 elsewhere, and in regions that are
            small and touch no other.

        Raises:
            UsageError: no direction, or one of another shape.
        """
        open_set = np.require(open_set, np.uint8, ("C", "A", "W"))
        field = self._checked(direction, *open_set.shape)
        cells = np.empty([self._scale * length for length in field.shape[1:]], np.uint8)
        self._field.unknown_cells(open_set, self._cell, cells)
        box = cv2.boundingRect(cells)
        if not box[2]:
            return np.zeros(open_set.shape, np.uint16)
        found = self._partition(open_set, field, cells, box) if _is_useful(field) else None
        if found is None:
            self.fallbacks += 1
            return connected_components(open_set, self._rules.min_share)
        return found

    def _checked(self, direction: FloatArray | None, height: int, width: int) -> FloatArray:
        wanted = (2, -(-height // self._stride), -(-width // self._stride))
        if direction is None or direction.shape != wanted:
            got = "none" if direction is None else str(direction.shape)
            raise UsageError(
                f"super-BPD grouping of {width}x{height} pixels at stride {self._stride} needs a "
                f"direction map of shape {wanted}, got {got}"
            )
        return np.require(direction, np.float32, ("C", "A", "W"))

    def _partition(
        self, open_set: UInt8Array, field: FloatArray, cells: UInt8Array, box: Any
    ) -> UInt16Array | None:
        """Partition the mask within a box of cells; None where the field is useless."""
        window = self._window(box, cells.shape)
        top, left, height, width = (self._scale * length for length in window)
        try:
            work = self._spare.pop()
        except IndexError:
            work = Partition()
        work.lay_out(height, width)
        self._quantise(field, *window, work.angle)
        inside = self._field.cut_mask(cells, top, left, height, width, work.mask)
        limits = limits_of(self._rules, self._cell, open_set.size)
        numbers = work.regions(limits, inside)
        out = None
        if numbers is not None:
            out = np.empty(open_set.shape, np.uint16)
            place = (self._cell, top, left, height, width)
            self._field.paint(work.label, numbers, open_set, *place, out)
        self._spare.append(work)
        return out

    def _window(self, box: Any, grid: tuple[int, ...]) -> tuple[int, int, int, int]:
        """Return top, left, height, width in cells of the field: the box and one on each side."""
        x, y, width, height = box
        scale = self._scale
        top, left = max(0, y // scale - 1), max(0, x // scale - 1)
        bottom = min(grid[0] // scale, -(-(y + height) // scale) + 1)
        right = min(grid[1] // scale, -(-(x + width) // scale) + 1)
        return top, left, bottom - top, right - left


def _is_useful(field: FloatArray) -> bool:
    """Tell whether a field is finite, and not zero all over."""
    with np.errstate(over="ignore", invalid="ignore"):
        power = float(np.vdot(field, field))
    return bool(_NO_FIELD * field.size < power < np.inf)
