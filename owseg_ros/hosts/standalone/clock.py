"""The time of a node, and its timers: of the machine, or of `/clock`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from owseg_ros.hosts.base import NS_PER_S, Message
from owseg_ros.hosts.groups import Group

CLOCK_TYPE = "rosgraph_msgs/msg/Clock"
CLOCK_TOPIC = "/clock"


class NodeClock:
    """The clock of one node."""

    def __init__(self) -> None:
        self._simulated_ns: int | None = None
        self.on_tick: Callable[[], None] = _ignore

    @property
    def simulated(self) -> bool:
        """Whether `/clock` rules."""
        return self._simulated_ns is not None

    def now_ns(self) -> int:
        """Return nanoseconds since the epoch; 0 before the first `/clock`."""
        simulated = self._simulated_ns
        return time.time_ns() if simulated is None else simulated

    def simulate(self, simulated: bool) -> None:
        """Follow `/clock`, or the machine."""
        if simulated != self.simulated:
            self._simulated_ns = 0 if simulated else None
            self.on_tick()

    def tick(self, message: Message) -> None:
        """Take over the time of a `rosgraph_msgs/msg/Clock`."""
        if self.simulated:
            self._simulated_ns = message.clock.sec * NS_PER_S + message.clock.nanosec
            self.on_tick()


def _ignore() -> None:
    """Do nothing."""


class ClockTimer:
    """Calls a handler again and again.

    A handler that is slower than the period is not called twice at once: calls that come
    due meanwhile are left out. When the clock jumps back, the period begins anew.

    Args:
        period_ns: time between two calls, > 0.
        clock: by which time is told.
        group: runs the handler.
        handler: is called.
    """

    def __init__(
        self, period_ns: int, clock: NodeClock, group: Group, handler: Callable[[], None]
    ) -> None:
        self._period_ns, self._clock, self._group = period_ns, clock, group
        self._handler = handler
        self._simulated = clock.simulated
        self._next_ns = self._now_ns() + period_ns
        self._waiting = False
        self.cancelled = False

    def cancel(self) -> None:
        """Stop for good."""
        self.cancelled = True

    @property
    def destroyed(self) -> bool:
        """Whether it was cancelled."""
        return self.cancelled

    def destroy(self) -> None:
        """Stop for good."""
        self.cancel()

    def due_in_s(self) -> float | None:
        """Return the time left by the clock of the machine; None = only a tick can tell."""
        if self._clock.simulated or self.cancelled:
            return None
        return max(0.0, (self._next_ns - self._now_ns()) / NS_PER_S)

    def fire_if_due(self) -> None:
        """Call the handler if it is time."""
        now = self._now_ns()
        begun = self._next_ns - self._period_ns
        switched = self._clock.simulated != self._simulated
        if switched or now < begun or begun == 0:
            self._simulated = self._clock.simulated
            self._next_ns = now + self._period_ns
        if self.cancelled or now < self._next_ns:
            return
        self._next_ns += (1 + (now - self._next_ns) // self._period_ns) * self._period_ns
        if not self._waiting:
            self._waiting = True
            self._group.post(self._call)

    def _now_ns(self) -> int:
        # Steps of the machine's clock must neither stop nor rush a timer.
        return self._clock.now_ns() if self._clock.simulated else time.monotonic_ns()

    def _call(self) -> None:
        self._waiting = False
        if not self.cancelled:
            self._handler()


class TimerThread:
    """Fires the timers of all nodes of the process."""

    def __init__(self) -> None:
        self._timers: list[ClockTimer] = []
        self._changed = threading.Condition()
        self._running = True
        self._thread = threading.Thread(target=self._run, name="timers", daemon=True)
        self._thread.start()

    def add(self, timer: ClockTimer) -> None:
        """Fire a timer from now on."""
        with self._changed:
            self._timers.append(timer)
            self._changed.notify()

    def wake(self) -> None:
        """Look at all timers: a clock ticked."""
        with self._changed:
            self._changed.notify()

    def stop(self, timeout_s: float = 5.0) -> None:
        """End the thread."""
        with self._changed:
            self._running = False
            self._changed.notify()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        with self._changed:
            while self._running:
                self._timers = [timer for timer in self._timers if not timer.cancelled]
                for timer in self._timers:
                    timer.fire_if_due()
                times = [timer.due_in_s() for timer in self._timers]
                self._changed.wait(min((t for t in times if t is not None), default=None))
