"""`owseg node prototype_server`: the prototype server as a command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from owseg_ros.commands.options import add_node_arguments, run_node, run_program
from owseg_ros.hosts import Runtime
from owseg_ros.hosts.parameters import Value
from owseg_ros.prototype_server.node import NAME, PrototypeServer

SUMMARY = "learn new classes on request, keep them, publish them"
EXAMPLE = "owseg node prototype_server --store classes.db"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--model", type=Path, help="model bundle (default: the one shipped)")
    parser.add_argument("--store", type=Path, help="prototype store (default: that of the user)")
    add_node_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    given: dict[str, Value] = {
        name: str(getattr(args, name)) for name in ("model", "store") if getattr(args, name)
    }
    return run_node(args, _build, given)


def _build(runtime: Runtime) -> PrototypeServer:
    return PrototypeServer(runtime.node(NAME))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the node as a program of its own; returns the exit code."""
    return run_program(sys.modules[__name__], argv)
