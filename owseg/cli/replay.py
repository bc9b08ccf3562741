"""`owseg replay`: a recording in; recording, report and metrics out."""

from __future__ import annotations

import argparse
from pathlib import Path

from owseg.cli.common import (
    Bar,
    add_bar_argument,
    add_model_arguments,
    check_bars,
    command_line,
    engine_from,
    evaluation_for,
    need,
    need_apart,
    pipeline_from,
    positive_int,
    print_metrics,
)
from owseg.datasets.truth_map import builtin_truth_maps, load_truth_map
from owseg.errors import TruthError
from owseg.replay.bars import parse_bar
from owseg.replay.runner import OUTPUT, REPORT, Replay, ReplayOptions
from owseg.replay.sources import open_source

SUMMARY = "replay a ROS 2 bag or image folder through a model"
EXAMPLE = "owseg replay drive.mcap --out result"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("bag", type=Path, help="rosbag2 folder, .mcap, .db3, images or a video")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--topic", help="image topic (default: the only one)")
    parser.add_argument("--truth", metavar="TOPIC", help="topic with label images")
    parser.add_argument(
        "--truth-map",
        metavar="FILE",
        help=f"meaning of the label ids: a JSON file or {', '.join(sorted(builtin_truth_maps()))}",
    )
    parser.add_argument("--max-frames", type=positive_int, help="stop after so many frames")
    parser.add_argument("--json", action="store_true", help="print metrics.json")
    add_model_arguments(parser)
    add_bar_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    for text in args.require:
        parse_bar(text)
    need(
        (args.truth is None) == (args.truth_map is None),
        "--truth and --truth-map belong together: the topic with the label images, and what "
        f"their ids mean (a JSON file or one of {', '.join(sorted(builtin_truth_maps()))})",
    )
    need_apart(args.bag, args.out)
    with engine_from(args) as engine:
        pipeline = pipeline_from(args, engine)
        evaluation = None
        if args.truth_map is not None:
            evaluation = evaluation_for(pipeline, load_truth_map(args.truth_map))
        with open_source(args.bag, topic=args.topic, truth_topic=args.truth) as source:
            options = ReplayOptions(
                out=args.out, command=command_line(), max_frames=args.max_frames
            )
            replay = Replay(source, pipeline, options, evaluation)
            metrics = replay.run(Bar(source.count, source.name, args.max_frames))
    print_metrics(metrics, as_json=args.json)
    if not args.json:
        print(f"report       {args.out / REPORT}\nrecording    {args.out / OUTPUT}")
    if evaluation is not None and not evaluation.frames:
        raise TruthError(
            f"no image has the time stamp of a label image on {args.truth}; nothing was compared"
        )
    return check_bars(args.require, metrics)
