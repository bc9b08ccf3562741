"""What `owseg doctor` looks at for the nodes: the wire, the messages, the buffers."""

from __future__ import annotations

import importlib
import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

from owseg.cli.doctor import Check
from owseg.errors import OwsegError
from owseg_ros.hosts import open_runtime
from owseg_ros.hosts.qos import LATCHED

RMEM_MAX = Path("/proc/sys/net/core/rmem_max")
ENOUGH_BYTES = 8 << 20
"""A receive buffer in which some images of 1920x1080 have room."""

_PEER_S = 10.0
_EMPTY = "std_msgs/msg/Empty"
_MESSAGES = ("owseg_msgs/msg/PrototypeSet", "vision_msgs/msg/LabelInfo")
_DDS = "pip install 'owseg_ros[dds]', or source ROS 2"
_QUIET = ("--ros-args", "--disable-rosout-logs", "--disable-stdout-logs")
_PEER = """
import sys
from owseg_ros.checks import be_found
be_found(sys.argv[1])
"""


def checks() -> list[Check]:
    """Return what was found; only what keeps an installed part from working is "broken"."""
    return [*_wire(), *_messages(), _buffers()]


def _wire() -> list[Check]:
    """Check Cyclone DDS: installed, fast, and heard by another process of this machine."""
    name = "cyclonedds (nodes)"
    if importlib.util.find_spec("cyclonedds") is None:
        return [Check(name=name, state="absent", detail=_DDS)]
    try:
        installed = metadata.version("cyclonedds")
        return [Check(name=name, state="ok", detail=installed), _samples(), _discovery()]
    except (OwsegError, metadata.PackageNotFoundError, OSError) as error:
        return [Check(name=name, state="broken", detail=str(error))]


def _samples() -> Check:
    from owseg_ros.hosts.standalone.cyclone import RAW_VERSION
    from owseg_ros.hosts.standalone.runtime import StandaloneRuntime

    with StandaloneRuntime(_QUIET) as runtime:
        way = runtime.wire
    if way == "raw":
        return Check(name="DDS samples", state="ok", detail="raw: images pass with one copy")
    remedy = f"pip install 'cyclonedds=={RAW_VERSION}', and unset OWSEG_DDS_WIRE"
    detail = f"{way}: images of 1920x1080 take some milliseconds longer; {remedy}"
    return Check(name="DDS samples", state="absent", detail=detail)


def _discovery() -> Check:
    """Start a process that publishes, and see whether it is heard."""
    from owseg_ros.hosts.standalone.domain import discovery_range

    name, topic = "DDS between processes", f"/owseg_doctor_{os.getpid()}"
    if discovery_range() == "OFF":
        return Check(name=name, state="absent", detail="ROS_AUTOMATIC_DISCOVERY_RANGE is OFF")
    with open_runtime("standalone", _QUIET) as runtime:
        heard = runtime.node("owseg_doctor").subscription(_EMPTY, topic, _ignore, LATCHED)
        command = [sys.executable, "-c", _PEER, topic]
        peer = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
        begun = time.monotonic()
        while not heard.received and peer.poll() is None and time.monotonic() < begun + _PEER_S:
            time.sleep(0.02)
        took, received = time.monotonic() - begun, heard.received
        peer.communicate()
    if received:
        return Check(name=name, state="ok", detail=f"found and heard after {took:.1f} s")
    return Check(
        name=name,
        state="broken",
        detail="two processes of this machine do not hear each other: allow UDP ports 7400 and up "
        "in the firewall and multicast on the interface, or export "
        "ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST; check CYCLONEDDS_URI",
    )


def be_found(topic: str) -> None:
    """Publish one latched message until standard input ends: the other side of the check."""
    with open_runtime("standalone", _QUIET) as runtime:
        host = runtime.node("owseg_doctor_peer")
        host.publisher(_EMPTY, topic, LATCHED).publish(host.messages.make(_EMPTY))
        sys.stdin.read()


def _ignore(message: object) -> None:
    """Only count it."""


def _messages() -> list[Check]:
    """Check the messages that ROS 2 does not bring: built for rclpy, read as text without it."""
    if importlib.util.find_spec("rclpy") is not None:
        from owseg_ros.hosts.rclpy_host.messages import RosMessages

        return [_loads(RosMessages().load, kind, "built") for kind in _MESSAGES]
    if importlib.util.find_spec("rosbags") is None:
        return []
    from owseg_ros.hosts.standalone.interfaces import Interfaces

    return [_loads(Interfaces().type_hash, kind, "for standalone nodes") for kind in _MESSAGES]


def _loads(load: Callable[[str], object], kind: str, how: str) -> Check:
    name = kind.partition("/")[0]
    try:
        load(kind)
    except OwsegError as error:
        return Check(name=name, state="absent", detail=str(error))
    return Check(name=name, state="ok", detail=how)


def _buffers() -> Check:
    name = "large socket buffers"
    try:
        size = int(RMEM_MAX.read_text(encoding="ascii"))
    except (OSError, ValueError) as error:
        return Check(name=name, state="absent", detail=f"{RMEM_MAX} cannot be read: {error}")
    if size >= ENOUGH_BYTES:
        return Check(name=name, state="ok", detail=f"net.core.rmem_max is {size >> 20} MiB")
    return Check(
        name=name,
        state="absent",
        detail=f"net.core.rmem_max is {size >> 10} KiB: large images may get lost; "
        "sudo sysctl -w net.core.rmem_max=33554432",
    )
