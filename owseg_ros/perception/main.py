"""The perception node as a program of its own."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from owseg.errors import OwsegError, UsageError
from owseg_ros.hosts import open_runtime
from owseg_ros.memory import keep_freed_memory
from owseg_ros.perception.node import NAME, PerceptionNode

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
        try:
            started = node.start()
            if started:
                runtime.spin()
        finally:
            node.stop()
    return 0 if started else FAILED


if __name__ == "__main__":
    sys.exit(main())
