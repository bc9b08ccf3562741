"""Stable ids of unknown objects over time.

Objects keep their id as long as they overlap from frame to frame, or move by less than
their own size. Ids are handed out in ascending order; those of objects that are gone are
used again only when all others have been used, the one that has been free longest first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from owseg.errors import UsageError
from owseg.jit import warm_up
from owseg.types import Cluster, FloatArray, UInt16Array

Longs = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_FIRST_SLOTS = 1 << 10


@dataclass(frozen=True, kw_only=True)
class TrackingRules:
    """When an object of this frame is one of the frame before.

    Attributes:
        min_iou: smallest intersection over union, 0..1, of objects that overlap.
        reach: largest distance, in square roots of the area, between an object and the place
            where one that it does not overlap enough is expected.
        max_growth: largest ratio of their areas then.
        patience: frames for which the place of a lost object is remembered.
        last_id: largest id, 1..65535.

    Raises:
        UsageError: a value is out of its range.
    """

    min_iou: float = 0.1
    reach: float = 1.0
    max_growth: float = 3.0
    patience: int = 3
    last_id: int = 65535

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        ranges = {"min_iou": (0, 1), "reach": (0, 100), "max_growth": (1, 1000)}
        ranges |= {"patience": (0, 10_000), "last_id": (1, 65535)}
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise UsageError(
                    f"the tracking rule '{name}' must be in {low}..{high}, got {value}"
                )


ID, ROW, COLUMN, CELLS, DOWN, RIGHT, BORN, LOST = range(8)
"""Columns of tracks: the id (0 = there was none left), middle and size in cells of the map,
cells per frame, the number of the frame that saw it first, frames since it was seen."""


class ClusterTracker:
    """Gives the objects of one camera ids that stay.

    One thread at a time; each camera needs a tracker of its own.

    Args:
        rules: when two objects are one.

    Raises:
        MissingDependencyError: numba is not installed.
    """

    def __init__(self, rules: TrackingRules | None = None) -> None:
        from owseg.grouping import _observe

        self._kernel = _observe
        self._rules = rules or TrackingRules()
        self._table = np.zeros((_FIRST_SLOTS, 2), np.int64)
        self.reset()

    def reset(self) -> None:
        """Forget all objects, as at the beginning of another drive; ids start from 1 again."""
        self._free: deque[int] = deque()
        self._fresh = 1
        self._forget()

    def _forget(self) -> None:
        self._before: UInt16Array = np.zeros((0, 0), np.uint16)
        self._seen, self._lost = np.zeros((2, 0, 8))
        self._frames = 0

    def warm_up(self) -> None:
        """Compile what no cache has yet."""
        clusters, scores = np.eye(2, dtype=np.uint16), np.zeros((2, 2), np.float32)
        warm_up(lambda: ClusterTracker(self._rules).update(clusters, scores), self._kernel)

    def update(
        self,
        clusters: UInt16Array,
        anomaly: FloatArray,
        size: tuple[int, int] | None = None,
    ) -> tuple[UInt16Array, tuple[Cluster, ...]]:
        """Follow the objects into the next frame.

        A map of another shape than before starts anew, with ids that were not in use.

        Args:
            clusters: (h, w) uint16 ids 1, 2, ... without gaps, 0 = none; not to be changed
                afterwards.
            anomaly: (h, w) float32, 0..1.
            size: (height, width) of the frame, if its pixels repeat those of the map (to the
                nearest); areas and boxes are in its pixels.

        Returns:
            (height, width) uint16 ids that stay, and the objects, in the order of `clusters`;
            those of which the frame shows no pixel are left out.

        Raises:
            UsageError: the maps are not of one shape.
        """
        if clusters.shape != anomaly.shape or clusters.ndim != 2:
            raise UsageError(
                f"clusters are {clusters.shape}, but anomaly scores are {anomaly.shape}"
            )
        clusters = np.require(clusters, np.uint16, ("C", "A", "W"))
        if self._before.shape != clusters.shape:
            self._bury(np.concatenate([self._seen, self._lost]))
            self._forget()
            self._before = np.zeros_like(clusters)
        edges = [_edges(*pair) for pair in zip(clusters.shape, size or clusters.shape, strict=True)]
        measures, pairs = self._observed(clusters, anomaly, edges)
        self._frames += 1
        self._seen = self._assigned(measures, pairs)
        self._before = clusters
        table = np.zeros(len(measures) + 1, np.uint16)
        table[1:] = self._seen[:, ID]
        shown = np.empty((edges[0][-1], edges[1][-1]), np.uint16)
        self._kernel.show(table, clusters, edges[1], edges[0], shown)
        return shown, tuple(self._described(measures))

    def _observed(
        self, clusters: UInt16Array, anomaly: FloatArray, edges: Sequence[Longs]
    ) -> tuple[Longs, Longs]:
        """Return measures (N, 9) and overlaps (P, 3): id now, id before, cells."""
        scores = np.require(anomaly, np.float32, ("C", "A", "W"))
        count = int(clusters.max(initial=0))
        while True:
            measures = np.zeros((count + 1, 9), np.int64)
            pairs = np.empty((len(self._table) // 2, 3), np.int64)
            used = self._kernel.observe(
                clusters, self._before, scores, edges[1], edges[0], measures, self._table, pairs
            )
            if used < len(pairs):
                return measures[1:], pairs[:used]
            self._table = np.zeros((2 * len(self._table), 2), np.int64)

    # Who is who --------------------------------------------------------------------------------

    def _assigned(self, measures: Longs, pairs: Longs) -> Floats:
        """Return the tracks of the objects of this frame; those without an object get lost."""
        tracks = _begun(measures, self._frames)
        known = np.concatenate([self._seen, self._lost])
        found, free = np.full(len(tracks), -1, np.int64), np.ones(len(known), np.bool_)
        for i, j in self._overlapping(tracks, pairs):
            found[i], free[j] = j, False
        waiting, news = np.flatnonzero(free), np.flatnonzero(found < 0)
        for i, j in self._near(tracks[news], known[waiting]):
            found[news[i]], free[waiting[j]] = waiting[j], False
        self._lose(known[free])
        stays = found >= 0
        old = known[found[stays]]
        moved = (tracks[stays, ROW:CELLS] - old[:, ROW:CELLS]) / (old[:, LOST:] + 1)
        tracks[stays, DOWN:BORN] = moved
        tracks[stays, ID], tracks[stays, BORN] = old[:, ID], old[:, BORN]
        tracks[~stays, ID] = [self._new_id() for _ in range(len(tracks) - len(old))]
        return tracks

    def _overlapping(self, tracks: Floats, pairs: Longs) -> list[tuple[int, int]]:
        """Pair objects with those of the frame before, the largest IoU first."""
        pairs = pairs[(pairs[:, 0] > 0) & (pairs[:, 1] > 0)]
        now, then, shared = pairs[:, 0] - 1, pairs[:, 1] - 1, pairs[:, 2]
        iou = shared / (tracks[now, CELLS] + self._seen[then, CELLS] - shared)
        keep = iou > self._rules.min_iou
        return _greedy(now[keep], then[keep], -iou[keep])

    def _near(self, news: Floats, waiting: Floats) -> list[tuple[int, int]]:
        """Pair objects with lost ones whose place they may have, the nearest first."""
        if not len(news) or not len(waiting):
            return []
        there = waiting[:, ROW:CELLS] + waiting[:, DOWN:BORN] * (waiting[:, LOST:] + 1)
        gap = np.linalg.norm(news[:, None, ROW:CELLS] - there, axis=2)
        cells = news[:, None, CELLS], waiting[:, CELLS]
        growth = cells[0] / cells[1]
        distance = gap / np.sqrt(np.minimum(*cells))
        fits = np.maximum(growth, 1 / growth) <= self._rules.max_growth
        i, j = np.nonzero(fits & (distance <= self._rules.reach))
        return _greedy(i, j, distance[i, j])

    # Births and deaths -------------------------------------------------------------------------

    def _new_id(self) -> int:
        if self._fresh <= self._rules.last_id:
            self._fresh += 1
            return self._fresh - 1
        return self._free.popleft() if self._free else 0

    def _lose(self, tracks: Floats) -> None:
        """Remember the places of objects that are not seen, for a while."""
        tracks[:, LOST] += 1
        patient = tracks[:, LOST] <= self._rules.patience
        self._lost = tracks[patient]
        self._bury(tracks[~patient])

    def _bury(self, tracks: Floats) -> None:
        """Give back the ids of objects that are gone."""
        self._free.extend(int(number) for number in tracks[:, ID] if number)

    def _described(self, measures: Longs) -> list[Cluster]:
        k = self._kernel
        means = measures[:, k.ANOMALY] / (np.maximum(measures[:, k.CELLS], 1) * k.SCALE)
        boxes = measures[:, [k.AREA, k.LEFT, k.TOP, k.RIGHT, k.BOTTOM]].tolist()
        return [
            Cluster(
                id=int(number),
                area=area,
                box=(left, top, right - left, bottom - top),
                mean_anomaly=mean,
                age=self._frames - int(born) + 1,
            )
            for (number, born), mean, (area, left, top, right, bottom) in zip(
                self._seen[:, [ID, BORN]].tolist(), means.tolist(), boxes, strict=True
            )
            if number and area
        ]


def _begun(measures: Longs, frame: int) -> Floats:
    """Return tracks (N, 8) that begin in this frame and have no id yet."""
    from owseg.grouping import _observe

    tracks = np.zeros((len(measures), 8))
    tracks[:, CELLS] = np.maximum(measures[:, _observe.CELLS], 1)
    tracks[:, ROW] = measures[:, _observe.ROWS] / tracks[:, CELLS]
    tracks[:, COLUMN] = measures[:, _observe.COLUMNS] / (2 * tracks[:, CELLS])
    tracks[:, BORN] = frame
    return tracks


def _greedy(
    first: npt.NDArray[np.intp], second: npt.NDArray[np.intp], cost: Floats
) -> list[tuple[int, int]]:
    """Choose pairs by rising cost, so that none shares a member with another."""
    chosen: list[tuple[int, int]] = []
    taken: tuple[set[int], set[int]] = (set(), set())
    for e in np.lexsort((second, first, cost)).tolist():
        i, j = int(first[e]), int(second[e])
        if i not in taken[0] and j not in taken[1]:
            chosen.append((i, j))
            taken[0].add(i)
            taken[1].add(j)
    return chosen


@lru_cache(maxsize=16)
def _edges(cells: int, pixels: int) -> Longs:
    """Return the first pixel that shows each cell when OpenCV enlarges a map to the nearest.

    Returns:
        (cells + 1,) int64; the last is `pixels`.
    """
    numbers = np.arange(cells, dtype=np.float32)[None]
    shown = cv2.resize(numbers, (pixels, 1), interpolation=cv2.INTER_NEAREST_EXACT)[0]
    return np.searchsorted(shown, np.arange(cells + 1)).astype(np.int64)
