"""What happened to the frames of one camera: counts, and the latest durations."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from typing import NamedTuple

_LATEST = 200
"""How many durations the percentiles are made of."""


class Spread(NamedTuple):
    """Percentiles in milliseconds; None = nothing was measured."""

    p50: float | None
    p95: float | None


class Tally(NamedTuple):
    """The counts and durations at one moment.

    Attributes:
        counts: frames by what happened to them: "received", "replaced", "processed", "idle",
            "too_old", "malformed", "failed", "unsent".
        spreads: durations by stage; "age" is that of a frame once all of it was published.
        last_error: the latest error, "" = none.
        last_age: age of the latest frame in milliseconds, None = it is not known.
    """

    counts: Mapping[str, int]
    spreads: Mapping[str, Spread]
    last_error: str
    last_age: float | None


class Counters:
    """Counts in one thread, is read in others."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._latest: dict[str, deque[float]] = {}
        self._last_error = ""
        self._last_age: float | None = None
        self._lock = threading.Lock()

    def count(self, what: str, times: int = 1) -> None:
        """Count one thing that happened, or several."""
        with self._lock:
            self._counts[what] += times

    def fail(self, what: str, error: str) -> None:
        """Count something that went wrong, and keep the error."""
        with self._lock:
            self._counts[what] += 1
            self._last_error = error

    def measure(self, durations_ms: Mapping[str, float]) -> None:
        """Note durations by stage."""
        with self._lock:
            for stage, value in durations_ms.items():
                self._latest.setdefault(stage, deque(maxlen=_LATEST)).append(value)

    def age(self, age_ms: float | None) -> None:
        """Note the age of a frame that was published; None = it is not known."""
        if age_ms is not None:
            self.measure({"age": age_ms})
        with self._lock:
            self._last_age = age_ms

    def tally(self) -> Tally:
        """Return the state of this moment."""
        with self._lock:
            return Tally(
                dict(self._counts),
                {stage: spread(values) for stage, values in self._latest.items()},
                self._last_error,
                self._last_age,
            )


def spread(values: Iterable[float]) -> Spread:
    """Return the smallest values that 50 and 95 percent of all do not exceed."""
    ordered = sorted(values)
    if not ordered:
        return Spread(None, None)
    p50, p95 = (ordered[-(-len(ordered) * share // 100) - 1] for share in (50, 95))
    return Spread(p50, p95)
