"""The perception node as a program of its own."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence

from owseg.engines.background import build_in_background
from owseg.errors import OwsegError, UsageError
from owseg_ros.hosts import open_runtime
from owseg_ros.hosts.process import interruptible
from owseg_ros.memory import keep_freed_memory
from owseg_ros.perception.node import NAME, PerceptionNode
from owseg_ros.perception.parameters import load_of

FAILED = OwsegError.exit_code
"""Exit code of a node that could not start, as that of `owseg` for bad input."""


def main(argv: Sequence[str] | None = None, host: str | None = None) -> int:
    """Run the node until its process is asked to end.

    Args:
        argv: arguments, those for ROS after --ros-args; `sys.argv` by default.
        host: "rclpy" or "standalone"; by default rclpy where ROS 2 is sourced.

    Returns:
        0, or 2 where the node could not start: bad arguments or parameters, or a model that
        cannot be used while nobody but the node itself manages it (`autostart`).
    """
    try:
        with interruptible():
            return _run(argv, host or "auto")
    except OwsegError as error:
        sys.stderr.write(f"{NAME}: {' '.join(str(error).split())}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return 0


def _run(argv: Sequence[str] | None, kind: str) -> int:
    keep_freed_memory()
    with open_runtime(kind, argv) as runtime:
        if runtime.rest:
            raise UsageError(f"unknown argument '{runtime.rest[0]}'; parameters follow --ros-args")
        node = PerceptionNode(runtime.node(NAME, managed=True))
        if node.host.parameters.get("build_only"):
            return _build(node)
        try:
            started = node.start()
            if started:
                runtime.spin()
        finally:
            node.stop()
    return 0 if started else FAILED


def _build(node: PerceptionNode) -> int:
    """Build the TensorRT engine of the node's model, and end."""
    try:
        model = load_of(node.host.parameters.get).model
        build_in_background(model, node.host.log.info, threading.Event())
    finally:
        node.stop()
    node.host.log.info("the TensorRT engine is in the cache")
    return 0


if __name__ == "__main__":
    sys.exit(main())
