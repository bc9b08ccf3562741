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
_ONE = np.uint64(1)
_RANKS = np.uint64(0x0001020304050607)
"""Times 1 << 8 k it has k in its highest byte."""
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
    pairs: Longs,
) -> Any:
    """Measure the clusters of a map, and how they overlap with those of the map before.

    Args:
        now: (h, w) uint16 cluster ids, 0 = none.
        before: (h, w) uint16, those of the frame before.
        anomaly: (h, w) float32, 0..1.
        columns: (w + 1,) first column of the frame that shows each column of the map.
        rows: (h + 1,) the same for rows.
        measures: (N + 1, 9) zeros; becomes the measures of each id of `now`.
        table: hash table (S, 2), S a power of two, zeros before and after.
        pairs: (S / 2, 3); becomes the id now, the id before and the number of cells with both.

    Returns:
        The number of pairs; the length of `pairs`: the table is too small, and not empty.
    """
    height, width = now.shape
    differs = np.zeros(-(-width // 8) * 8, np.uint8)
    words = differs.view(np.uint64)
    used = 0
    measures[:, LEFT] = columns[width]
    measures[:, TOP] = rows[height]
    differs[width - 1] = 1
    for y in range(height):
        a, b, scores = now[y], before[y], anomaly[y]
        below = rows[y + 1] - rows[y]
        for x in range(width - 1):
            differs[x] = np.uint8(a[x] != a[x + 1]) | np.uint8(b[x] != b[x + 1])
        begin, start = 0, 0
        for i in range(words.size):
            word = words[i]
            while word != 0:
                end = 8 * i + np.int64(((word & (~word + _ONE)) * _RANKS) >> np.uint64(56)) + 1
                word &= word - _ONE
                one, other = a[np.uint64(begin)], b[np.uint64(begin)]
                if one != 0 or other != 0:
                    key = np.int64(one) << 16 | np.int64(other)
                    used = _add(table, pairs, used, key, end - begin)
                    if used == len(pairs):
                        return used
                begin = end
                if end < width and a[np.uint64(end)] == one:
                    continue
                if one != 0:
                    row = measures[one]
                    left, right = columns[np.uint64(start)], columns[np.uint64(end)]
                    pixels = (right - left) * below
                    if pixels > 0:
                        row[AREA] += pixels
                        row[LEFT] = min(row[LEFT], left)
                        row[RIGHT] = max(row[RIGHT], right)
                        row[TOP] = min(row[TOP], rows[y])
                        row[BOTTOM] = rows[y + 1]
                    row[CELLS] += end - start
                    row[COLUMNS] += (end - start) * (start + end - 1)
                    row[ROWS] += (end - start) * y
                    part, total = scores[start:end], np.int64(0)
                    for x in range(end - start):
                        total += np.int32(part[x] * _SCALE + _HALF)
                    row[ANOMALY] += total
                start = end
    for k in range(used):
        slot = pairs[k, 2]
        key, cells = table[slot]
        pairs[k, 0], pairs[k, 1], pairs[k, 2] = key >> 16, key & 0xFFFF, cells
        table[slot] = 0
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
    differs = np.zeros(-(-width // 8) * 8, np.uint8)
    words = differs.view(np.uint64)
    differs[width - 1] = 1
    line = np.empty(columns[width], np.uint16)
    for y in range(height):
        ids = clusters[y]
        above, change = clusters[max(y - 1, 0)], np.uint16(y == 0)
        for x in range(width):
            change = np.uint16(change | (ids[x] ^ above[x]))
        for x in range(width - 1):
            differs[x] = np.uint8(ids[x] != ids[x + 1])
        begin = 0
        for i in range(words.size if change != 0 else 0):
            word = words[i]
            while word != 0:
                end = 8 * i + np.int64(((word & (~word + _ONE)) * _RANKS) >> np.uint64(56)) + 1
                word &= word - _ONE
                value = table[ids[np.uint64(begin)]]
                part = line[columns[np.uint64(begin)] : columns[np.uint64(end)]]
                for k in range(part.size):
                    part[k] = value
                begin = end
        for row in range(rows[y], rows[y + 1]):
            target = out[row]
            for k in range(line.size):
                target[k] = line[k]


@inner
def _add(table: Longs, pairs: Longs, used: int, key: int, value: int) -> Any:
    """Add to the entry of a key, and note the place of a new one; return the number of entries."""
    last = np.uint64(table.shape[0] - 1)
    slot = ((np.uint64(key) * _MIX) >> np.uint64(32)) & last
    while table[slot, 0] != key:
        if table[slot, 1] == 0:
            table[slot, 0] = key
            pairs[used, 2] = slot
            used += 1
            break
        slot = (slot + np.uint64(1)) & last
    table[slot, 1] += value
    return used
