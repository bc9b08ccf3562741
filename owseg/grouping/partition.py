"""The partition of a mask into super-BPDs that merge: buffers, and the order of the kernels."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from owseg.grouping.components import MAX_CLUSTERS
from owseg.grouping.rules import PartitionRules
from owseg.types import UInt16Array

SECTORS = ((1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1))
"""Row and column offset of the parent by sector: eighths of a turn from +row to +column."""

PAD = 4
"""Cells around every map, as in `_field`."""

Ints = npt.NDArray[np.int32]

_UNITS = 128.0 / 180.0
_FIRST_SLOTS = 1 << 14


class Limits(NamedTuple):
    """Rules in the units of the partition: angles of 1/256 of a turn, areas in cells."""

    turn: int
    radius: int
    repel: float
    weak_large: float
    weak_small: float
    small: float
    large: float
    sliver: float
    smallest: float
    max_roots: float


def limits_of(rules: PartitionRules, cell: int, pixels: int) -> Limits:
    """Scale rules to a grid.

    Args:
        rules: areas in pixels, angles in degrees.
        cell: pixels along the side of a cell.
        pixels: of the image.
    """
    area = float(cell * cell)
    return Limits(
        turn=rules.turn_units,
        radius=rules.radius,
        repel=rules.repel * _UNITS,
        weak_large=rules.weak_large * _UNITS,
        weak_small=rules.weak_small * _UNITS,
        small=rules.small / area,
        large=rules.large / area,
        sliver=rules.sliver / area,
        smallest=rules.min_share * pixels / area,
        max_roots=rules.max_roots,
    )


class Partition:
    """Buffers for one frame at a time, which grow to what a frame needs.

    `lay_out`, fill `angle` and `mask`, then `regions`.

    Attributes:
        angle: (PAD + h + PAD, wide) uint8 angles in 1/256 of a turn; 0 = +row, 64 = +column.
            The first cells of the rim repeat the edge.
        mask: the same shape, 1 = inside, 0 outside and on the rim.
        label: the same shape, ids of super-BPDs after `regions`, 0 outside.

    Raises:
        MissingDependencyError: numba is not installed.
    """

    def __init__(self) -> None:
        from owseg.grouping import _field, _regions, _trees

        self._field, self._trees, self._regions = _field, _trees, _regions
        self._shape = (0, 0)
        self._table = np.zeros((_FIRST_SLOTS, 2), np.int64)
        self.lay_out(1, 1)

    def lay_out(self, height: int, width: int) -> None:
        """Make room for a grid; rows get a length that is a multiple of 8."""
        shape = (height + 2 * PAD, -(-width // 8) * 8 + 2 * PAD)
        if shape == self._shape:
            return
        self._shape = shape
        self.angle, self.mask, self._code = (np.zeros(shape, np.uint8) for _ in range(3))
        self.label = np.zeros(shape, np.int32)
        self._roots = np.empty(self.label.size + 16, np.int32)
        self._offsets = np.zeros(16, np.int32)
        self._offsets[: len(SECTORS)] = [row * shape[1] + column for row, column in SECTORS]
        self._make_borders(self.label.size // 2 + 4 * shape[1])

    def _make_borders(self, length: int) -> None:
        self._first, self._second = np.empty(length, np.int32), np.empty(length, np.int32)

    def regions(self, limits: Limits, inside: int) -> UInt16Array | None:
        """Partition the mask.

        Args:
            limits: what merges.
            inside: cells of the mask.

        Returns:
            (N + 1,) uint16 number of the region by id in `label`: 1, 2, ... in the order of
            their first super-BPDs, 0 for those that are too small; None where so many cells
            are roots that the field means nothing.
        """
        most = int(limits.max_roots * inside)
        self._trees_of(limits)
        roots = self._roots[: most + 9]
        number = self._trees.list_roots(self._code, roots)
        if number > most:
            return None
        area, pairs = self._super_bpds(limits, roots[:number])
        edges, lengths, means = self._regions.take_pairs(self._table, pairs)
        parent = self._regions.merge_regions(edges, means, area, *limits[2:7])
        self._regions.absorb_slivers(parent, area, edges, lengths, limits.sliver)
        numbers: UInt16Array = self._regions.number_regions(
            parent, area, limits.smallest, MAX_CLUSTERS
        )
        return numbers

    def _trees_of(self, limits: Limits) -> None:
        self._field.parent_codes(self.angle, self.mask, limits.turn, self._code)

    def _super_bpds(self, limits: Limits, roots: Ints) -> tuple[Ints, Ints]:
        """Label the super-BPDs; return their areas, and where the table has the pairs."""
        sets = self._regions.join_roots(
            self._code, self.angle, roots, limits.radius, _waves(), self.label
        )
        count = self._trees.follow_parents(
            self._code, self.label, self._offsets, sets, self._second
        )
        area = np.empty(count + 1, np.int32)
        touching = self._trees.borders(self.label, self._first, self._second, area)
        while touching > self._first.size:
            self._make_borders(2 * self._first.size)
            touching = self._trees.borders(self.label, self._first, self._second, area)
        return area, self._pairs(touching)

    def _pairs(self, touching: int) -> Ints:
        """Sum up the borders; return the places of the pairs in the table."""
        while True:
            slots = np.empty(len(self._table) // 4, np.int32)  # more would collide too often
            used = self._trees.touching_pairs(
                self.label,
                self._code,
                self.angle,
                self._offsets,
                self._first[:touching],
                self._second[:touching],
                self._table,
                slots,
            )
            if used < slots.size:
                return slots[:used]
            self._table = np.zeros((2 * len(self._table), 2), np.int64)


@lru_cache(maxsize=1)
def _waves() -> Ints:
    """Return the cosine of i - 64 angle units for i = 0..319, times 2 ** 14, rounded."""
    turns = (np.arange(320) - 64) / 256
    waves: Ints = np.rint(np.cos(2 * np.pi * turns) * (1 << 14)).astype(np.int32)
    return waves
