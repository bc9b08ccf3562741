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


@dataclass(slots=True)
class _Track:
    """An object with an id: its middle and step per frame in cells, its age, frames lost."""

    id: int
    row: float
    column: float
    cells: float
    born: int
    down: float = 0.0
    right: float = 0.0
    lost: int = 0


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
        self._seen: list[_Track] = []
        self._lost: list[_Track] = []
        self._frames = 0

    def warm_up(self) -> None:
        """Compile what no cache has yet."""
        empty = np.zeros((2, 2), np.uint16)
        ClusterTracker(self._rules).update(empty, np.zeros((2, 2), np.float32))

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
            self._bury([*self._seen, *self._lost])
            self._forget()
            self._before = np.zeros_like(clusters)
        edges = [_edges(*pair) for pair in zip(clusters.shape, size or clusters.shape, strict=True)]
        measures, pairs = self._observed(clusters, anomaly, edges)
        self._frames += 1
        tracks = self._assigned(measures, pairs)
        self._before = clusters
        table = np.array([0, *(track.id for track in tracks)], np.uint16)
        shown = np.empty((edges[0][-1], edges[1][-1]), np.uint16)
        self._kernel.show(table, clusters, edges[1], edges[0], shown)
        return shown, tuple(self._described(tracks, measures))

    def _observed(
        self, clusters: UInt16Array, anomaly: FloatArray, edges: Sequence[Longs]
    ) -> tuple[Longs, Longs]:
        """Return measures (N, 9) and overlaps (P, 3): index now, index before, cells."""
        scores = np.require(anomaly, np.float32, ("C", "A", "W"))
        count = int(clusters.max(initial=0))
        while True:
            measures = np.zeros((count + 1, 9), np.int64)
            slots = np.empty(len(self._table) // 2, np.int64)
            used = self._kernel.observe(
                clusters, self._before, scores, edges[1], edges[0], measures, self._table, slots
            )
            entries = self._table[slots[:used]]
            self._table[slots[:used]] = 0
            if used < slots.size:
                break
            self._table = np.zeros((2 * len(self._table), 2), np.int64)
        keys = entries[:, 0] - 1
        pairs = np.stack([(keys >> 16) - 1, (keys & 0xFFFF) - 1, entries[:, 1]], axis=1)
        return measures[1:], pairs

    # Who is who --------------------------------------------------------------------------------

    def _assigned(self, measures: Longs, pairs: Longs) -> list[_Track]:
        """Return the track of each object of this frame."""
        found: list[_Track | None] = [None] * len(measures)
        for i, j in self._overlapping(measures, pairs):
            found[i] = self._seen[j]
        continued = {id(track) for track in found if track is not None}
        waiting = [t for t in (*self._seen, *self._lost) if id(t) not in continued]
        news = [i for i, track in enumerate(found) if track is None]
        for i, j in self._near(measures, news, waiting):
            found[i] = waiting[j]
            continued.add(id(waiting[j]))
        self._lose([track for track in waiting if id(track) not in continued])
        self._seen = [
            self._born(*place) if track is None else _moved(track, *place)
            for track, place in zip(found, _places(measures).tolist(), strict=True)
        ]
        return self._seen

    def _overlapping(self, measures: Longs, pairs: Longs) -> list[tuple[int, int]]:
        """Pair objects with those of the frame before, the largest IoU first."""
        pairs = pairs[(pairs[:, 0] >= 0) & (pairs[:, 1] >= 0)]
        before = np.array([track.cells for track in self._seen])
        now, then, shared = pairs.T
        union = measures[now, self._kernel.CELLS] + before[then] - shared
        iou = shared / np.maximum(union, 1)
        keep = iou > self._rules.min_iou
        return _greedy(now[keep], then[keep], -iou[keep])

    def _near(
        self, measures: Longs, news: Sequence[int], waiting: Sequence[_Track]
    ) -> list[tuple[int, int]]:
        """Pair objects with lost ones whose place they may have, the nearest first."""
        if not news or not waiting:
            return []
        here = _places(measures)[list(news)][:, None]
        there = np.array([_expected(track) for track in waiting])
        gap = np.hypot(here[..., 0] - there[:, 0], here[..., 1] - there[:, 1])
        growth = here[..., 2] / there[:, 2]
        distance = gap / np.sqrt(np.minimum(here[..., 2], there[:, 2]))
        fits = np.maximum(growth, 1 / growth) <= self._rules.max_growth
        i, j = np.nonzero(fits & (distance <= self._rules.reach))
        chosen = _greedy(i, j, distance[i, j])
        return [(news[a], b) for a, b in chosen]

    # Births and deaths -------------------------------------------------------------------------

    def _born(self, row: float, column: float, cells: float) -> _Track:
        if self._fresh <= self._rules.last_id:
            number = self._fresh
            self._fresh += 1
        else:
            number = self._free.popleft() if self._free else 0
        return _Track(number, row, column, cells, self._frames)

    def _lose(self, tracks: Sequence[_Track]) -> None:
        """Remember the places of objects that are not seen, for a while."""
        for track in tracks:
            track.lost += 1
        self._lost = [track for track in tracks if track.lost <= self._rules.patience]
        self._bury([track for track in tracks if track.lost > self._rules.patience])

    def _bury(self, tracks: Sequence[_Track]) -> None:
        self._free.extend(track.id for track in tracks if track.id)

    def _described(self, tracks: Sequence[_Track], measures: Longs) -> list[Cluster]:
        k = self._kernel
        described = []
        for track, measure in zip(tracks, measures.tolist(), strict=True):
            left, top = measure[k.LEFT], measure[k.TOP]
            if track.id and measure[k.AREA]:
                described.append(
                    Cluster(
                        id=track.id,
                        area=measure[k.AREA],
                        box=(left, top, measure[k.RIGHT] - left, measure[k.BOTTOM] - top),
                        mean_anomaly=measure[k.ANOMALY] / (measure[k.CELLS] * k.SCALE),
                        age=self._frames - track.born + 1,
                    )
                )
        return described


def _places(measures: Longs) -> Floats:
    """Return the middle row, the middle column and the number of cells of each object."""
    from owseg.grouping._observe import CELLS, COLUMNS, ROWS

    cells = np.maximum(measures[:, CELLS], 1)
    return np.stack([measures[:, ROWS] / cells, measures[:, COLUMNS] / (2 * cells), cells], axis=1)


def _expected(track: _Track) -> tuple[float, float, float]:
    """Return where an object should be by now, and its size."""
    steps = track.lost + 1
    return track.row + steps * track.down, track.column + steps * track.right, track.cells


def _moved(track: _Track, row: float, column: float, cells: float) -> _Track:
    """Note where an object has been seen."""
    steps = track.lost + 1
    track.down, track.right = (row - track.row) / steps, (column - track.column) / steps
    track.row, track.column, track.cells, track.lost = row, column, cells, 0
    return track


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
