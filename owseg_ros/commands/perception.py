"""`owseg node perception`: the perception node as a command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from owseg_ros.commands.options import (
    add_node_arguments,
    end_with_stdin,
    ros_arguments,
    run_program,
)
from owseg_ros.perception.main import main as run_perception

SUMMARY = "run the perception node: known classes, anomaly and unknown objects of each image"
EXAMPLE = "owseg node perception --ros-args -r image:=/camera/image_raw"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_node_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    if args.until_eof:
        end_with_stdin()
    return run_perception(ros_arguments(args), args.host)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the node as a program of its own; returns the exit code."""
    return run_program(sys.modules[__name__], argv)
