"""Options that all nodes share, and how a node is run by them."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NoReturn, Protocol

from owseg.errors import OwsegError, UsageError
from owseg_ros.hosts import KINDS, Host, Runtime, open_runtime
from owseg_ros.hosts.parameter_files import fits, read_parameter_file
from owseg_ros.hosts.parameters import Value
from owseg_ros.hosts.process import interruptible
from owseg_ros.hosts.ros_args import BEGIN

_STOP_S = 10.0
"""How long a node may take to end once its starter is gone."""


class Node(Protocol):
    """A node that runs until its process is asked to end."""

    host: Host
    exit_code: int

    def start(self) -> bool:
        """Begin; False = there is nothing to run: `exit_code` says how it went."""
        ...

    def stop(self) -> None:
        """End what runs beside the handlers."""
        ...

    def close(self) -> None:
        """Free the rest, once the node has left the network."""
        ...


class Command(Protocol):
    """A module with a command."""

    SUMMARY: str
    EXAMPLE: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of the command."""
        ...

    def run(self, args: argparse.Namespace) -> int:
        """Run the command; return the exit code."""
        ...


def add_node_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that all nodes share."""
    parser.add_argument(
        "--host",
        choices=KINDS,
        default="auto",
        help="what to run on (auto: rclpy where ROS 2 is sourced, else standalone)",
    )
    parser.add_argument(
        "--params-file",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="parameters as YAML, as ROS 2 reads them; may be repeated",
    )
    parser.add_argument(
        "--until-eof",
        action="store_true",
        help="end when standard input ends, so that the node does not outlive what started it",
    )
    parser.add_argument(
        BEGIN,
        nargs=argparse.REMAINDER,
        default=[],
        metavar="ARGUMENT",
        help="the rest is for ROS: -p NAME:=VALUE, -r FROM:=TO, --log-level LEVEL",
    )


def ros_arguments(args: argparse.Namespace, given: Mapping[str, Value] | None = None) -> list[str]:
    """Return the arguments for `open_runtime`; later ones outrank earlier ones.

    Args:
        args: as `add_node_arguments` parsed them.
        given: parameters that have an option of their own.
    """
    words = [BEGIN]
    for file in args.params_file:
        words += ["--params-file", str(file)]
    for name, value in (given or {}).items():
        words += ["-p", f"{name}:={as_yaml(value)}"]
    return [*words, *args.ros_args]


def as_yaml(value: Value) -> str:
    """Write a parameter so that it is read back as the same value, of the same type."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        doubled = value.replace("'", "''")
        return f"'{doubled}'"
    if isinstance(value, tuple):
        return f"[{', '.join(as_yaml(item) for item in value)}]"
    return repr(value)


def run_node(
    args: argparse.Namespace,
    build: Callable[[Runtime], Node],
    given: Mapping[str, Value] | None = None,
) -> int:
    """Open a node and run it until its process is asked to end.

    Args:
        args: as `add_node_arguments` parsed them.
        build: makes the node.
        given: parameters that have an option of their own.

    Returns:
        The exit code.

    Raises:
        OwsegError: the node cannot start.
    """
    if args.until_eof:
        end_with_stdin()
    try:
        with interruptible():
            return _run(args, build, given or {})
    except KeyboardInterrupt:  # asked to end before it had begun, or for the second time
        return 0


def _run(
    args: argparse.Namespace, build: Callable[[Runtime], Node], given: Mapping[str, Value]
) -> int:
    with ExitStack() as after, open_runtime(args.host, ros_arguments(args, given)) as runtime:
        if runtime.rest:
            raise UsageError(f"unknown argument '{runtime.rest[0]}' behind {BEGIN}")
        node = build(runtime)
        try:
            after.callback(node.close)
            tell_of_files(args.params_file, node.host)
            if node.start():
                runtime.spin()
        finally:
            node.stop()
    return node.exit_code


def tell_of_files(files: Sequence[Path], host: Host) -> None:
    """Name the parameter files that hold nothing for a node: they may be those of another."""
    for file in files:
        sections = dict.fromkeys(item.node for item in read_parameter_file(file))
        if sections and not any(fits(section, host.full_name) for section in sections):
            host.log.info(
                f"nothing in {file} is for {host.full_name}; it is for {', '.join(sections)}"
            )


def run_program(
    command: Command, argv: Sequence[str] | None = None, prog: str | None = None
) -> int:
    """Run a command as a program of its own, as `ros2 run` and `ros2 launch` do.

    Args:
        command: its module.
        argv: arguments without the name of the program; `sys.argv` by default.
        prog: what the program is called; that of `sys.argv` by default.

    Returns:
        The exit code.
    """
    parser = _Parser(prog=prog, description=command.SUMMARY)
    command.add_arguments(parser)
    try:
        return command.run(parser.parse_args(argv))
    except OwsegError as error:
        return _fail(parser.prog, error, error.exit_code)
    except OSError as error:
        return _fail(parser.prog, error, OwsegError.exit_code)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage text."""

    def error(self, message: str) -> NoReturn:
        """Raise UsageError."""
        raise UsageError(f"{message}; see {self.prog} --help")


def _fail(prog: str, error: Any, code: int) -> int:
    sys.stderr.write(f"{prog}: {' '.join(str(error).split())}\n")
    return code


def end_with_stdin() -> None:
    """End this process when standard input ends: kindly first, then for certain."""
    threading.Thread(target=_wait_for_end, name="stdin", daemon=True).start()


def _wait_for_end() -> None:
    # The descriptor itself: a thread that is blocked in sys.stdin could hold up the exit.
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_STOP_S)
    os._exit(1)
