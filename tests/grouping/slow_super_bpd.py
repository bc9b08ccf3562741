"""Super-BPD in plain Python, one definition after the other: what the fast one must equal.

Nothing here is shared with the package but the names of the limits. Cells are (row, column),
regions are sets, sums are whole numbers.
"""

from __future__ import annotations

import math
from collections import defaultdict
from fractions import Fraction

import numpy as np

OFFSETS = [(1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1)]


def angles(field):
    """Quantise (2, h, w) float32 to 1/256 of a turn, with the operations of the kernel."""
    f32 = np.float32
    units = 256.0 / (2.0 * math.pi)
    odd = (0.9998660, -0.3302995, 0.1801410, -0.0851330, 0.0208351)
    a1, a3, a5, a7, a9 = (f32(a * units) for a in odd)
    tall, wide = np.abs(field[0]), np.abs(field[1])
    t = np.minimum(tall, wide) / np.maximum(np.maximum(tall, wide), f32(1e-30))
    s = t * t
    r = t * (a1 + s * (a3 + s * (a5 + s * (a7 + s * a9))))
    r = np.where(wide > tall, f32(64) - r, r)
    r = np.where(field[0] < 0, f32(128) - r, r)
    r = np.where(field[1] < 0, f32(256) - r, r)
    assert r.dtype == np.float32
    return ((r + f32(0.5)).astype(np.int32) & 255).astype(np.uint8)


def doubled(field):
    """Interpolate (2, h, w) float32 at twice the resolution: rows first, then columns."""
    quarter, rest = np.float32(0.25), np.float32(0.75)
    for axis in (1, 2):
        before = np.take(field, np.maximum(np.arange(field.shape[axis]) - 1, 0), axis)
        last = field.shape[axis] - 1
        after = np.take(field, np.minimum(np.arange(last + 1) + 1, last), axis)
        pair = np.stack([rest * field + quarter * before, rest * field + quarter * after], axis + 1)
        shape = list(field.shape)
        shape[axis] *= 2
        field = pair.reshape(shape)
    return field


def turn(a, b):
    """Angle between two quantised directions, 0..128."""
    gap = (int(a) - int(b)) % 256
    return min(gap, 256 - gap)


def partition(angle, mask, limits):
    """Partition a mask.

    Args:
        angle: (h, w) uint8.
        mask: (h, w) bool.
        limits: `owseg.grouping.partition.Limits`.

    Returns:
        (h, w) int64 regions 1, 2, ..., 0 elsewhere; None where too many cells are roots.
    """
    parent = {cell: parent_of(angle, mask, cell, limits.turn) for cell in cells_of(mask)}
    roots = [cell for cell in parent if parent[cell] == cell]
    if len(roots) > int(limits.max_roots * len(parent)):
        return None
    cut_cycles(parent)
    ids = number_trees(parent, joined(roots, angle, limits.radius))
    total, count = border_sums(parent, ids, angle)
    regions = merged(ids, total, count, limits)
    return numbered(angle.shape, ids, regions, limits.smallest)


def cells_of(mask):
    """Cells of the mask in raster order."""
    return [(int(y), int(x)) for y, x in zip(*np.nonzero(mask), strict=True)]


def parent_of(angle, mask, cell, most):
    """Return the neighbour that a cell points at; itself if that is outside or turns too far."""
    sector = math.floor((int(angle[cell]) / 256 * 2 * math.pi + math.pi / 8) / (math.pi / 4)) % 8
    y, x = cell[0] + OFFSETS[sector][0], cell[1] + OFFSETS[sector][1]
    inside = 0 <= y < mask.shape[0] and 0 <= x < mask.shape[1] and mask[y, x]
    return (y, x) if inside and turn(angle[cell], angle[y, x]) <= most else cell


def cut_cycles(parent):
    """Make the first cell of every cycle a root."""
    done = set()
    for start in parent:
        path = []
        cell = start
        while cell not in done:
            done.add(cell)
            path.append(cell)
            cell = parent[cell]
        if cell in path and parent[cell] != cell:
            first = min(path[path.index(cell) :])
            parent[first] = first


