"""A timer by the clock of the machine, for what must go on while a simulated one stands still."""

from __future__ import annotations

import threading
from collections.abc import Callable

from owseg_ros.hosts.groups import Group


class WallTimer:
    """Calls a handler in a group every so often, until `stop`.

    A handler that is slower than the period is not called twice at once.

    Args:
        period_s: time between two calls, > 0.
        handler: is called.
        group: runs it.
    """

    def __init__(self, period_s: float, handler: Callable[[], None], group: Group) -> None:
        self._period_s, self._handler, self._group = period_s, handler, group
        self._stopped = threading.Event()
        self._waiting = False
        threading.Thread(target=self._run, name=f"{group.name}-timer", daemon=True).start()

    def stop(self) -> None:
        """Call the handler no more."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(self._period_s):
            if not self._waiting:
                self._waiting = True
                self._group.post(self._call)

    def _call(self) -> None:
        self._waiting = False
        if not self._stopped.is_set():
            self._handler()
