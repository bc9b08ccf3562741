"""Compiled kernels of super-BPD: sets of roots, and regions that merge on their graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from owseg.grouping._field import SOURCE
from owseg.grouping._trees import Ints, Longs
from owseg.jit import entry, inner
from owseg.types import UInt8Array, UInt16Array

Means = npt.NDArray[np.float64]

_LOW = 0xFFFFFFFF
_BUCKETS, _FEW = 1024, 16


@inner
def _find(parent: Ints, item: int) -> Any:
    """Return the representative of a set, the smallest member, and shorten the way to it."""
    here = np.uint32(item)
    above = parent[here]
    while above != here:
        beyond = parent[np.uint32(above)]
        parent[here] = beyond
        here = np.uint32(beyond)
        above = parent[here]
    return above


@entry
def join_roots(
    code: UInt8Array, angle: UInt8Array, roots: Ints, radius: int, waves: Ints, label: Ints
) -> int:
    """Give an id to each set of roots that lie close together and where the field flows in.

    Roots of a row with gaps of at most `radius` are a run. A cell between the ends of a run
    is within `radius` of one of its roots, so that runs of different rows are compared by
    their ends.

    Args:
        code: padded codes; roots where the field flows apart become `SOURCE`.
        angle: padded angles.
        roots: positions of the roots in raster order.
        radius: largest Chebyshev distance of two roots that join.
        waves: (320,) cosine of i - 64 angle units in whole numbers; sine is 64 earlier.
        label: padded; becomes the id at each root.

    Returns:
        The number of sets; ids are 1, 2, ... in raster order of their first roots.
    """
    wide = angle.shape[1]
    codes, angles, labels = code.reshape(-1), angle.reshape(-1), label.reshape(-1)
    run_of, begins, ends = np.empty((3, roots.size), np.int32)
    runs, current, last = 0, 0, -1 - radius
    for r in range(roots.size):
        p = roots[r]
        flow = waves[64 + angles[np.uint32(p + wide)]] - waves[64 + angles[np.uint32(p - wide)]]
        flow += waves[angles[np.uint32(p + 1)]] - waves[angles[np.uint32(p - 1)]]
        if flow > 0:
            codes[p] = SOURCE
            run_of[r], begins[runs], ends[runs] = runs, p, -1
            runs += 1
            continue
        if p - last > radius:
            current, begins[runs] = runs, p
            runs += 1
        run_of[r], ends[current], last = current, p, p
    sets = np.arange(runs).astype(np.int32)
    for back in range(1, radius + 1):
        k = 0
        for r in range(runs):
            if ends[r] < 0:
                continue
            low, high = begins[r] - back * wide - radius, ends[r] - back * wide + radius
            while ends[k] < low:
                k += 1
            other = k
            while begins[other] <= high:
                if ends[other] >= 0:
                    i, j = _find(sets, other), _find(sets, r)
                    sets[max(i, j)] = min(i, j)
                other += 1
    ids = np.empty(runs, np.int32)
    count = 0
    for r in range(runs):
        fresh = sets[r] == r
        count += fresh
        ids[r] = count if fresh else ids[sets[r]]
    for r in range(roots.size):
        labels[roots[r]] = ids[run_of[r]]
    return count


@entry
def take_pairs(table: Longs, slots: Ints) -> Any:
    """Take the pairs out of a hash table, which is empty afterwards.

    Returns:
        (E,) int64 keys i << 32 | j, (E,) int64 cells on the border, (E,) float64 mean angle,
        0..128.
    """
    edges, lengths = np.empty(slots.size, np.int64), np.empty(slots.size, np.int64)
    means = np.empty(slots.size, np.float64)
    for e in range(slots.size):
        slot = slots[e]
        edges[e], lengths[e] = table[slot, 0], table[slot, 1] >> 32
        means[e] = (table[slot, 1] & _LOW) / lengths[e]
        table[slot, 0] = 0
    return edges, lengths, means


@entry
def merge_regions(
    edges: Longs,
    means: Means,
    area: Ints,
    repel: float,
    weak_large: float,
    weak_small: float,
    small: float,
    large: float,
) -> Ints:
    """Merge regions along weak borders, then small ones.

    Args:
        edges: (E,) pairs of ids, i << 32 | j with i < j.
        means: (E,) mean angle between them, 0..128.
        area: (N,) cells of each id; becomes those of its region at the lowest id of one.
        repel: ids with a larger angle never get into one region.
        weak_large: large regions merge below this angle.
        weak_small: others merge below this angle.
        small: largest area of a small region.
        large: regions with a larger area are large.

    Returns:
        (N,) another id of the region, by id; the lowest id of a region has itself.
    """
    parent = np.arange(area.size).astype(np.int32)
    weak = max(weak_large, weak_small)
    order = _merge_order(edges, means, area, repel, weak, small)
    heads, tails, foes = _empty_lists(area.size)
    nexts = np.full(2 * edges.size, -1, np.int32)
    for e in range(edges.size):
        if means[e] > repel:
            for half, i in ((2 * e, edges[e] >> 32), (2 * e + 1, edges[e] & _LOW)):
                _link(heads, tails, nexts, i, half)
                foes[i] += 1
    for smaller in (False, True):
        for e in order:
            if not smaller and means[e] >= weak:
                break
            i, j = _find(parent, edges[e] >> 32), _find(parent, edges[e] & _LOW)
            least = min(area[i], area[j])
            if i == j or (least <= small) != smaller:
                continue
            if not smaller and means[e] >= (weak_large if least > large else weak_small):
                continue
            fewer, more = (i, j) if foes[i] <= foes[j] else (j, i)
            if not _has_neighbour(parent, edges, heads, nexts, fewer, more):
                low, high = min(i, j), max(i, j)
                parent[high] = low
                area[low] += area[high]
                foes[low] += foes[high]
                _splice(heads, tails, nexts, low, high)
    return parent


@entry
def absorb_slivers(parent: Ints, area: Ints, edges: Longs, lengths: Longs, sliver: float) -> None:
    """Give regions of fewer than `sliver` cells to the neighbour with the longest border.

    The smallest region goes first, the lowest id first among equals, both as they are at
    the beginning; one that has grown in the meantime stays. Among equal borders the lowest
    id wins.

    Args:
        parent: (N,) another id of the region, by id; changed.
        area: (N,) cells of each region at its lowest id; changed.
        edges: (E,) pairs of ids.
        lengths: (E,) cells on the border.
        sliver: smallest area of a region that stays.
    """
    heads, tails, _ = _empty_lists(area.size)
    nexts = np.full(2 * edges.size, -1, np.int32)
    for e in range(edges.size):
        i, j = _find(parent, edges[e] >> 32), _find(parent, edges[e] & _LOW)
        if i != j:  # nobody asks for the neighbours of a region that is large enough
            if area[i] < sliver:
                _link(heads, tails, nexts, i, 2 * e)
            if area[j] < sliver:
                _link(heads, tails, nexts, j, 2 * e + 1)
    border = np.zeros(area.size, np.int64)
    for first in _slivers(parent, area, sliver):
        i = _find(parent, first)
        if area[i] >= sliver:
            continue
        j = _longest_border(parent, edges, lengths, heads, nexts, border, i)
        if j > 0:
            low, high = min(i, j), max(i, j)
            parent[high] = low
            area[low] += area[high]
            _splice(heads, tails, nexts, low, high)


@entry
def number_regions(parent: Ints, area: Ints, smallest: float, most: int) -> UInt16Array:
    """Give numbers 1, 2, ... to the regions, in the order of their lowest ids.

    Returns:
        (N,) uint16 number by id; 0 for regions of fewer than `smallest` cells, for those
        beyond the number `most`, and for id 0.
    """
    numbers = np.zeros(parent.size, np.uint16)
    count = 0
    for i in range(1, parent.size):
        root = _find(parent, i)
        if root != i:
            numbers[i] = numbers[root]
        elif area[i] >= smallest and count < most:
            count += 1
            numbers[i] = count
    return numbers


# Order -----------------------------------------------------------------------------------------


@inner
def _merge_order(
    edges: Longs, means: Means, area: Ints, repel: float, weak: float, small: float
) -> Ints:
    """Pick the pairs that can ever merge, ordered by mean, then i and j.

    Areas only grow, so that a pair with a strong border and two regions that are not small
    never merges.
    """
    chosen = np.empty(edges.size, np.int32)
    ends = np.zeros(_BUCKETS + 1, np.int32)
    count = 0
    for e in range(edges.size):
        least = min(area[np.uint64(edges[e] >> 32)], area[np.uint64(edges[e] & _LOW)])
        if means[e] <= repel and (means[e] < weak or least <= small):
            chosen[count] = e
            count += 1
            ends[_bucket(means[e]) + 1] += 1
    order = np.empty(count, np.int32)
    places = np.cumsum(ends)
    for e in chosen[:count]:
        b = _bucket(means[e])
        order[places[b]] = e
        places[b] += 1
    end = 0
    for b in range(_BUCKETS):
        begin, end = end, end + ends[b + 1]
        if end - begin > _FEW:
            order[begin:end] = _sorted(order[begin:end].copy(), edges, means)
        else:
            for k in range(begin + 1, end):
                e, at = order[k], k
                while at > begin and _after(order[at - 1], e, edges, means):
                    order[at] = order[at - 1]
                    at -= 1
                order[at] = e
    return order


@inner
def _bucket(mean: float) -> int:
    return min(int(mean * (_BUCKETS / 128)), _BUCKETS - 1)


@inner
def _sorted(order: Ints, edges: Longs, means: Means) -> Ints:
    """Merge sort of indices by mean, then key."""
    other = np.empty_like(order)
    width = 1
    while width < order.size:
        for begin in range(0, order.size, 2 * width):
            middle, end = min(begin + width, order.size), min(begin + 2 * width, order.size)
            a, b = begin, middle
            for k in range(begin, end):
                if b >= end or (a < middle and not _after(order[a], order[b], edges, means)):
                    other[k] = order[a]
                    a += 1
                else:
                    other[k] = order[b]
                    b += 1
        order, other = other, order
        width *= 2
    return order


@inner
def _after(e: int, f: int, edges: Longs, means: Means) -> Any:
    return means[e] > means[f] or (means[e] == means[f] and edges[e] > edges[f])


@inner
def _slivers(parent: Ints, area: Ints, sliver: float) -> Ints:
    """Lowest ids of regions with fewer cells, by area, then id."""
    codes = np.empty(parent.size, np.int64)
    count = 0
    for i in range(1, parent.size):
        if parent[i] == i and area[i] < sliver:
            codes[count] = np.int64(area[i]) << 32 | i
            count += 1
    return (np.sort(codes[:count]) & _LOW).astype(np.int32)


# Neighbours of regions, as linked lists of halves of edges -------------------------------------


@inner
def _empty_lists(count: int) -> Any:
    """First and last elements of `count` lists, and zeros."""
    return np.full(count, -1, np.int32), np.full(count, -1, np.int32), np.zeros(count, np.int32)


@inner
def _link(heads: Ints, tails: Ints, nexts: Ints, i: int, half: int) -> None:
    """Append one element to a list."""
    if tails[i] < 0:
        heads[i] = half
    else:
        nexts[tails[i]] = half
    tails[i] = half


@inner
def _splice(heads: Ints, tails: Ints, nexts: Ints, to: int, of: int) -> None:
    """Append a whole list to another."""
    if heads[of] < 0:
        return
    if tails[to] < 0:
        heads[to] = heads[of]
    else:
        nexts[tails[to]] = heads[of]
    tails[to] = tails[of]


@inner
def _other_end(parent: Ints, edges: Longs, half: int) -> Any:
    """Region across an edge: half 2 e belongs to i, half 2 e + 1 to j."""
    key = edges[half >> 1]
    return _find(parent, key >> 32 if half & 1 else key & _LOW)


@inner
def _has_neighbour(parent: Ints, edges: Longs, heads: Ints, nexts: Ints, i: int, j: int) -> bool:
    """Tell whether a region is among those that the list of another leads to."""
    half = heads[i]
    while half >= 0:
        if _other_end(parent, edges, half) == j:
            return True
        half = nexts[half]
    return False


@inner
def _longest_border(
    parent: Ints, edges: Longs, lengths: Longs, heads: Ints, nexts: Ints, border: Longs, i: int
) -> int:
    """Return the neighbour with the longest border, 0 without one; `border` stays zero."""
    half = heads[i]
    while half >= 0:
        j = _other_end(parent, edges, half)
        if j != i:
            border[j] += lengths[half >> 1]
        half = nexts[half]
    best, longest = 0, np.int64(0)
    half = heads[i]
    while half >= 0:
        j = _other_end(parent, edges, half)
        if border[j] > longest or (border[j] == longest and longest > 0 and j < best):
            best, longest = j, border[j]
        half = nexts[half]
    half = heads[i]
    while half >= 0:
        border[_other_end(parent, edges, half)] = 0
        half = nexts[half]
    return best
