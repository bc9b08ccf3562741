"""`owseg demo`: make a drive, replay it through the shipped model, write the report."""

from __future__ import annotations

import argparse
import shutil
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from owseg.cli.common import (
    Bar,
    add_model_arguments,
    command_line,
    engine_from,
    evaluation_for,
    pipeline_from,
    positive_int,
    print_metrics,
)
from owseg.datasets.truth_map import load_truth_map
from owseg.replay.runner import OUTPUT, REPORT, Replay, ReplayOptions, make_folder
from owseg.replay.sources import open_source
from owseg.scenes import SceneConfig, write_drive

SUMMARY = "replay a generated street drive through the shipped model"
EXAMPLE = "owseg demo --out demo_out"
FPS = 10
DRIVE = "demo_drive"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--out", type=Path, default=Path("demo_out"), help="folder (demo_out)")
    parser.add_argument("--frames", type=positive_int, default=100, help="length (100)")
    parser.add_argument("--seed", type=int, default=3, help="another seed, another street (3)")
    parser.add_argument("--json", action="store_true", help="print metrics.json")
    add_model_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    make_folder(args.out)
    with engine_from(args) as engine:
        pipeline = pipeline_from(args, engine)
        evaluation = evaluation_for(pipeline, load_truth_map("scenes_a"))
        drive = make_drive(args.out, SceneConfig(seed=args.seed), args.frames)
        with open_source(drive, truth_topic="/ground_truth/labels") as source:
            options = ReplayOptions(out=args.out, command=command_line())
            replay = Replay(source, pipeline, options, evaluation)
            metrics = replay.run(Bar(source.count, "demo"))
    print_metrics(metrics, as_json=args.json)
    if not args.json:
        print(f"report       {args.out / REPORT}\nrecording    {args.out / OUTPUT}")
    return 0


def make_drive(out: Path, config: SceneConfig, frames: int) -> Path:
    """Render a drive into OUT/demo_drive; that of an earlier run is replaced at the end."""
    drive = out / DRIVE
    with TemporaryDirectory(dir=out, prefix=".drive_") as work:
        with closing(Bar(frames, "rendering")) as bar:
            fresh = write_drive(Path(work) / DRIVE, config, frames, fps=FPS, progress=bar.show)
        if drive.is_dir():
            shutil.rmtree(drive)
        fresh.rename(drive)
    return drive
