"""Serialised samples in and out of DDS: what the two ways of doing it have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from owseg_ros.hosts.standalone import cyclone
from owseg_ros.hosts.standalone.interfaces import Buffer


class Sample(NamedTuple):
    """One message as it came.

    Attributes:
        data: CDR with its encapsulation header; read-only, stays valid while it is referenced.
        source_ns: when it was sent, nanoseconds since the epoch.
        writer: handle of the writer that sent it.
    """

    data: memoryview
    source_ns: int
    writer: int


class Writer(Protocol):
    """Sends samples on one DDS topic."""

    entity: cyclone.DataWriter

    def write(self, parts: Sequence[Buffer]) -> bool:
        """Send one sample.

        Args:
            parts: CDR in pieces, as `Interfaces.encode` returns it.

        Returns:
            False if a slow reader kept it from being sent in time.

        Raises:
            HostError: it cannot be sent at all.
        """
        ...


class Reader(Protocol):
    """Gets samples of one DDS topic."""

    entity: cyclone.DataReader

    def take(self) -> list[Sample]:
        """Return what arrived since the last call."""
        ...


class Topics(Protocol):
    """One way to make readers and writers."""

    name: str

    def writer(self, topic: str, message_type: str, qos: cyclone.Qos) -> Writer:
        """Make a writer.

        Args:
            topic: DDS name, e.g. "rt/image".
            message_type: e.g. "sensor_msgs/msg/Image".
            qos: of the writer.
        """
        ...

    def reader(self, topic: str, message_type: str, qos: cyclone.Qos) -> Reader:
        """Make a reader; arguments as for `writer`."""
        ...


def dds_type_name(message_type: str) -> str:
    """Return the name that ROS 2 gives a type on the wire.

    >>> dds_type_name("sensor_msgs/msg/Image")
    'sensor_msgs::msg::dds_::Image_'
    """
    package, kind, name = message_type.split("/")
    return f"{package}::{kind}::dds_::{name}_"


def ros_type_name(type_name: str) -> str:
    """Invert `dds_type_name`; other names stay as they are."""
    parts = type_name.split("::")
    if len(parts) == 4 and parts[2] == "dds_" and parts[3].endswith("_"):
        return "/".join((parts[0], parts[1], parts[3][:-1]))
    return type_name
