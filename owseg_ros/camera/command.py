"""`owseg node camera`: the camera as a command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from owseg_ros.camera.node import NAME, Camera
from owseg_ros.camera.options import TRANSPORTS
from owseg_ros.commands.options import add_node_arguments, run_node, run_program
from owseg_ros.hosts import Runtime
from owseg_ros.hosts.parameters import Value

SUMMARY = "publish a recording, images, a video or a video device as image topics"
EXAMPLE = "owseg node camera --source drive.mcap --loop"

_OPTIONS = {
    "source": "source",
    "topic": "topic",
    "rate": "rate",
    "loop": "loop",
    "frame_id": "frame_id",
    "image_transport": "image_transport",
    "camera_info": "camera_info",
    "clock": "clock",
}
"""Options and the parameters that they set."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "--source", help="rosbag2 folder, .mcap, .db3, image folder, image, video, /dev/video0"
    )
    parser.add_argument("--topic", help="image topic of a recording (default: the only one)")
    parser.add_argument("--rate", type=float, help="images per second (default: as recorded)")
    parser.add_argument("--loop", action="store_true", help="begin again at the end")
    parser.add_argument("--frame-id", help="optical frame (default: that of the source)")
    parser.add_argument(
        "--image-transport",
        choices=TRANSPORTS,
        help="topics: image, image/compressed, or both; only what has subscribers is sent (both)",
    )
    parser.add_argument("--camera-info", metavar="FILE", help="calibration, a YAML file")
    parser.add_argument(
        "--clock",
        action="store_true",
        help="keep the stamps of the source and publish its time on /clock",
    )
    add_node_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    given: dict[str, Value] = {
        name: getattr(args, option) for option, name in _OPTIONS.items() if getattr(args, option)
    }
    return run_node(args, _build, given)


def _build(runtime: Runtime) -> Camera:
    return Camera(runtime.node(NAME), runtime.stop)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the node as a program of its own; returns the exit code."""
    return run_program(sys.modules[__name__], argv)
