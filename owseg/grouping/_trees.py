"""Compiled kernels of super-BPD: trees of parents, and which of them touch.

Padded maps as in `_field`; cells are named by their position in the flat map.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from owseg.grouping._field import PAD, ROOT, SOURCE
from owseg.jit import entry, inner
from owseg.types import UInt8Array

Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]

_LEFT, _RIGHT = 6, 2
_ONES, _HIGH = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)
_RANKS = np.uint64(0x0001020304050607)
"""Times 1 << 8 k it has k in its highest byte."""
_MIX = np.uint64(0x9E3779B97F4A7C15)
_CELL = np.int64(1) << 32


@inner
def _holds(word: Any, byte: int) -> bool:
    """Tell whether one of the eight bytes of a word has a value."""
    rest = word ^ (_ONES * np.uint64(byte))
    return bool((rest - _ONES) & ~rest & _HIGH)


@inner
def _lowest(flags: Any) -> Any:
    """Index of the lowest byte that is 1; all others are 0 or 1."""
    return ((flags & (~flags + np.uint64(1))) * _RANKS) >> np.uint64(56)


@entry
def list_roots(code: UInt8Array, roots: Ints) -> int:
    """Write the positions of the roots in raster order; return their number.

    Args:
        code: padded codes.
        roots: room for them; where it is too small, no more are written.
    """
    flat = code.reshape(-1)
    words = flat.view(np.uint64)
    count = 0
    for i in range(words.size):
        if not _holds(words[i], ROOT):
            continue
        rest = words[i] ^ (_ONES * np.uint64(ROOT))
        flags = ~(((rest & ~_HIGH) + ~_HIGH) | rest | ~_HIGH) >> np.uint64(7)
        if count + 8 > roots.size:
            return int(roots.size)
        while flags != 0:
            roots[np.uint64(count)] = np.uint64(8 * i) + _lowest(flags)
            flags &= flags - np.uint64(1)
            count += 1
    return count


@entry
def follow_parents(code: UInt8Array, label: Ints, offsets: Ints, sets: int, cuts: Ints) -> int:
    """Give every cell the id of its root.

    A tree without a root, a cycle, is cut at its first cell in raster order, which becomes
    a `SOURCE`; their ids come last, in raster order of these cells.

    Down the rows each cell takes the label of its parent, or points at it (minus its
    position) where the parent comes in a later row; up the rows pointers become labels.
    The cases are chosen by masks of bits, and written to a row of its own: otherwise the
    loop does not become vector code.

    Args:
        code: padded codes.
        label: padded; the id at each root on entry, at every cell on return, 0 outside.
        offsets: (16,) offset of the parent by code, 0 for roots.
        sets: number of ids so far.
        cuts: room for the positions of the cuts.

    Returns:
        The number of ids.
    """
    height, wide = code.shape
    labels, codes = label.reshape(-1), code.reshape(-1)
    words = codes.view(np.uint64)
    row = np.empty(wide, np.int32)
    _clear_rim(label)
    for y in range(PAD, height - PAD):
        line, up, here = code[y], label[y - 1], label[y]
        below = np.int32(-(y + 1) * wide)
        for x in range(PAD, wide - PAD):
            k = line[x]
            down = np.int32(-np.int32(k == np.uint8(0)))
            down_right = np.int32(-np.int32(k == np.uint8(1)))
            down_left = np.int32(-np.int32(k == np.uint8(7)))
            above_right = np.int32(-np.int32(k == np.uint8(3)))
            above = np.int32(-np.int32(k == np.uint8(4)))
            above_left = np.int32(-np.int32(k == np.uint8(5)))
            root = np.int32(-np.int32((k == np.uint8(ROOT)) | (k == np.uint8(SOURCE))))
            pointer = np.int32(below - np.int32(x)) & (down | down_right | down_left)
            taken = (up[x + 1] & above_right) | (up[x] & above) | (up[x - 1] & above_left)
            row[x] = np.int32(pointer + down_right - down_left) | taken | (here[x] & root)
        for x in range(PAD, wide - PAD):
            here[x] = row[x]
        _take_from_beside(codes, words, labels, y * (wide >> 3), (y + 1) * (wide >> 3))
    cycles = 0
    for y in range(height - PAD - 1, PAD - 1, -1):
        for p in range((y + 1) * wide - PAD - 1, y * wide + PAD - 1, -1):
            q = labels[np.uint64(p)]
            if q < 0:
                found = labels[np.uint32(-q)]
                if found < 0:
                    found, cycles = _chase(codes, labels, offsets, p, sets, cycles, cuts)
                labels[np.uint64(p)] = found
    if cycles > 1:
        _order_cycles(labels, sets, cuts[:cycles])
    return sets + cycles


@inner
def _take_from_beside(codes: UInt8Array, words: Any, labels: Ints, begin: int, end: int) -> None:
    """Take labels of parents in the same row, eight cells at a time where there are any."""
    for i in range(begin, end):
        if _holds(words[np.uint64(i)], _LEFT):
            value = labels[np.uint64(8 * i - 1)]
            for k in range(8):
                p = np.uint64(8 * i + k)
                value = value if codes[p] == _LEFT else labels[p]
                labels[p] = value
    for i in range(end - 1, begin - 1, -1):
        if _holds(words[np.uint64(i)], _RIGHT):
            value = labels[np.uint64(8 * i + 8)]
            for k in range(8):
                p = np.uint64(8 * i + 7 - k)
                value = value if codes[p] == _RIGHT else labels[p]
                labels[p] = value


@inner
def _clear_rim(label: Ints) -> None:
    """Set the rim to 0."""
    height, wide = label.shape
    for y in range(height):
        if PAD <= y < height - PAD:
            for x in range(PAD):
                label[y, x] = label[y, wide - 1 - x] = 0
        else:
            for x in range(wide):
                label[y, x] = 0


@inner
def _chase(
    codes: UInt8Array, labels: Ints, offsets: Ints, p: int, sets: int, cycles: int, cuts: Ints
) -> Any:
    """Follow pointers from a cell to a label; cut the tree where that never ends (Brent)."""
    q, mark, steps, power = -labels[p], p, 0, 1
    while labels[q] < 0 and q != mark:
        steps += 1
        if steps == power:
            mark, power = q, 2 * power
        q = -labels[q]
    if labels[q] < 0:
        first, r = q, q + offsets[codes[q]]
        while r != q:
            first = min(first, r)
            r += offsets[codes[r]]
        cuts[cycles] = first
        codes[first] = SOURCE
        cycles += 1
        labels[first] = labels[q] = sets + cycles
    found = labels[q]
    while labels[p] < 0:
        q = -labels[p]
        labels[p] = found
        p = q
    return found, cycles


@inner
def _order_cycles(labels: Ints, sets: int, cuts: Ints) -> None:
    """Renumber cycles by the positions of their cuts instead of the order they were met in."""
    order = np.argsort(cuts)
    rank = np.empty(cuts.size + 1, np.int32)
    for i in range(cuts.size):
        rank[order[i] + 1] = sets + 1 + i
    for p in range(labels.size):
        if labels[p] > sets:
            labels[p] = rank[labels[p] - sets]


@entry
def borders(label: Ints, first: Ints, second: Ints, area: Ints) -> int:
    """List the neighbours with different ids, and count the cells of each id.

    Args:
        label: padded ids, 0 outside.
        first: becomes the position of the left or upper cell.
        second: becomes the position of the right or lower cell.
        area: (N + 1,) becomes the cells of each id; that of 0 means nothing.

    Returns:
        The number of pairs of cells; more than there is room for: only that many are listed.
    """
    height, wide = label.shape
    differs = np.zeros(wide, np.uint8)
    words = differs.view(np.uint64)
    area[:] = 0
    count = 0
    for y in range(PAD, height - PAD):
        here, below = label[y], label[y + 1]
        for x in range(PAD, wide - PAD):
            differs[x] = np.uint8(here[x] != here[x + 1]) | np.uint8(here[x] != below[x])
        if count + 2 * wide > first.size:
            return first.size + 1
        begin = PAD
        for i in range(words.size):
            word = words[i]
            while word != 0:
                x = np.uint64(8 * i) + _lowest(word)
                word &= word - np.uint64(1)
                mine, right, under = here[x], here[x + np.uint64(1)], below[x]
                p = y * wide + np.int64(x)
                if mine != right:
                    end = np.int64(x) + 1
                    area[np.uint32(mine)] += end - begin
                    begin = end
                first[np.uint64(count)], second[np.uint64(count)] = p, p + 1
                count += (mine != right) & (mine != 0) & (right != 0)
                first[np.uint64(count)], second[np.uint64(count)] = p, p + wide
                count += (mine != under) & (mine != 0) & (under != 0)
        if begin < wide - PAD:
            area[here[begin]] += wide - PAD - begin
    return count


@entry
def touching_pairs(
    label: Ints,
    code: UInt8Array,
    angle: UInt8Array,
    offsets: Ints,
    first: Ints,
    second: Ints,
    table: Longs,
    slots: Ints,
) -> int:
    """Sum up, for each pair of ids that touch, how far the field turns between them.

    For two cells of a border it is the angle between the cells three parents further on.

    Args:
        label: padded ids.
        code: padded codes.
        angle: padded angles.
        offsets: (16,) offset of the parent by code.
        first: cells on one side of a border.
        second: cells on the other side.
        table: hash table (S, 2), S a power of two, zeros; becomes i << 32 | j with i < j, and
            number of cells << 32 | sum of angles, 0..128 each.
        slots: fewer than S; becomes the places of the pairs in the table.

    Returns:
        The number of pairs; the length of `slots`: the table is too small.
    """
    labels, codes, angles = label.reshape(-1), code.reshape(-1), angle.reshape(-1)
    last = np.uint64(table.shape[0] - 1)
    used = 0
    for i in range(first.size):
        p, q = np.int64(first[i]), np.int64(second[i])
        a, b = np.int64(labels[np.uint64(p)]), np.int64(labels[np.uint64(q)])
        for _ in range(3):
            p += offsets[codes[np.uint64(p)]]
            q += offsets[codes[np.uint64(q)]]
        turn = np.uint8(angles[np.uint64(p)] - angles[np.uint64(q)])
        turn = min(turn, np.uint8(-turn))
        key = min(a, b) << 32 | max(a, b)
        slot = ((np.uint64(key) * _MIX) >> np.uint64(32)) & last
        while table[slot, 0] != key:
            if table[slot, 0] == 0:
                table[slot, 0], table[slot, 1] = key, 0
                slots[used] = slot
                used += 1
                if used == slots.size:
                    return used
                break
            slot = (slot + np.uint64(1)) & last
        table[slot, 1] += _CELL + turn
    return used
