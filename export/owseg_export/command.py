"""`owseg export`: from a checkpoint to a model bundle, and from a bundle to another precision."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from owseg.cli.common import need, positive_int
from owseg.errors import MissingDependencyError
from owseg.manifest import Manifest
from owseg.replay.runner import make_folder

SUMMARY = "export a checkpoint as a model bundle, or a bundle in another precision"
EXAMPLE = (
    "owseg export runs/camvid_small/checkpoint.pt --root CamVid --out model.onnx\n"
    "  owseg export model.onnx --root CamVid --precision int8 --out model_int8.onnx"
)

PRECISIONS = ("fp32", "fp16", "int8")
INT8_FOR = ("cpu", "tensorrt")
BUNDLE = ".onnx"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "source", type=Path, help="checkpoint of owseg train or incremental, or a bundle (.onnx)"
    )
    parser.add_argument("--root", type=Path, help="folder of its data set; needed by checkpoints")
    parser.add_argument("--out", type=Path, required=True, help="bundle to write, *.onnx")
    parser.add_argument("--score", help="anomaly score (default: as in the recipe)")
    parser.add_argument(
        "--form",
        choices=("constant", "paper"),
        help="constants fitted on training data, or the paper's per-image form "
        "(default: as in the recipe)",
    )
    parser.add_argument("--operating-point", help="default threshold (fpr_1)")
    _add_precision_arguments(parser.add_argument_group("precision of the network"))


def _add_precision_arguments(group: Any) -> None:
    group.add_argument("--precision", choices=PRECISIONS, default="fp32", help="default: fp32")
    group.add_argument(
        "--int8-for",
        choices=INT8_FOR,
        default="cpu",
        help="ONNX Runtime on a CPU, or TensorRT (cpu)",
    )
    group.add_argument(
        "--calibration",
        type=Path,
        metavar="ROOT/SPLIT",
        help="images that int8 is calibrated with (default: the training split in --root)",
    )
    group.add_argument(
        "--calibration-images", type=positive_int, default=64, metavar="N", help="so many (64)"
    )
    group.add_argument(
        "--validation",
        type=Path,
        metavar="ROOT/SPLIT",
        help="images that the loss is measured on (default: the split val in --root)",
    )
    group.add_argument("--validation-images", type=positive_int, metavar="N", help="so many (all)")
    group.add_argument(
        "--truth-map", metavar="FILE", help="meaning of their labels (default: as trained)"
    )
    for name, value, what in (
        ("miou-loss", 1.0, "loss of mIoU"),
        ("auroc-loss", 1.0, "loss of AUROC"),
        ("fpr95-rise", 3.0, "rise of FPR95"),
    ):
        group.add_argument(
            f"--max-{name}",
            type=_points,
            default=value,
            metavar="POINTS",
            help=f"largest {what} that is accepted, in points ({value:g}); else exit 1",
        )


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    is_bundle = args.source.suffix.lower() == BUNDLE
    _check(args, is_bundle)
    try:
        import owseg_export.export
        import owseg_export.precision  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(
            f"owseg export needs torch and onnx ({error}): pip install 'owseg_ros[train]'"
        ) from error
    if is_bundle:
        manifest = _convert(args, args.source)
    elif args.precision == "fp32":
        manifest = _export(args, args.out)
    else:
        make_folder(args.out.parent)
        with TemporaryDirectory(dir=args.out.parent, prefix=".export_") as folder:
            plain = Path(folder) / "fp32.onnx"
            _export(args, plain)
            manifest = _convert(args, plain)
    _show(args.out, manifest)
    return 0


def _check(args: argparse.Namespace, is_bundle: bool) -> None:
    """Refuse what makes no sense before the long work."""
    if not is_bundle:
        need(
            args.root is not None,
            "name the data set of the checkpoint with --root: the score is fitted on it",
        )
        return
    need(
        args.precision != "fp32",
        f"{args.source} is a bundle; name what to make of it with --precision fp16 or int8",
    )
    given = [name for name in ("score", "form", "operating_point") if getattr(args, name)]
    need(
        not given,
        f"--{''.join(given[:1]).replace('_', '-')} is for checkpoints: a bundle keeps its score",
    )
    need(
        args.source.resolve() != args.out.resolve(),
        f"--out {args.out} is the bundle that is converted; choose another file",
    )


def _export(args: argparse.Namespace, out: Path) -> Manifest:
    """Export a checkpoint in float32."""
    from owseg_export.export import ExportOptions, export_bundle
    from owseg_training.incremental.checkpoint import load_any

    wanted = load_any(args.source).recipe.score
    score = replace(wanted, method=args.score or wanted.method, form=args.form or wanted.form)
    options = ExportOptions(
        root=args.root, out=out, score=score, default_point=args.operating_point or "fpr_1"
    )
    return export_bundle(args.source, options)


def _convert(args: argparse.Namespace, bundle: Path) -> Manifest:
    """Convert a float32 bundle."""
    from owseg.bundle import load_bundle
    from owseg_export.precision import Limits, PrecisionOptions, convert_bundle

    calibration, validation = args.calibration, args.validation
    if args.root is not None:
        split = str(load_bundle(bundle).manifest.provenance.get("split", "train"))
        calibration = calibration or args.root / split
        validation = validation or args.root / "val"
    options = PrecisionOptions(
        name=args.precision,
        form=args.int8_for,
        calibration=calibration,
        calibration_images=args.calibration_images,
        validation=validation,
        validation_images=args.validation_images,
        truth_map=args.truth_map or _truth_map(args.source),
        limits=Limits(
            miou=args.max_miou_loss / 100,
            auroc=args.max_auroc_loss / 100,
            fpr95=args.max_fpr95_rise / 100,
        ),
    )
    return convert_bundle(bundle, args.out, options)


def _truth_map(source: Path) -> str | None:
    """Return the truth map of a checkpoint: of one in a file its bundle has but the name."""
    if source.suffix.lower() == BUNDLE:
        return None
    from owseg_training.incremental.checkpoint import load_any

    return load_any(source).recipe.data.truth_map


def _show(out: Path, manifest: Manifest) -> None:
    size = out.stat().st_size / 1e6
    print(f"{out}  {size:.1f} MB, score {manifest.score['method']}, {manifest.precision}")
    for point in manifest.operating_points:
        print(f"  {point.name:<8} threshold {point.threshold:.4f}")
    noted = manifest.provenance.get("precision")
    if noted:
        print(f"  on {noted['validation']}: {_change(noted)}")


def _change(noted: Any) -> str:
    parts = []
    for key, title in (("miou", "mIoU"), ("auroc", "AUROC"), ("fpr95", "FPR95")):
        before, after = noted["before"][key], noted["after"][key]
        if before is None or after is None:
            parts.append(f"{title} undefined, not judged")
        else:
            parts.append(f"{title} {100 * before:.2f} to {100 * after:.2f} %")
    return ", ".join(parts)


def _points(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 100:
        raise argparse.ArgumentTypeError(f"expected points in 0..100, got '{text}'")
    return value
