"""Parse the command line, run one command, turn errors into one line and an exit code.

Exit codes: 0 done, 1 a bar missed, 2 bad input, 130 interrupted.

A command's module is imported only when that command is chosen: `owseg --help` needs
none of them, and one that cannot be imported does not stop the others.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from io import TextIOWrapper
from typing import Any, NoReturn

from owseg import __version__
from owseg.errors import MissingDependencyError, OwsegError, UsageError

COMMANDS = {
    "demo": ("owseg.cli.demo", "replay a generated street drive through the shipped model"),
    "replay": ("owseg.cli.replay", "replay a ROS 2 bag or image folder through a model"),
    "eval": ("owseg.cli.evaluate", "evaluate a model on a labelled data set"),
    "calibrate": ("owseg.cli.calibrate", "fit probabilities and promised thresholds to labels"),
    "meta": ("owseg.cli.meta", "tell unknown objects from false alarms by how they look"),
    "build": ("owseg.cli.build", "build the TensorRT engine of a model"),
    "bench": ("owseg.cli.bench", "measure how fast a model runs, on every engine"),
    "prototypes": ("owseg.cli.prototypes", "learn new classes and look after those learnt"),
    "data": ("owseg.cli.data", "check public data sets, and prepare benchmarks from them"),
    "doctor": ("owseg.cli.doctor", "check the installation and say how to mend it"),
}
"""Commands of the core by name: module and summary.

A module has SUMMARY, EXAMPLE, add_arguments and run; one of a group of commands has a table
like this one, COMMANDS, instead of the last two. Other packages add theirs through the
entry-point group `owseg.commands`; a name of the core stays with the core.
"""

SUMMARIES = {
    "train": "train a network by a recipe",
    "export": "export a checkpoint as a model bundle, or a bundle in another precision",
    "incremental": "learn classes from a few images and compare the methods",
    "goss": "train and compare methods that find and group unknown objects (GOSS)",
    "table": "redraw a table of the papers from stored runs, and run what is missing",
    "node": "start a node, on ROS 2 or without it",
    "up": "start all nodes without ROS 2, and keep them running",
}
"""Summaries of commands that our own packages add, so that help need not import them."""

INTERRUPTED = 130


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage text."""

    def error(self, message: str) -> NoReturn:
        """Raise UsageError."""
        raise UsageError(f"{message}; see {self.prog} --help")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: arguments without the program name; `sys.argv` by default.

    Returns:
        The exit code.
    """
    if isinstance(sys.stdout, TextIOWrapper):  # names and paths that a terminal cannot show
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = _run(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
    except OwsegError as error:
        return _fail(error, error.exit_code)
    except KeyboardInterrupt:
        return _fail("interrupted; what was written so far is readable", INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return _fail(error, OwsegError.exit_code)
    return code


def _run(argv: Sequence[str]) -> int:
    try:
        args = build_parser(argv).parse_args(argv)
    except SystemExit as stop:  # --help and --version
        return int(stop.code or 0)
    return int(args.run(args))


def build_parser(argv: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Return the parser with all commands; only the one that `argv` chooses has its options.

    Raises:
        MissingDependencyError: the chosen command cannot be imported.
    """
    parser = _Parser(prog="owseg", description="Open-world perception: known, anomalous, unknown.")
    parser.add_argument("--version", action="version", version=f"owseg {__version__}")
    _add_commands(parser, _commands(), argv)
    return parser


def _add_commands(
    parser: argparse.ArgumentParser, table: dict[str, tuple[Any, str]], argv: Sequence[str]
) -> None:
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    words = iter(argv)
    chosen = next((word for word in words if not word.startswith("-")), None)
    for name, (load, summary) in table.items():
        sub = commands.add_parser(
            name, help=summary, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        if name == chosen:
            _fill(sub, _loaded(name, load), tuple(words))


def _fill(parser: argparse.ArgumentParser, module: Any, argv: Sequence[str]) -> None:
    parser.description = module.SUMMARY
    parser.epilog = f"example:\n  {module.EXAMPLE}"
    if hasattr(module, "COMMANDS"):
        _add_commands(parser, _loaders(module.COMMANDS), argv)
        return
    module.add_arguments(parser)
    parser.set_defaults(run=module.run)


def _commands() -> dict[str, tuple[Any, str]]:
    """Return what loads the module of each command, and its summary."""
    found: dict[str, tuple[Any, str]] = {
        entry.name: (entry.load, SUMMARIES.get(entry.name, f"(from {_origin(entry)})"))
        for entry in sorted(entry_points(group="owseg.commands"), key=lambda e: e.name)
    }
    core = _loaders(COMMANDS)
    return {**core, **{name: command for name, command in found.items() if name not in core}}


def _loaders(table: dict[str, tuple[str, str]]) -> dict[str, tuple[Any, str]]:
    return {
        name: (partial(importlib.import_module, path), summary)
        for name, (path, summary) in table.items()
    }


def _loaded(name: str, load: Any) -> Any:
    try:
        return load()
    except Exception as error:  # a package of others can fail in any way
        reason = str(error) or type(error).__name__
        raise MissingDependencyError(
            f"the command '{name}' cannot be loaded: {reason}; mend or remove the package that "
            "it comes from, 'owseg doctor' shows what is missing"
        ) from error


def _origin(entry: EntryPoint) -> str:
    return entry.value.partition(":")[0].partition(".")[0]


def _fail(message: object, code: int) -> int:
    """Print one line and return the exit code."""
    print(f"owseg: {' '.join(str(message).split())}", file=sys.stderr)
    return code
