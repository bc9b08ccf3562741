"""`owseg up`: all nodes as processes that are kept running, without ROS 2's launch."""

from __future__ import annotations

import argparse
import contextlib
import sys
import threading
from pathlib import Path

from owseg.errors import UsageError
from owseg_ros.commands.node import command_line
from owseg_ros.commands.options import as_yaml
from owseg_ros.commands.supervisor import Program, Supervisor, WhenDone
from owseg_ros.hosts import KINDS
from owseg_ros.hosts.log import LEVELS
from owseg_ros.hosts.names import check_node_name, join, normalize_namespace
from owseg_ros.hosts.parameter_files import read_parameter_file
from owseg_ros.hosts.parameters import Value

SUMMARY = "start all nodes without ROS 2, and keep them running"
EXAMPLE = "owseg up --source drive.mcap --loop"

_SERVER, _PERCEPTION, _CAMERA = "prototype_server", "perception", "camera"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command; they are those of perception.launch.py."""
    parser.add_argument("--namespace", default="", help="of all nodes, e.g. /robot1")
    parser.add_argument(
        "--params-file",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="parameters of the nodes as YAML, as ROS 2 reads them; may be repeated",
    )
    parser.add_argument("--model", type=Path, help="model bundle (default: the one shipped)")
    parser.add_argument("--device", help="where the model runs: auto, cpu, cuda (auto)")
    parser.add_argument("--store", type=Path, help="prototype store (default: that of the user)")
    parser.add_argument("--image-topic", help="topic of the images (image)")
    parser.add_argument(
        "--image-transport",
        choices=("raw", "compressed"),
        help="raw images, or compressed ones on TOPIC/compressed (raw)",
    )
    parser.add_argument(
        "--cameras",
        metavar="NAME,NAME",
        help="several cameras: each reads NAME/image and publishes below NAME",
    )
    parser.add_argument(
        "--use-sim-time", action="store_true", help="follow /clock, which --source then publishes"
    )
    parser.add_argument(
        "--log-level", type=str.lower, choices=[level.lower() for level in LEVELS], help="(info)"
    )
    _add_source(parser)
    parser.add_argument(
        "--host",
        choices=KINDS,
        default="auto",
        help="what to run on (auto: rclpy where ROS 2 is sourced, else standalone)",
    )


def _add_source(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("a camera for everyone")
    group.add_argument(
        "--source",
        action="append",
        default=[],
        help="also publish this recording, image folder, video or /dev/video0 as images; once "
        "for each of --cameras",
    )
    group.add_argument("--rate", type=float, help="images per second (default: as recorded)")
    group.add_argument("--loop", action="store_true", help="begin again at the end")


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    for file in args.params_file:
        read_parameter_file(file)  # said once, and not by each node
    programs = [_server(args), _perception(args), *_cameras(args)]
    width = max(len(program.name) for program in programs)
    lock = threading.Lock()

    def say(name: str, line: str) -> None:
        # Nobody may be left to read it; the nodes go on.
        with lock, contextlib.suppress(OSError, ValueError):
            sys.stderr.write(f"{f'[{name}]':<{width + 2}} {line}\n")
            sys.stderr.flush()

    return Supervisor(programs, say).run()


def _server(args: argparse.Namespace) -> Program:
    given = _given(model=args.model, device=args.device, store=args.store)
    return _program(args, _SERVER, _SERVER, args.namespace, [], given)


def _perception(args: argparse.Namespace) -> Program:
    names = _names(args)
    if names and args.image_topic:
        raise UsageError("--image-topic names one topic; with --cameras each has its own")
    given = _given(model=args.model, device=args.device, image_transport=args.image_transport)
    if names:
        given["cameras"] = names
    # As in perception.launch.py: with `build_only` there is nothing to serve once it is done.
    end = WhenDone.END_ALL
    return _program(args, _PERCEPTION, _PERCEPTION, args.namespace, _remaps(args), given, end)


def _cameras(args: argparse.Namespace) -> list[Program]:
    names = _names(args) or ("",)
    if args.source and len(args.source) != len(names):
        raise UsageError(
            f"{len(args.source)} times --source for {len(names)} cameras; give one for each, and "
            "their names by --cameras"
        )
    if not args.source and (args.rate is not None or args.loop):
        raise UsageError("--rate and --loop belong to --source")
    return [
        _camera(args, name, source, leads=index == 0)
        for index, (name, source) in enumerate(zip(names, args.source, strict=False))
    ]


def _camera(args: argparse.Namespace, name: str, source: str, *, leads: bool) -> Program:
    given = _given(source=source, rate=args.rate, loop=args.loop or None, wait_for=1)
    if args.use_sim_time and leads:
        given["clock"] = True
    title = f"{_CAMERA} {name}" if name else _CAMERA
    namespace = join(args.namespace, name) if name else args.namespace
    end = WhenDone.LEAVE
    return _program(args, title, _CAMERA, namespace, _remaps(args), given, end)


def _given(**values: object) -> dict[str, Value]:
    """Return the parameters that an option gives a value."""
    found = {name: value for name, value in values.items() if value is not None}
    return {n: v if isinstance(v, (int, float)) else str(v) for n, v in found.items()}


def _names(args: argparse.Namespace) -> tuple[str, ...]:
    if args.cameras is None:
        return ()
    names = tuple(name.strip() for name in args.cameras.split(","))
    if "" in names or len(set(names)) < len(names):
        raise UsageError(f"--cameras takes different names, as in front,rear; got '{args.cameras}'")
    return tuple(check_node_name(name) for name in names)


def _remaps(args: argparse.Namespace) -> list[str]:
    return ["-r", f"image:={args.image_topic}"] if args.image_topic else []


def _program(
    args: argparse.Namespace,
    title: str,
    node: str,
    namespace: str,
    remaps: list[str],
    given: dict[str, Value],
    when_done: WhenDone = WhenDone.START_AGAIN,
) -> Program:
    words = [*command_line(node), "--host", args.host, "--until-eof"]
    for file in args.params_file:
        words += ["--params-file", str(file)]
    words += ["--ros-args", "-r", f"__ns:={normalize_namespace(namespace)}", *remaps]
    if args.use_sim_time:
        given["use_sim_time"] = True
    for name, value in given.items():
        words += ["-p", f"{name}:={as_yaml(value)}"]
    if args.log_level:
        words += ["--log-level", args.log_level]
    return Program(name=title, command=tuple(words), when_done=when_done)
