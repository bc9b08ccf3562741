"""`owseg build`: a model in; its TensorRT engine into the cache."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from owseg.bundle import load_bundle, shipped_model
from owseg.cli.build_progress import BuildProgress
from owseg.cli.common import positive_int
from owseg.engines.cache import EngineCache
from owseg.engines.cache_key import EngineKey
from owseg.engines.tensorrt.build import WORKSPACE_MB, BuildOptions
from owseg.engines.tensorrt.cached import Result, build_cached
from owseg.engines.tensorrt.precision import PRECISIONS
from owseg.engines.tensorrt.runtime import TensorRT

SUMMARY = "build the TensorRT engine of a model"
EXAMPLE = "owseg build model.onnx --precision fp16"

_NICE = 10
_UNREADABLE = "             (which may need the graph that --save-onnx writes in place of the file)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "model", type=Path, nargs="?", help="model bundle (default: the one shipped)"
    )
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        help="of the network (default: that of the file; TensorRT up to 10.11 can build a file in "
        "fp32 as fp16)",
    )
    parser.add_argument(
        "--batch", type=positive_int, default=1, help="largest number of images at once (1)"
    )
    parser.add_argument(
        "--workspace",
        type=positive_int,
        default=WORKSPACE_MB,
        metavar="MIB",
        help=f"memory for one layer ({WORKSPACE_MB})",
    )
    parser.add_argument(
        "--target",
        metavar="SM86,SM89,...",
        type=_targets,
        default=(),
        help="build for GPUs that are not here, by TensorRT for RTX",
    )
    parser.add_argument(
        "--cache", type=Path, metavar="DIR", help="folder of the engines (~/.cache/owseg/engines)"
    )
    parser.add_argument(
        "--save-onnx", type=Path, metavar="FILE", help="also write the graph that is built"
    )
    parser.add_argument("--force", action="store_true", help="build also what is there already")
    parser.add_argument("--nice", action="store_true", help="give way to other programs")
    parser.add_argument("--json", action="store_true", help="print what was built as JSON")


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    options = BuildOptions(precision=args.precision, workspace=args.workspace, batch=args.batch)
    if args.nice:
        os.nice(_NICE)
    bundle = load_bundle(args.model or shipped_model())
    with BuildProgress(sys.stderr) as progress, _ended_by_ctrl_c() as soften:

        def announce(trt: TensorRT, key: EngineKey) -> None:
            if hasattr(trt.module, "IProgressMonitor"):
                soften()
            where = key.gpu or f"compute capability {key.capability}"
            progress.begin(f"building {bundle.manifest.name} in {key.precision} for {where}")

        results = build_cached(
            bundle,
            options,
            EngineCache(args.cache),
            targets=args.target,
            force=args.force,
            save_onnx=args.save_onnx,
            report=progress.report,
            announce=announce,
            waiting=lambda: progress.begin("waiting for another process that builds it"),
        )
    if args.json:
        print(json.dumps([as_json(result) for result in results], indent=2))
    else:
        for result in results:
            print("\n".join(as_lines(result)))
    return 0


def as_json(result: Result) -> dict[str, Any]:
    """Return what is known of an engine as plain JSON types."""
    entry, key = result.entry, result.entry.key
    return {
        "engine": str(entry.path),
        "built": result.fresh,
        "bytes": entry.size,
        "precision": key.precision,
        "tensorrt": key.version,
        "flavour": key.flavour,
        "gpu": key.gpu,
        "capability": key.capability,
        "input": key.inputs,
        "workspace_mib": key.workspace,
        **entry.about,
        "trtexec": result.line,
    }


def as_lines(result: Result) -> list[str]:
    """Return what is known of an engine for people."""
    entry, key = result.entry, result.entry.key
    state = f"built in {entry.about.get('seconds', 0)} s" if result.fresh else "is there already"
    gpu = f"{key.gpu} ({key.capability})" if key.gpu else f"compute capability {key.capability}"
    note = "" if result.readable else _UNREADABLE
    lines = [
        f"engine       {entry.path}",
        f"             {state}, {entry.size / 1e6:.1f} MB",
        f"of           {entry.about.get('model', '')}, {key.precision}, input {key.inputs}",
        f"for          {gpu}, {key.flavour} {key.version}",
        f"same as      {result.line}",
    ]
    return [*lines, note] if note else lines


def _targets(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip().upper() for part in text.split(",") if part.strip()))


@contextmanager
def _ended_by_ctrl_c() -> Iterator[Any]:
    """Let Ctrl-C end the process at once: TensorRT before 10 cannot be interrupted.

    Gives a function that brings the usual way back, for TensorRT that can.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)

    def soften() -> None:
        signal.signal(signal.SIGINT, before)

    try:
        yield soften
    finally:
        soften()
