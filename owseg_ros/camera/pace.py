"""When each image of a recording is due, and what time it is in the recording meanwhile."""

from __future__ import annotations

from owseg_ros.hosts.base import NS_PER_S

LATE_S = 0.5
"""An image that is later than this shifts all that follow: nothing is made up for."""


USUAL_GAP_S = 0.1
"""Between the end of a recording and its beginning where it has one image only."""


class Pace:
    """Tells when images are due: as they were recorded, or at a rate.

    Times are seconds of a steady clock that the caller reads.

    Args:
        rate_hz: images per second; 0 = as recorded.
    """

    def __init__(self, rate_hz: float = 0.0) -> None:
        self._period_s = 1.0 / rate_hz if rate_hz else 0.0
        self._last_gap_s = self._period_s or USUAL_GAP_S
        self._before: tuple[float, int] | None = None
        self._next: tuple[float, int] | None = None
        self._is_first = True

    def begin_pass(self) -> None:
        """Start the recording from its beginning: it follows on the last image."""
        self._is_first = True

    def next(self, recorded_ns: int, now_s: float) -> float:
        """Return when the next image is due.

        Args:
            recorded_ns: when it was recorded.
            now_s: what time it is.
        """
        due_s = now_s if self._next is None else self._next[0] + self._gap_s(recorded_ns)
        due_s = now_s if now_s > due_s + LATE_S else due_s
        self._before = None if self._is_first else self._next
        self._next = (due_s, recorded_ns)
        self._is_first = False
        return due_s

    def _gap_s(self, recorded_ns: int) -> float:
        """Return the time between the image before and this one, in seconds."""
        if self._is_first or self._next is None:
            return self._last_gap_s
        gap_s = self._period_s or max(0, recorded_ns - self._next[1]) / NS_PER_S
        self._last_gap_s = gap_s or self._last_gap_s
        return gap_s

    def recorded_ns(self, now_s: float) -> int | None:
        """Return what time it is in the recording, on the way from one image to the next.

        Returns:
            Nanoseconds since the epoch; None before the first image of a pass.
        """
        if self._next is None or (self._before is None and now_s < self._next[0]):
            return None
        if self._before is None or now_s >= self._next[0]:
            return self._next[1]
        (from_s, from_ns), (to_s, to_ns) = self._before, self._next
        return from_ns + round((to_ns - from_ns) * max(0.0, (now_s - from_s) / (to_s - from_s)))
