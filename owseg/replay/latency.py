"""Latencies by stage in constant memory."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

_FIRST_MS, _LAST_MS = 1e-3, 1e6
_RATIO = 1.01
_BINS = int(np.ceil(np.log(_LAST_MS / _FIRST_MS) / np.log(_RATIO))) + 1


class LatencyMetric:
    """Mean and percentiles of durations by stage.

    Durations go into bins that are 1 % wide, from 1 microsecond to 1000 seconds:
    a percentile is exact to 1 %, whatever the number of frames.
    """

    def __init__(self) -> None:
        self._counts: dict[str, np.ndarray] = {}
        self._sums: dict[str, float] = {}

    def update(self, timings_ms: Mapping[str, float]) -> None:
        """Add one frame: milliseconds by stage."""
        for stage, value in timings_ms.items():
            counts = self._counts.setdefault(stage, np.zeros(_BINS, np.int64))
            counts[_bin_of(value)] += 1
            self._sums[stage] = self._sums.get(stage, 0.0) + float(value)

    def compute(self) -> dict[str, dict[str, float]]:
        """Return mean, p50 and p95 in milliseconds by stage."""
        return {
            stage: {
                "mean": self._sums[stage] / int(counts.sum()),
                "p50": _percentile(counts, 0.50),
                "p95": _percentile(counts, 0.95),
            }
            for stage, counts in self._counts.items()
        }


def _bin_of(value_ms: float) -> int:
    position = np.log(max(value_ms, _FIRST_MS) / _FIRST_MS) / np.log(_RATIO)
    return min(int(position), _BINS - 1)


def _percentile(counts: np.ndarray, share: float) -> float:
    """Return the centre of the first bin at which `share` of the values is reached."""
    rank = max(1, int(np.ceil(share * counts.sum())))
    index = int(np.searchsorted(np.cumsum(counts), rank))
    return float(_FIRST_MS * _RATIO ** (index + 0.5))
