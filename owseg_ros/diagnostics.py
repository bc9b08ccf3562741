"""What nodes say of themselves on /diagnostics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from owseg_ros.hosts import Host
from owseg_ros.hosts.base import NS_PER_S
from owseg_ros.hosts.qos import DEFAULT

TOPIC = "/diagnostics"
ARRAY = "diagnostic_msgs/msg/DiagnosticArray"

_STATUS = "diagnostic_msgs/msg/DiagnosticStatus"
_PAIR = "diagnostic_msgs/msg/KeyValue"
_HEADER = "std_msgs/msg/Header"
_TIME = "builtin_interfaces/msg/Time"


class Level(IntEnum):
    """How bad it is, with the numbers of `diagnostic_msgs/msg/DiagnosticStatus`."""

    OK = 0
    WARN = 1
    ERROR = 2
    STALE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The state of one part of a node.

    Attributes:
        name: of the part; the name of the node is put before it.
        level: how bad it is.
        message: one line: how it is, or what is wrong and the remedy.
        values: figures by name.
    """

    name: str
    level: Level = Level.OK
    message: str = "ok"
    values: Mapping[str, object] = field(default_factory=dict)


class Diagnostics:
    """Publishes the states of a node.

    Args:
        host: of the node.
        hardware_id: what the states are about, e.g. the name of a sensor.
    """

    def __init__(self, host: Host, hardware_id: str = "") -> None:
        self._host, self._hardware_id = host, hardware_id
        self._publisher = host.publisher(ARRAY, TOPIC, DEFAULT)

    def publish(self, statuses: Sequence[Status]) -> bool:
        """Send the states; False = a slow subscriber kept them from being sent."""
        make = self._host.messages.make
        sec, nanosec = divmod(self._host.clock.now_ns(), NS_PER_S)
        node = self._host.full_name.lstrip("/")
        described = [
            make(
                _STATUS,
                level=int(status.level),
                name=f"{node}: {status.name}",
                message=status.message,
                hardware_id=self._hardware_id,
                values=[
                    make(_PAIR, key=key, value=text(value)) for key, value in status.values.items()
                ],
            )
            for status in statuses
        ]
        header = make(_HEADER, stamp=make(_TIME, sec=sec, nanosec=nanosec))
        return self._publisher.publish(make(ARRAY, header=header, status=described))


def text(value: object) -> str:
    """Write a value for people: one decimal for figures, "-" for what is not known."""
    if value is None:
        return "-"
    return f"{value:.1f}" if isinstance(value, float) else str(value)
