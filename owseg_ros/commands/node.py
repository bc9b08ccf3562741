"""`owseg node`: start one node, on ROS 2 or without it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from owseg_ros.commands.options import run_program

SUMMARY = "start a node, on ROS 2 or without it"
EXAMPLE = "owseg node perception --params-file config/perception.yaml"

COMMANDS = {
    "perception": ("owseg_ros.commands.perception", "find known, anomalous and unknown things"),
    "prototype_server": ("owseg_ros.prototype_server.command", "learn new classes while driving"),
    "camera": ("owseg_ros.camera.command", "publish a recording, a video or a camera as images"),
}
"""Nodes by name: module and summary, as in the table of `owseg.cli.main`."""


def command_line(name: str) -> tuple[str, ...]:
    """Return a command that starts a node in a process of its own; its options follow.

    What lies in the working directory is not imported, unlike with `python -m`.
    """
    code = (
        "import sys; sys.path[:] = filter(None, sys.path); "
        "from owseg_ros.commands.node import start; sys.exit(start(sys.argv[1:]))"
    )
    return sys.executable, "-c", code, name


def start(argv: Sequence[str]) -> int:
    """Run a node as the only thing that this process does.

    Args:
        argv: name of the node and its options.

    Returns:
        The exit code.
    """
    name, *options = argv
    module = importlib.import_module(COMMANDS[name][0])
    return run_program(module, options, f"owseg node {name}")
