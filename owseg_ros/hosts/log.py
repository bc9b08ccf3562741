"""Log lines of a node, with a way to say a thing only every few seconds."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable

LEVELS = {"DEBUG": 10, "INFO": 20, "WARN": 30, "ERROR": 40, "FATAL": 50}
"""Levels by name, with the numbers of `rcl_interfaces/msg/Log`."""

DEFAULT_LEVEL = "INFO"

Sink = Callable[[str, str], None]
"""Gets the name of the level and the text."""


def to_console(line: str) -> None:
    """Write a line to standard error; a reader that is gone does not stop the node."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


class Log:
    """Passes lines on to a sink. Safe to use from several threads.

    Args:
        sink: writes one line.
        now: monotonic clock in seconds.
    """

    def __init__(self, sink: Sink, now: Callable[[], float] = time.monotonic) -> None:
        self._sink = sink
        self._now = now
        self._quiet_until: dict[str, float] = {}
        self._lock = threading.Lock()

    def debug(self, text: str, *, every_s: float = 0.0, key: str = "") -> None:
        """Say something for developers; `every_s` and `key` as in `warning`."""
        self._say("DEBUG", text, every_s, key)

    def info(self, text: str, *, every_s: float = 0.0, key: str = "") -> None:
        """Say what goes on; `every_s` and `key` as in `warning`."""
        self._say("INFO", text, every_s, key)

    def warning(self, text: str, *, every_s: float = 0.0, key: str = "") -> None:
        """Say that something is not as it should be.

        Args:
            text: one line: what is wrong, and the remedy.
            every_s: say it at most once in this many seconds; 0 = each time.
            key: lines with the same key count as the same; the text by default.
        """
        self._say("WARN", text, every_s, key)

    def error(self, text: str, *, every_s: float = 0.0, key: str = "") -> None:
        """Say that something failed; `every_s` and `key` as in `warning`."""
        self._say("ERROR", text, every_s, key)

    def fatal(self, text: str, *, every_s: float = 0.0, key: str = "") -> None:
        """Say that the node cannot go on; `every_s` and `key` as in `warning`."""
        self._say("FATAL", text, every_s, key)

    def _say(self, level: str, text: str, every_s: float, key: str) -> None:
        if not every_s or self._is_due(key or text, every_s):
            self._sink(level, text)

    def _is_due(self, key: str, every_s: float) -> bool:
        now = self._now()
        with self._lock:
            # Only keys that are quiet are kept: texts with figures in them are without end.
            self._quiet_until = {k: end for k, end in self._quiet_until.items() if end > now}
            due = key not in self._quiet_until
            if due:
                self._quiet_until[key] = now + every_s
        return due
