"""The progress of a build: one line that changes on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from typing_extensions import Self

_TICK_S = 0.5
_LINE_S = 20.0
_LINES = 10
_WIDTH = 79


class BuildProgress:
    """Says what is being built, how far it has come as far as that is known, and since when.

    Args:
        out: where to.
        clock: seconds; for tests.
    """

    def __init__(self, out: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._out, self._clock = out, clock
        self._live = out.isatty()
        self._title, self._phase = "", ""
        self._share: float | None = None
        self._begun = self._told_at = 0.0
        self._told_share = 0.0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._tick, daemon=True)

    def begin(self, title: str) -> None:
        """Begin something, e.g. "building street in fp16"."""
        with self._lock:
            self._title, self._phase, self._share = title, "", None
            self._begun = self._told_at = self._clock()
            self._told_share = 0.0
            self._write()

    def report(self, share: float, phase: str) -> None:
        """Hear how far it has come: 0..1, and what is being done."""
        with self._lock:
            self._share, self._phase = share, phase
            if int(share * _LINES) > int(self._told_share * _LINES) and not self._live:
                self._write()

    def tick(self) -> None:
        """Say it again if it is time to."""
        with self._lock:
            if self._title and (self._live or self._clock() >= self._told_at + _LINE_S):
                self._write()

    def _write(self) -> None:
        self._told_at, self._told_share = self._clock(), self._share or 0.0
        share = "" if self._share is None else f"{100 * self._share:.0f} %, "
        line = f"{self._title}: {share}{self._told_at - self._begun:.0f} s"
        if not self._live:
            print(line, file=self._out, flush=True)
            return
        line = f"{line}  {self._phase}"[:_WIDTH]
        print(f"\r{line:<{_WIDTH}}", end="", file=self._out, flush=True)

    def _tick(self) -> None:
        while not self._stop.wait(_TICK_S):
            self.tick()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        if self._live and self._title:
            print(file=self._out, flush=True)
