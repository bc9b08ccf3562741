"""Which host to run on."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence

from owseg.errors import MissingDependencyError, UsageError
from owseg_ros.hosts.base import Runtime

KINDS = ("auto", "rclpy", "standalone")
"""What can be asked for; "auto" takes rclpy where ROS 2 is sourced."""


def open_runtime(kind: str = "auto", argv: Sequence[str] | None = None) -> Runtime:
    """Join the network.

    Args:
        kind: one of `KINDS`.
        argv: arguments of the program, without its name; `sys.argv` by default.

    Raises:
        UsageError: an unknown kind, a bad argument or environment variable.
        MissingDependencyError: what the host needs is not installed.
        HostError: the middleware cannot start.
    """
    if kind not in KINDS:
        raise UsageError(f"host must be one of {', '.join(KINDS)}, got '{kind}'")
    arguments = sys.argv[1:] if argv is None else argv
    chosen = _available() if kind == "auto" else kind
    return _on_rclpy(arguments) if chosen == "rclpy" else _standalone(arguments)


def _on_rclpy(argv: Sequence[str]) -> Runtime:
    from owseg_ros.hosts.rclpy_host.runtime import RclpyRuntime

    return RclpyRuntime(argv)


def _standalone(argv: Sequence[str]) -> Runtime:
    from owseg_ros.hosts.standalone.runtime import StandaloneRuntime

    return StandaloneRuntime(argv)


def _available() -> str:
    if importlib.util.find_spec("rclpy") is not None:
        return "rclpy"
    if importlib.util.find_spec("cyclonedds") is not None:
        return "standalone"
    raise MissingDependencyError(
        "neither ROS 2 nor Cyclone DDS is here; source ROS 2 (source "
        '/opt/ros/jazzy/setup.bash), or: pip install "owseg_ros[dds]"'
    )
