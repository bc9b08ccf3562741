"""`owseg calibrate`: probabilities and promised thresholds, fitted to data, into a new bundle."""

from __future__ import annotations

import argparse
import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from owseg.bundle import load_bundle
from owseg.calibration.fit import METHODS, fit_table
from owseg.calibration.promise import Promise, keep
from owseg.calibration.rewrite import save_with_manifest
from owseg.calibration.run import ScoredFrames, score_frames
from owseg.calibration.table import CalibrationTable
from owseg.cli.common import Bar, need
from owseg.cli.labelled import add_data_arguments, labelled_images, open_data
from owseg.engines import ENGINES, open_engine
from owseg.engines.onnxruntime import DEVICES, HEADS
from owseg.errors import OutputError, UsageError
from owseg.manifest import Manifest, OperatingPoint
from owseg.metrics import FALSE_FRAME
from owseg.replay.runner import make_folder

SUMMARY = "fit probabilities and promised thresholds to labels"
EXAMPLE = (
    "owseg calibrate model.onnx --data camvid --root CamVid --split val --out calibrated.onnx "
    "--map isotonic --false-alarms 0.02"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("model", type=Path, help="model bundle")
    add_data_arguments(parser, split="val")
    parser.add_argument("--out", type=Path, required=True, help="bundle to write")
    parser.add_argument(
        "--map",
        choices=(*METHODS, "none"),
        default="none",
        help="how scores become probabilities (none: keep what the bundle has)",
    )
    _add_promises(parser)
    parser.add_argument("--default", metavar="POINT", help="operating point used from now on")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument(
        "--engine", choices=sorted(ENGINES), default="onnxruntime", help="runtime (onnxruntime)"
    )
    parser.add_argument("--device", choices=DEVICES, default="auto", help="where it runs")
    parser.add_argument("--heads", choices=HEADS, default="auto", help=argparse.SUPPRESS)


def _add_promises(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("promised thresholds, each may be repeated")
    group.add_argument(
        "--false-alarms",
        type=float,
        action="append",
        default=[],
        metavar="SHARE",
        help="of a frame's normal pixels at most this share is unknown, mean over frames",
    )
    group.add_argument(
        "--false-frames",
        type=float,
        action="append",
        default=[],
        metavar="SHARE",
        help="at most this share of frames has more than --of-frame of its normal pixels unknown",
    )
    group.add_argument(
        "--of-frame",
        type=float,
        default=FALSE_FRAME,
        metavar="SHARE",
        help="of --false-frames: share of normal pixels that makes a frame a false one "
        f"({FALSE_FRAME:g})",
    )
    group.add_argument(
        "--missed",
        type=float,
        action="append",
        default=[],
        metavar="SHARE",
        help="of a frame's anomalous pixels at most this share is missed, mean over frames",
    )
    sure = group.add_mutually_exclusive_group()
    sure.add_argument(
        "--confidence",
        type=float,
        default=0.95,
        help="chance, over the frames, that a promise holds (0.95)",
    )
    sure.add_argument(
        "--in-expectation",
        action="store_true",
        help="promise the mean over such fits instead: needs far fewer frames, and may be "
        "broken by a single fit; not for --false-frames",
    )


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    promises = _promises(args)
    need(
        args.map != "none" or bool(promises),
        "nothing to fit; choose --map, --false-alarms, --false-frames or --missed",
    )
    _check_target(args.out)
    bundle = load_bundle(args.model)
    known = [point.name for point in bundle.manifest.operating_points]
    known += [promise.name for promise in promises]
    need(
        args.default in (None, *known),
        f"--default {args.default} is not an operating point; there are {', '.join(known)}",
    )
    images = labelled_images(args, open_data(args), bundle.manifest)
    with (
        open_engine(args.model, args.engine, args.device, heads=args.heads) as engine,
        closing(Bar(len(images.samples), images.title)) as bar,
    ):
        scored = score_frames(engine, bar(images.samples), images.truth_map)
    manifest = _fitted(bundle.manifest, args, promises, scored, images.name)
    save_with_manifest(bundle, manifest, args.out)
    _print(args, manifest, scored, [promise.name for promise in promises])
    return 0


def _promises(args: argparse.Namespace) -> list[Promise]:
    confidence = None if args.in_expectation else args.confidence
    if args.in_expectation and args.false_frames:
        raise UsageError("--false-frames is about single frames; give it a --confidence")
    wanted = {
        "false_alarms": args.false_alarms,
        "false_frames": args.false_frames,
        "missed": args.missed,
    }
    return [
        Promise(kind=kind, limit=limit, confidence=confidence, of_frame=args.of_frame)
        for kind, limits in wanted.items()
        for limit in limits
    ]


def _check_target(out: Path) -> None:
    """Find out before the long work whether the bundle can be written."""
    make_folder(out.parent)
    if out.is_dir():
        raise OutputError(f"cannot write the bundle {out}: it is a folder; name a file with --out")


def _fitted(
    manifest: Manifest,
    args: argparse.Namespace,
    promises: list[Promise],
    scored: ScoredFrames,
    fitted_on: str,
) -> Manifest:
    """Return the manifest with what was asked for; points of the same name are replaced."""
    calibration = manifest.calibration
    if args.map != "none":
        calibration = fit_table(args.map, scored.pixels.compute(), fitted_on)
    points = {point.name: point for point in manifest.operating_points}
    points |= {p.name: keep(p, scored.curves, fitted_on) for p in promises}
    return replace(
        manifest,
        operating_points=tuple(points.values()),
        default_operating_point=args.default or manifest.default_operating_point,
        calibration=calibration,
    )


def _print(
    args: argparse.Namespace, manifest: Manifest, scored: ScoredFrames, names: list[str]
) -> None:
    points = [point for point in manifest.operating_points if point.name in names]
    fitted = manifest.calibration if args.map != "none" else None
    if args.json:
        print(json.dumps(_figures(args.out, scored, points, fitted), indent=2))
        return
    print(f"frames       {scored.curves.frames}")
    if fitted is not None:
        before = fitted.figures["ece_of_scores"]
        print(f"calibration  {fitted.method}; the scores alone have an ECE of {100 * before:.1f} %")
    for point in points:
        measured = 100 * point.promise["measured"]
        print(
            f"{point.name}: threshold {point.threshold:.4f}, here {measured:.2g} %\n"
            f"             {point.fitted_on}"
        )
    print(f"bundle       {args.out}")


def _figures(
    out: Path, scored: ScoredFrames, points: list[OperatingPoint], fitted: CalibrationTable | None
) -> dict[str, Any]:
    return {
        "bundle": str(out),
        "frames": scored.curves.frames,
        "operating_points": [
            {
                "name": p.name,
                "threshold": p.threshold,
                "fitted_on": p.fitted_on,
                "promise": dict(p.promise),
            }
            for p in points
        ],
        "calibration": None if fitted is None else fitted.as_dict(),
    }
