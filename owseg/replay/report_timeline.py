"""Figures over the time of a drive, in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class Tally:
    """Count, sum and extremes of one quantity."""

    count: int = 0
    total: float = 0.0
    low: float = math.inf
    high: float = -math.inf

    def add(self, value: float) -> None:
        """Take in one value."""
        self.count += 1
        self.total += value
        self.low = min(self.low, value)
        self.high = max(self.high, value)

    def absorb(self, other: Tally) -> None:
        """Take in all values of another tally."""
        self.count += other.count
        self.total += other.total
        self.low = min(self.low, other.low)
        self.high = max(self.high, other.high)

    @property
    def mean(self) -> float:
        """Mean of the values; there must be one."""
        return self.total / self.count


@dataclass(slots=True)
class Bucket:
    """Consecutive frames taken together.

    Attributes:
        position: number of its first frame, from 0.
        stamp_ns: stamp of its first frame.
        frames: number of its frames.
        tallies: what was measured, by name; a name is missing where no frame has it.
    """

    position: int
    stamp_ns: int
    frames: int = 0
    tallies: dict[str, Tally] = field(default_factory=dict)

    def add(self, values: Mapping[str, float]) -> None:
        """Take in one frame; values that are not finite are left out."""
        self.frames += 1
        for name, value in values.items():
            if math.isfinite(value):
                self.tallies.setdefault(name, Tally()).add(value)

    def absorb(self, later: Bucket) -> None:
        """Take in the bucket that follows."""
        self.frames += later.frames
        for name, tally in later.tallies.items():
            self.tallies.setdefault(name, Tally()).absorb(tally)

    def mean(self, name: str) -> float | None:
        """Mean of a quantity; None where no frame has it."""
        return self.tallies[name].mean if name in self.tallies else None


class Timeline:
    """Collects figures by frame; neighbours are merged once there are too many.

    Args:
        limit: largest number of buckets, even; a long drive has half to all of it.

    Attributes:
        buckets: the buckets in the order of the frames; all but the last hold `stride` frames.
        stride: frames per bucket.
        frames: frames seen.
        last_stamp_ns: stamp of the latest frame.
        ordered: stamps never went back.
    """

    def __init__(self, limit: int = 600) -> None:
        assert limit >= 2
        assert limit % 2 == 0
        self.buckets: list[Bucket] = []
        self.stride = 1
        self.frames = 0
        self.last_stamp_ns = 0
        self.ordered = True
        self._limit = limit

    def add(self, stamp_ns: int, values: Mapping[str, float]) -> None:
        """Add one frame.

        Args:
            stamp_ns: its stamp.
            values: what was measured, by name.
        """
        self.ordered &= not self.frames or stamp_ns >= self.last_stamp_ns
        self.last_stamp_ns = stamp_ns
        if not self.buckets or self.buckets[-1].frames == self.stride:
            if len(self.buckets) == self._limit:
                self._merge_pairs()
            self.buckets.append(Bucket(position=self.frames, stamp_ns=stamp_ns))
        self.buckets[-1].add(values)
        self.frames += 1

    @property
    def duration_s(self) -> float | None:
        """Seconds from the first to the last frame; None where stamps do not tell."""
        if not self.ordered or self.frames < 2:
            return None
        return (self.last_stamp_ns - self.buckets[0].stamp_ns) / 1e9 or None

    def overall(self, name: str) -> Tally:
        """Tally of a quantity over all frames; empty where no frame has it."""
        tally = Tally()
        for bucket in self.buckets:
            if name in bucket.tallies:
                tally.absorb(bucket.tallies[name])
        return tally

    def names(self) -> list[str]:
        """Names of all quantities in the order in which they first came up."""
        return list(dict.fromkeys(name for bucket in self.buckets for name in bucket.tallies))

    def _merge_pairs(self) -> None:
        for first, second in zip(self.buckets[::2], self.buckets[1::2], strict=True):
            first.absorb(second)
        self.buckets = self.buckets[::2]
        self.stride *= 2