def joined(roots, angle, radius):
    """Join roots at most `radius` apart where the field flows in; sets in raster order."""
    flowing = [root for root in roots if flow(angle, root) <= 0]
    group = {root: {root} for root in roots}
    for a in flowing:
        for b in flowing:
            if max(abs(a[0] - b[0]), abs(a[1] - b[1])) <= radius and group[a] is not group[b]:
                union = group[a] | group[b]
                group.update(dict.fromkeys(union, union))
    return sorted({id(s): sorted(s) for s in group.values()}.values())


def flow(angle, cell):
    """Divergence by central differences, in integers; the edge of the image is repeated."""
    (y, x), (h, w) = cell, angle.shape

    def component(row, column, wave):
        at = int(angle[min(max(row, 0), h - 1), min(max(column, 0), w - 1)])
        return round(wave(2 * math.pi * at / 256) * 2**14)

    down = component(y + 1, x, math.cos) - component(y - 1, x, math.cos)
    return down + component(y, x + 1, math.sin) - component(y, x - 1, math.sin)


def number_trees(parent, sets):
    """Ids by cell: those of the sets of roots, then those of cycles in raster order."""
    ids = {root: i for i, group in enumerate(sets, start=1) for root in group}
    for cell in parent:
        if parent[cell] == cell and cell not in ids:
            ids[cell] = max(ids.values(), default=0) + 1
    for cell in parent:
        end = cell
        while parent[end] != end:
            end = parent[end]
        ids[cell] = ids[end]
    return ids


def ahead(parent, cell):
    """Three parents further on."""
    return parent[parent[parent[cell]]]


def border_sums(parent, ids, angle):
    """Sum of angles and number of cell pairs for each pair of ids that touch."""
    total, count = defaultdict(int), defaultdict(int)
    for y, x in ids:
        for other in ((y, x + 1), (y + 1, x)):
            if other in ids and ids[other] != ids[y, x]:
                pair = tuple(sorted((ids[y, x], ids[other])))
                ends = ahead(parent, (y, x)), ahead(parent, other)
                total[pair] += turn(angle[ends[0]], angle[ends[1]])
                count[pair] += 1
    return total, count


class Regions:
    """Regions as sets of ids, by their lowest."""

    def __init__(self, ids):
        self.members = {i: {i} for i in ids.values()}
        self.area = defaultdict(int)
        for i in ids.values():
            self.area[i] += 1

    def of(self, i):
        return next(low for low, members in self.members.items() if i in members)

    def merge(self, a, b):
        low, high = min(a, b), max(a, b)
        self.members[low] |= self.members.pop(high)
        self.area[low] += self.area.pop(high)


def merged(ids, total, count, limits):
    """Merge along weak borders, then small regions, then absorb slivers."""
    regions = Regions(ids)
    mean = {pair: Fraction(total[pair], count[pair]) for pair in total}
    foes = {pair for pair in mean if mean[pair] > limits.repel}
    order = sorted((m, *pair) for pair, m in mean.items())
    for small in (False, True):
        for m, i, j in order:
            a, b = regions.of(i), regions.of(j)
            least = min(regions.area[a], regions.area[b])
            weak = limits.weak_large if least > limits.large else limits.weak_small
            if a == b or (i, j) in foes or (least <= limits.small) != small:
                continue
            if not small and m >= weak:
                continue
            sides = (regions.members[a], regions.members[b])
            if not any(
                (p in sides[0] and q in sides[1]) or (q in sides[0] and p in sides[1])
                for p, q in foes
            ):
                regions.merge(a, b)
    absorb(regions, count, limits.sliver)
    return regions


def absorb(regions, count, sliver):
    """Give slivers, the smallest first, to the neighbour with the longest border."""
    slivers = sorted((area, low) for low, area in regions.area.items() if area < sliver)
    for _, low in slivers:
        a = regions.of(low)
        if regions.area[a] >= sliver:
            continue
        border = defaultdict(int)
        for (i, j), cells in count.items():
            p, q = regions.of(i), regions.of(j)
            if p != q and a in (p, q):
                border[p + q - a] += cells
        if border:
            regions.merge(a, min(border, key=lambda b: (-border[b], b)))


def numbered(shape, ids, regions, smallest):
    """Regions by cell, numbered by their lowest ids; 0 for those that are too small."""
    kept = [low for low in sorted(regions.members) if regions.area[low] >= smallest]
    number = {i: kept.index(low) + 1 for low in kept for i in regions.members[low]}
    out = np.zeros(shape, np.int64)
    for cell, i in ids.items():
        out[cell] = number.get(i, 0)
    return out
