"""`owseg bench`: how fast a model runs here, on every engine, stage by stage."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from owseg import __version__
from owseg.bench import Figures, Peers, Skipped, load_peers, measure, open_contestants
from owseg.bench.contestants import (
    ON_CPU,
    ON_GPU,
    ONNXRUNTIME,
    TENSORRT,
    close_all,
)
from owseg.bench.images import frames_of
from owseg.bench.plot import plot
from owseg.bench.table import notes, table
from owseg.bundle import shipped_model
from owseg.cli.common import Bar, need, positive_int
from owseg.engines.choice import tensorrt_obstacle
from owseg.engines.compact import SCORES
from owseg.engines.onnxruntime import DEVICES
from owseg.engines.ort_cuda import cuda_obstacle, made_for_cuda
from owseg.errors import EngineError, MissingDependencyError
from owseg.grouping import GROUPINGS
from owseg.replay.runner import make_folder, write_json

SUMMARY = "measure how fast a model runs, on every engine"
EXAMPLE = "owseg bench model.onnx model_int8.onnx --json speed.json --plot speed.png"

FRAMES = 50


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "model", type=Path, nargs="*", help="model bundles (default: the one shipped)"
    )
    parser.add_argument(
        "--engines",
        metavar="A,B,...",
        help=f"of {', '.join((*ONNXRUNTIME, TENSORRT))}, torch, torch.compile "
        "(default: all that run here)",
    )
    parser.add_argument("--device", choices=DEVICES, default="auto", help="cpu, cuda or auto")
    parser.add_argument("--threads", type=positive_int, default=0, help="on the CPU (all cores)")
    limit = parser.add_mutually_exclusive_group()
    limit.add_argument("--frames", type=positive_int, help=f"of each engine ({FRAMES})")
    limit.add_argument("--seconds", type=_seconds, help="stop after so long instead")
    parser.add_argument("--input", type=Path, help="recording or images (default: made up streets)")
    parser.add_argument("--grouping", choices=sorted(GROUPINGS), help="as in the pipeline")
    parser.add_argument(
        "--score",
        choices=SCORES,
        default="float32",
        help="type in which scores leave a GPU; uint8 is a quarter of the bytes (float32)",
    )
    torch = parser.add_argument_group("networks in torch (with the training extra)")
    torch.add_argument("--recipe", help="a network without a bundle, with random weights")
    torch.add_argument("--checkpoint", type=Path, help="weights of --recipe, or for torch")
    torch.add_argument(
        "--size", type=_size, metavar="HxW", help="input of --recipe or --checkpoint"
    )
    torch.add_argument("--no-torch", action="store_true", help="do not compare with torch")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a file")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw them (.png, .svg, .pdf)")


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    _check(args)
    images = frames_of(args.input)
    peers = _peers(args)
    names = args.engines.split(",") if args.engines else _defaults(args.device, peers)
    with TemporaryDirectory() as folder:
        models = _models(args, peers, Path(folder))
        contestants, skipped = open_contestants(
            models,
            names,
            device=args.device,
            threads=args.threads,
            peers=peers,
            checkpoint=args.checkpoint,
            strict=args.engines is not None,
            say=lambda text: print(f"opening {text}", file=sys.stderr),
        )
        try:
            need(bool(contestants), _nothing(skipped))
            frames = args.frames or (None if args.seconds else FRAMES)
            with closing(Bar(frames, "measuring")) as bar:
                figures = measure(
                    contestants,
                    images,
                    frames=frames,
                    seconds=args.seconds,
                    grouping=args.grouping,
                    score=args.score,
                    progress=bar.show,
                )
        finally:
            close_all(contestants)
    _report(args, figures, skipped)
    return 0


def _check(args: argparse.Namespace) -> None:
    """Refuse what makes no sense before the long work."""
    need(
        args.size is None or args.recipe is not None or (args.checkpoint and not args.model),
        "--size is for --recipe, or for a --checkpoint without a bundle; the input of a bundle "
        "has the size that it was exported with",
    )
    need(
        not (args.no_torch and (args.recipe or args.checkpoint)),
        "--recipe and --checkpoint are networks in torch; leave out --no-torch",
    )
    need(args.engines != "", "--engines names none; leave it out for all that run here")
    for path in filter(None, (args.json, args.plot)):
        make_folder(path.parent)
        need(not path.is_dir(), f"{path} is a folder; name a file")


def _peers(args: argparse.Namespace) -> Peers | None:
    """Return the networks in torch; None where they are not wanted, or not there."""
    wanted = args.recipe or args.checkpoint or (args.engines and "torch" in args.engines)
    if args.no_torch:
        return None
    try:
        return load_peers()
    except MissingDependencyError as error:
        if wanted:
            raise
        print(f"owseg: {error}", file=sys.stderr)
        return None


def _defaults(device: str, peers: Peers | None) -> list[str]:
    """Return what runs here; of what a package is made for and the machine is not, say so.

    Raises:
        EngineError: a GPU is asked for, and nothing is left that could run on it.
    """
    others = peers.names() if peers else ()
    if device == "cpu":
        return [*ON_CPU, *others]
    obstacle = cuda_obstacle()
    if not obstacle:
        return [*ON_GPU, *others]
    found = [] if tensorrt_obstacle() else [TENSORRT]
    found += ON_CPU if device == "auto" else ()
    if not (found or others):
        raise EngineError(obstacle)
    if made_for_cuda():
        missing = [name for name in ON_GPU if name not in found]
        print(f"owseg: leaving out {', '.join(missing)}: {obstacle}", file=sys.stderr)
    return [*found, *others]


def _models(args: argparse.Namespace, peers: Peers | None, folder: Path) -> list[Path]:
    models = list(args.model)
    if args.recipe or (args.checkpoint and not models):
        assert peers is not None
        out = folder / "network.onnx"
        print(f"exporting {args.recipe or args.checkpoint}", file=sys.stderr)
        peers.bundle(args.recipe, args.checkpoint, args.size, out)
        models.append(out)
    return models or [shipped_model()]


def _nothing(skipped: list[Skipped]) -> str:
    return "; ".join(f"{item.name}: {item.reason}" for item in skipped) or "no engine is chosen"


def _report(args: argparse.Namespace, figures: list[Figures], skipped: list[Skipped]) -> None:
    threads = args.threads or len(os.sched_getaffinity(0))
    plural = "s" * (threads != 1)
    print(f"{threads} thread{plural}, {len(figures[0].total_ms)} frames each, in turn; ms a frame")
    for line in (*table(figures), *notes(figures, skipped)):
        print(line)
    if args.json is not None:
        write_json(args.json, as_json(figures, skipped, threads))
    if args.plot is not None:
        names = dict.fromkeys(f"{row.model} {row.size[1]}x{row.size[0]}" for row in figures)
        title = f"{', '.join(names)}, {threads} thread{plural} of the CPU, in turn"
        plot(figures, args.plot, title)


def as_json(figures: list[Figures], skipped: list[Skipped], threads: int) -> dict[str, Any]:
    """Return the content of the JSON file."""
    import onnxruntime

    return {
        "owseg": __version__,
        "onnxruntime": onnxruntime.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "threads": threads,
        "results": [row.as_dict() for row in figures],
        "not_measured": [
            {"engine": item.name, "model": item.model, "reason": item.reason} for item in skipped
        ],
    }


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.lower().partition("x")
    if not (height.isdecimal() and width.isdecimal() and int(height) > 0 and int(width) > 0):
        raise argparse.ArgumentTypeError(f"expected HxW, e.g. 512x1024, got '{text}'")
    return int(height), int(width)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"expected a number of seconds above 0, got '{text}'")
    return value
