"""`owseg node perception`: the perception node as a command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from owseg_ros.commands.options import add_node_arguments, run_node, run_program
from owseg_ros.hosts import Runtime
from owseg_ros.memory import keep_freed_memory
from owseg_ros.perception.node import NAME, PerceptionNode

SUMMARY = "run the perception node: known classes, anomaly and unknown objects of each image"
EXAMPLE = "owseg node perception --ros-args -r image:=/camera/image_raw"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_node_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    keep_freed_memory()
    return run_node(args, _build)


def _build(runtime: Runtime) -> PerceptionNode:
    return PerceptionNode(runtime.node(NAME, managed=True))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the node as a program of its own; returns the exit code."""
    return run_program(sys.modules[__name__], argv)
