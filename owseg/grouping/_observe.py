"""Compiled kernel of cluster tracking: one pass over two label maps."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from owseg.jit import entry, inner
from owseg.types import FloatArray, UInt16Array

Longs = npt.NDArray[np.int64]

SCALE = 65535.0
"""Anomaly scores are summed as whole numbers: the same sum in any order."""

AREA, CELLS, LEFT, RIGHT, TOP, BOTTOM, COLUMNS, ROWS, ANOMALY = range(9)
"""Columns of the measures: pixels of the frame, cells of the map, box in pixels from the first
to one after the last, twice the sum of column positions, sum of row positions (both in cells),
sum of scaled anomaly scores."""

_SCALE, _HALF = np.float32(SCALE), np.float32(0.5)
_RANKS = np.uint64(0x0001020304050607)
_MIX = np.uint64(0x9E3779B97F4A7C15)


@entry
def observe(
    now: UInt16Array,
    before: UInt16Array,
    anomaly: FloatArray,
    columns: Longs,
    rows: Longs,
    measures: Longs,
    table: Longs,
    slots: Longs,
) -> Any:
    """Measure the clusters of a map, and how they overlap with those of the map before.

    Args:
        now: (h, w) uint16 cluster ids, 0 = none.
        before: (h, w) uint16, those of the frame before.
        anomaly: (h, w) float32, 0..1.
        columns: (w + 1,) first column of the frame that shows each column of the map.
        rows: (h + 1,) the same for rows.
        measures: (N + 1, 9) zeros; becomes the measures of each id of `now`.
        table: hash table (S, 2), S a power of two, zeros; becomes now << 16 | before, + 1, and
            the number of cells with both ids.
        slots: (S / 2,) becomes the places in use.

    Returns:
        The number of pairs; the length of `slots`: the table is too small.
    """
    height, width = now.shape
    differs = np.zeros(-(-width // 8) * 8, np.uint8)
    words = differs.view(np.uint64)
    used = 0
    measures[:, LEFT] = columns[width]
    measures[:, TOP] = rows[height]
    for y in range(height):
        a, b, scores = now[y], before[y], anomaly[y]
        for x in range(width - 1):
            differs[x] = np.uint8(a[x] != a[x + 1]) | np.uint8(b[x] != b[x + 1])
        differs[width - 1] = 1
        begin = 0
        for i in range(words.size):
            word = words[i]
            while word != 0:
                flag = word & (~word + np.uint64(1))
                word ^= flag
                end = 8 * i + np.int64((flag * _RANKS) >> np.uint64(56)) + 1
                one, other = a[begin], b[begin]
                if one != 0:
                    row = measures[one]
                    left, right = columns[begin], columns[end]
                    pixels = (right - left) * (rows[y + 1] - rows[y])
                    if pixels > 0:
                        row[AREA] += pixels
                        row[LEFT] = min(row[LEFT], left)
                        row[RIGHT] = max(row[RIGHT], right)
                        row[TOP] = min(row[TOP], rows[y])
                        row[BOTTOM] = rows[y + 1]
                    row[CELLS] += end - begin
                    row[COLUMNS] += (end - begin) * (begin + end - 1)
                    row[ROWS] += (end - begin) * y
                    part, total = scores[begin:end], np.int64(0)
                    for x in range(end - begin):
                        total += np.int32(part[x] * _SCALE + _HALF)
                    row[ANOMALY] += total
                if one != 0 or other != 0:
                    key = (np.int64(one) << 16 | np.int64(other)) + 1
                    used = _add(table, slots, used, key, end - begin)
                    if used == slots.size:
                        return used
                begin = end
    return used


@entry
def show(
    table: UInt16Array, clusters: UInt16Array, columns: Longs, rows: Longs, out: UInt16Array
) -> None:
    """Write other ids into a map, and repeat its cells.

    Args:
        table: (N + 1,) uint16 id by id.
        clusters: (h, w) uint16, 0..N.
        columns: (w + 1,) first column of the frame that shows each column of the map.
        rows: (h + 1,) the same for rows.
        out: (H, W) uint16.
    """
    height, width = clusters.shape
    plain = columns[width] == width
    line = np.empty(columns[width], np.uint16)
    for y in range(height):
        ids = clusters[y]
        if plain:
            for x in range(width):
                line[x] = table[ids[x]]
        else:
            for x in range(width):
                value = table[ids[x]]
                for k in range(columns[x], columns[x + 1]):
                    line[k] = value
        for row in range(rows[y], rows[y + 1]):
            target = out[row]
            for k in range(line.size):
                target[k] = line[k]


@inner
def _add(table: Longs, slots: Longs, used: int, key: int, value: int) -> Any:
    """Add to the entry of a key; return the number of entries."""
    last = np.uint64(table.shape[0] - 1)
    slot = ((np.uint64(key) * _MIX) >> np.uint64(32)) & last
    while table[slot, 0] != key:
        if table[slot, 0] == 0:
            table[slot, 0] = key
            slots[used] = slot
            used += 1
            break
        slot = (slot + np.uint64(1)) & last
    table[slot, 1] += value
    return used
