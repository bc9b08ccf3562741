"""Log lines of a node: to the console, and to `/rosout` for everybody."""

from __future__ import annotations

from collections.abc import Callable

from owseg_ros.hosts.base import NS_PER_S, Publisher
from owseg_ros.hosts.log import DEFAULT_LEVEL, LEVELS, to_console
from owseg_ros.hosts.standalone.interfaces import Interfaces

LOG_TYPE = "rcl_interfaces/msg/Log"
LOG_TOPIC = "/rosout"


class LogSink:
    """Writes the lines of one node.

    Args:
        name: of the logger, e.g. "front.perception".
        level: least level to write; "" = INFO.
        console: whether to write to standard error.
        interfaces: types of the messages.
        now_ns: clock of the node.
    """

    def __init__(
        self,
        name: str,
        level: str,
        console: bool,
        interfaces: Interfaces,
        now_ns: Callable[[], int],
    ) -> None:
        self._name, self._console = name, console
        self._least = LEVELS[level or DEFAULT_LEVEL]
        self._interfaces, self._now_ns = interfaces, now_ns
        self.publisher: Publisher | None = None

    def __call__(self, level: str, text: str) -> None:
        """Write one line."""
        if LEVELS[level] < self._least:
            return
        sec, nanosec = divmod(self._now_ns(), NS_PER_S)
        if self._console:
            to_console(f"[{level}] [{sec}.{nanosec:09d}] [{self._name}]: {text}")
        if self.publisher is not None:
            self._publish(self.publisher, level, text, (sec, nanosec))

    def _publish(self, publisher: Publisher, level: str, text: str, stamp: tuple[int, int]) -> None:
        time = self._interfaces.make("builtin_interfaces/msg/Time", sec=stamp[0], nanosec=stamp[1])
        publisher.publish(
            self._interfaces.make(
                LOG_TYPE, stamp=time, level=LEVELS[level], name=self._name, msg=text
            )
        )
