"""Compiled kernels of super-BPD: field and mask onto the partition's grid, and regions back.

All maps of the partition have a rim of `PAD` cells and rows whose length is a multiple of 8,
so that no kernel asks whether a neighbour exists, and a row is a whole number of words.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from owseg.jit import entry, inner
from owseg.types import UNKNOWN_ID, FloatArray, UInt8Array, UInt16Array

PAD = 4
"""Cells around every map: at least the largest radius within which roots join."""

ROOT, OUTSIDE, SOURCE = 8, 9, 10
"""Codes of cells besides 0..7, the sector of the parent: a root; a cell outside the mask; a
root that joins no other, since the field flows apart there or the tree was a cycle."""

_TURN, _HALF, _QUARTER = np.float32(256), np.float32(128), np.float32(64)
_UNITS = 256.0 / (2.0 * np.pi)
_A1 = np.float32(0.9998660 * _UNITS)
_A3 = np.float32(-0.3302995 * _UNITS)
_A5 = np.float32(0.1801410 * _UNITS)
_A7 = np.float32(-0.0851330 * _UNITS)
_A9 = np.float32(0.0208351 * _UNITS)
_TINY, _ROUND = np.float32(1e-30), np.float32(0.5)
_LITTLE, _MUCH = np.float32(0.25), np.float32(0.75)


@inner
def angle_of(row: Any, column: Any) -> Any:
    """Angle of one float32 vector in 1/256 of a turn, rounded; 0 = +row, 64 = +column.

    Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 4.4.49.
    """
    tall, wide = abs(row), abs(column)
    low, high = min(tall, wide), max(tall, wide)
    t = low / max(high, _TINY)
    s = t * t
    r = t * (_A1 + s * (_A3 + s * (_A5 + s * (_A7 + s * _A9))))
    r = _QUARTER - r if wide > tall else r
    r = _HALF - r if row < np.float32(0) else r
    r = _TURN - r if column < np.float32(0) else r
    return np.uint8(np.int32(r + _ROUND) & 255)


@entry
def angles_of(field: FloatArray, top: int, left: int, height: int, width: int, out: Any) -> None:
    """Quantise a window of a field.

    Args:
        field: (2, h, w) float32, row then column.
        top: first row of the window.
        left: first column of the window.
        height: rows of the window.
        width: columns of the window.
        out: padded angles, 1/256 of a turn; the first cells of the rim repeat the edge.
    """
    for y in range(height):
        rows, columns = field[0, top + y, left:], field[1, top + y, left:]
        line = out[PAD + y, PAD:]
        for x in range(width):
            line[x] = angle_of(rows[x], columns[x])
    _repeat_edge(out, height, width)


@entry
def doubled_angles(
    field: FloatArray, top: int, left: int, height: int, width: int, out: Any
) -> None:
    """Quantise a window of a field at twice its resolution, interpolated bilinearly.

    Args:
        field: (2, h, w) float32, row then column.
        top: first row of the window, in cells of the field.
        left: first column of the window.
        height: rows of the window.
        width: columns of the window.
        out: padded angles, (2 height, 2 width) within the rim, whose first cells repeat the
            edge.
    """
    blend = np.empty((2, width + 2), np.float32)
    even, odd = np.empty(width, np.uint8), np.empty(width, np.uint8)
    rows, columns = blend[0], blend[1]
    last_row, last_column = field.shape[1] - 1, field.shape[2] - 1
    for y in range(2 * height):
        near = top + (y >> 1)
        far = min(max(near + (y & 1) * 2 - 1, 0), last_row)
        for c in range(2):
            a, b, line = field[c, near], field[c, far], blend[c]
            inner_a, inner_b = a[left:], b[left:]
            for x in range(width):
                line[x + 1] = _MUCH * inner_a[x] + _LITTLE * inner_b[x]
            for x, at in ((0, max(left - 1, 0)), (width + 1, min(left + width, last_column))):
                line[x] = _MUCH * a[at] + _LITTLE * b[at]
        for x in range(width):
            row, column = _MUCH * rows[x + 1], _MUCH * columns[x + 1]
            even[x] = angle_of(row + _LITTLE * rows[x], column + _LITTLE * columns[x])
            odd[x] = angle_of(row + _LITTLE * rows[x + 2], column + _LITTLE * columns[x + 2])
        target = out[PAD + y, PAD:]
        for x in range(width):
            target[2 * x] = even[x]
            target[2 * x + 1] = odd[x]
    _repeat_edge(out, 2 * height, 2 * width)


@inner
def _repeat_edge(angle: UInt8Array, height: int, width: int) -> None:
    """Repeat the outermost cells once, without the corners."""
    for y in range(PAD, PAD + height):
        angle[y, PAD - 1] = angle[y, PAD]
        angle[y, PAD + width] = angle[y, PAD + width - 1]
    for x in range(PAD, PAD + width):
        angle[PAD - 1, x] = angle[PAD, x]
        angle[PAD + height, x] = angle[PAD + height - 1, x]


@entry
def unknown_cells(open_set: UInt8Array, cell: int, out: UInt8Array) -> None:
    """Mark the cells with an unknown pixel.

    Args:
        open_set: (H, W) uint8, 255 = unknown.
        cell: pixels along the side of a cell.
        out: (h, w) uint8, becomes 1 where a pixel of the cell is unknown, else 0; it covers
            the image.
    """
    height, width = open_set.shape
    line = np.zeros(out.shape[1] * cell, np.uint8)
    for y in range(out.shape[0]):
        line[:] = 0
        for row in range(y * cell, min((y + 1) * cell, height)):
            pixels = open_set[row]
            for x in range(width):
                line[x] |= np.uint8(pixels[x] == UNKNOWN_ID)
        target = out[y]
        if cell == 2:
            for x in range(target.size):
                target[x] = line[2 * x] | line[2 * x + 1]
        else:
            for x in range(target.size):
                any_of = np.uint8(0)
                for k in range(x * cell, (x + 1) * cell):
                    any_of |= line[k]
                target[x] = any_of


@entry
def cut_mask(cells: UInt8Array, top: int, left: int, height: int, width: int, out: Any) -> int:
    """Copy a window of the mask into a padded map, zeros around it; return its cells inside."""
    out[:PAD] = 0
    out[PAD + height :] = 0
    total = 0
    for y in range(height):
        line, target = cells[top + y, left:], out[PAD + y, PAD:]
        out[PAD + y, :PAD] = 0
        target[width:] = 0
        for x in range(width):
            target[x] = line[x]
            total += line[x]
    return total


@entry
def parent_codes(angle: UInt8Array, mask: UInt8Array, turn: int, code: UInt8Array) -> None:
    """Find the sector of each cell's parent, or that it is a root or outside.

    Neighbours are chosen by masks of bits, since a chain of comparisons does not become
    vector code.

    Args:
        angle: padded angles.
        mask: padded mask, 1 = inside, 0 on the rim.
        turn: largest angle between a cell and its parent in 1/256 of a turn, below 96.
        code: padded codes, written with its rim.
    """
    height, wide = angle.shape
    one, two, reach, span = np.uint8(1), np.uint8(2), np.uint8(turn), np.uint8(2 * turn)
    code[:PAD] = OUTSIDE
    code[height - PAD :] = OUTSIDE
    edge = np.zeros(wide, np.uint8)
    words = edge.view(np.uint64)
    for y in range(PAD, height - PAD):
        u, m, d = angle[y - 1, PAD - 1 :], angle[y, PAD - 1 :], angle[y + 1, PAD - 1 :]
        ku, km, kd = mask[y - 1, PAD - 1 :], mask[y, PAD - 1 :], mask[y + 1, PAD - 1 :]
        line, rim = code[y, PAD:], edge[PAD:]
        for x in range(wide - 2 * PAD):
            here = m[x + 1]
            sector = np.uint8(np.uint8(here + np.uint8(16)) >> np.uint8(5))
            odd = np.uint8(np.uint8(0) - (sector & one))
            pair = np.uint8(np.uint8(0) - ((sector >> one) & one))
            upper = np.uint8(np.uint8(0) - ((sector >> two) & one))
            a0, a1, a2, a3 = d[x + 1], d[x + 2], m[x + 2], u[x + 2]
            a4, a5, a6, a7 = u[x + 1], u[x], m[x], d[x]
            a0, a2 = a0 ^ ((a0 ^ a1) & odd), a2 ^ ((a2 ^ a3) & odd)
            a4, a6 = a4 ^ ((a4 ^ a5) & odd), a6 ^ ((a6 ^ a7) & odd)
            a0, a4 = a0 ^ ((a0 ^ a2) & pair), a4 ^ ((a4 ^ a6) & pair)
            bend = np.uint8(np.uint8(here - (a0 ^ ((a0 ^ a4) & upper))) + reach)
            result = sector if bend <= span else np.uint8(ROOT)
            line[x] = result if km[x + 1] != np.uint8(0) else np.uint8(OUTSIDE)
        for x in range(wide - 2 * PAD):
            k = ku[x] & ku[x + 1] & ku[x + 2] & km[x] & km[x + 2] & kd[x] & kd[x + 1] & kd[x + 2]
            rim[x] = km[x + 1] & ~k
        for i in range(words.size):
            if words[i] != 0:
                _cut_parents(mask, code, edge, y, i)
        code[y, :PAD] = OUTSIDE
        code[y, wide - PAD :] = OUTSIDE


@inner
def _cut_parents(mask: UInt8Array, code: UInt8Array, edge: UInt8Array, y: int, i: int) -> None:
    """Turn cells whose parent is outside the mask into roots, among eight of a row."""
    for x in range(8 * i, 8 * i + 8):
        if edge[x] and code[y, x] < ROOT:
            k = code[y, x]
            down = np.int64(k == 0 or k == 1 or k == 7) - np.int64(3 <= k <= 5)
            right = np.int64(1 <= k <= 3) - np.int64(5 <= k <= 7)
            if mask[y + down, x + right] == 0:
                code[y, x] = ROOT


@entry
def paint(
    label: Any,
    numbers: UInt16Array,
    open_set: UInt8Array,
    cell: int,
    top: int,
    left: int,
    height: int,
    width: int,
    out: UInt16Array,
) -> None:
    """Write the numbers of the regions into the unknown pixels of an image.

    Args:
        label: padded ids of a window of cells.
        numbers: (N,) number by id.
        open_set: (H, W) uint8, 255 = unknown.
        cell: pixels along the side of a cell.
        top: first row of the window, in cells.
        left: first column of the window.
        height: rows of the window.
        width: columns of the window.
        out: (H, W); becomes 0 outside the window.
    """
    rows, columns = open_set.shape
    begin = left * cell
    length = min((left + width) * cell, columns) - begin
    out[: top * cell] = 0
    out[min((top + height) * cell, rows) :] = 0
    line = np.zeros(width * cell, np.uint16)
    for y in range(height):
        ids = label[PAD + y, PAD:]
        if cell == 2:
            for x in range(width):
                value = numbers[np.uint32(ids[x])]
                line[2 * x] = value
                line[2 * x + 1] = value
        else:
            for x in range(width):
                for k in range(x * cell, (x + 1) * cell):
                    line[k] = numbers[np.uint32(ids[x])]
        for row in range((top + y) * cell, min((top + y + 1) * cell, rows)):
            source, target = open_set[row, begin:], out[row, begin:]
            out[row, :begin] = 0
            target[length:] = 0
            for x in range(length):
                target[x] = line[x] & np.uint16(-np.int32(source[x] == UNKNOWN_ID))
