"""What the runtimes of both hosts share: the main group, and how the process ends."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import TYPE_CHECKING

from owseg_ros.hosts.groups import Group
from owseg_ros.hosts.log import Log

if TYPE_CHECKING:
    from typing_extensions import Self

SIGNALS = (signal.SIGINT, signal.SIGTERM)

ECHO_S = 0.5
"""A second signal within this time is an echo: a terminal and a launcher both send theirs."""


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGTERM interrupt what runs before a process listens to it, as SIGINT does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class Process(ABC):
    """Runs the main group until it is asked to stop. A context manager: closes on exit.

    Args:
        log: where failures of handlers are reported.
    """

    def __init__(self, log: Log) -> None:
        self._main = Group("main", log)
        self._stopped = threading.Event()
        self._closed = False
        self._spinning = False
        self._asked_s = -ECHO_S

    @property
    def ok(self) -> bool:
        """False once the process was asked to end."""
        return not self._stopped.is_set()

    def spin(self) -> None:
        """Run the handlers of all nodes until `stop`, SIGINT or SIGTERM."""
        with self._handled_signals():
            self._spinning = True
            try:
                self._main.run(self._stopped.is_set)
            finally:
                self._spinning = False

    def stop(self) -> None:
        """Make `spin` return."""
        self._stopped.set()
        self._main.wake()

    def close(self) -> None:
        """Destroy all nodes and leave the network."""
        if self._closed:
            return
        self._closed = True
        self._stopped.set()
        self._close()

    @abstractmethod
    def _close(self) -> None:
        """Destroy all nodes and leave the network; called once."""

    def __enter__(self) -> Self:
        self._signals = self._handled_signals()
        self._signals.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.close()
        finally:
            self._signals.__exit__(None, None, None)

    @contextlib.contextmanager
    def _handled_signals(self) -> Iterator[None]:
        """Listen to signals; only the main thread of the program may do so."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._on_signal) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """Stop `spin`; interrupt what does not spin (yet), or does not come to its end."""
        now = time.monotonic()
        if now - self._asked_s < ECHO_S:
            return
        self._asked_s = now
        if self._spinning and not self._stopped.is_set():
            self.stop()
            return
        raise KeyboardInterrupt
