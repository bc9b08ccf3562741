"""Options and output that several commands share."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from owseg.bundle import shipped_model
from owseg.datasets.truth_map import TruthMap
from owseg.engines import ENGINES, Engine, open_engine
from owseg.engines.compact import SCORES
from owseg.engines.onnxruntime import DEVICES, HEADS
from owseg.errors import UsageError
from owseg.evaluation import Evaluation
from owseg.grouping import GROUPINGS
from owseg.meta.model import load_meta
from owseg.metrics import ANOMALY_TRACK, ComponentRules
from owseg.pipeline import Pipeline
from owseg.prototypes import PrototypeStore
from owseg.replay.bars import missed_bars, parse_bar
from owseg.replay.runner import OUTPUT, Progress

T = TypeVar("T")


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose model, engine, threshold and novel classes."""
    add_engine_arguments(parser)
    parser.add_argument(
        "--prototypes",
        type=Path,
        metavar="STORE",
        help="also name the novel classes of this store, see 'owseg prototypes add'",
    )
    parser.add_argument(
        "--grouping",
        choices=tuple(GROUPINGS),
        default="components",
        help="how unknown pixels become objects (components)",
    )
    parser.add_argument(
        "--score",
        choices=tuple(SCORES),
        default="float32",
        help="type in which scores leave a GPU; uint8 is a quarter of the bytes (float32)",
    )
    parser.add_argument(
        "--calibrated",
        action="store_true",
        help="give probabilities of anomaly, by the map that 'owseg calibrate' has fitted",
    )
    parser.add_argument(
        "--meta",
        type=Path,
        metavar="FILE",
        help="drop unknown objects that a meta classifier calls false, see 'owseg meta fit'",
    )
    parser.add_argument(
        "--min-object",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="drop unknown objects that are a smaller share of the image, e.g. 0.003 (0)",
    )
    threshold = parser.add_mutually_exclusive_group()
    threshold.add_argument("--threshold", type=float, help="anomaly threshold, 0..1")
    threshold.add_argument("--operating-point", help="named threshold of the bundle, e.g. fpr_1")


def add_engine_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose model and engine."""
    parser.add_argument("--model", type=Path, help="model bundle (default: the one shipped)")
    parser.add_argument(
        "--engine", choices=sorted(ENGINES), default="onnxruntime", help="runtime (onnxruntime)"
    )
    parser.add_argument(
        "--device", choices=DEVICES, default="auto", help="where it runs (auto: a GPU if usable)"
    )
    parser.add_argument(
        "--heads",
        choices=HEADS,
        default="auto",
        help="of onnxruntime: who computes labels and scores (auto: fused on a CPU)",
    )


def add_bar_argument(parser: argparse.ArgumentParser) -> None:
    """Add --require."""
    parser.add_argument(
        "--require",
        action="append",
        default=[],
        metavar="BAR",
        help="exit with 1 unless the bar is met, e.g. 'anomaly.auroc>=0.9'; may be repeated",
    )


def engine_from(args: argparse.Namespace) -> Engine:
    """Load the engine that the options choose; says so where another stands in for it."""
    model = args.model or shipped_model()
    engine = open_engine(model, args.engine, args.device, heads=args.heads)
    if notice := getattr(engine, "notice", ""):
        print(f"owseg: on {engine.name}: {notice}", file=sys.stderr)
    return engine


def pipeline_from(args: argparse.Namespace, engine: Engine) -> Pipeline:
    """Build the pipeline that the options choose.

    Raises:
        StoreError: the store of novel classes cannot be read, or is of another network.
        PrototypeError: its classes do not fit the model.
    """
    pipeline = Pipeline(
        engine,
        threshold=args.threshold,
        operating_point=args.operating_point,
        grouping=args.grouping,
        score=args.score,
        calibrated=args.calibrated,
        meta=None if args.meta is None else load_meta(args.meta),
        min_object=args.min_object,
    )
    if args.prototypes is not None:
        with PrototypeStore(args.prototypes, read_only=True, space=engine.space) as store:
            pipeline.set_prototypes(store.read())
    return pipeline


def evaluation_for(
    pipeline: Pipeline, truth_map: TruthMap, rules: ComponentRules = ANOMALY_TRACK
) -> Evaluation:
    """Build the comparison of a pipeline, with its novel classes, with ground truth."""
    return Evaluation(pipeline.manifest, truth_map, pipeline.prototypes.classes, rules)


class Bar(Progress):
    """A progress bar on standard error.

    Args:
        total: number of samples, None if not known.
        title: text before the bar.
        limit: stops after so many samples; None = never.
    """

    def __init__(self, total: int | None, title: str, limit: int | None = None) -> None:
        known = [number for number in (total, limit) if number is not None]
        self.total = min(known, default=None)
        self.title = title
        self._bar: Any = None

    def __call__(self, samples: Iterable[T]) -> Iterator[T]:
        """Wrap the samples."""
        self._open()
        for number, sample in enumerate(samples, start=1):
            yield sample
            self.show(number)

    def show(self, done: int) -> None:
        """Show that so many samples are done."""
        self._open().update(done - self._bar.n)

    def _open(self) -> Any:
        if self._bar is None:
            self._bar = tqdm(total=self.total, desc=self.title, unit="frame", file=sys.stderr)
        return self._bar

    def close(self) -> None:
        """End the line of the bar, so that a message gets one of its own."""
        if self._bar is not None:
            self._bar.close()


def check_bars(bars: Sequence[str], metrics: dict[str, Any]) -> int:
    """Print the bars that are missed; return the exit code."""
    lines = missed_bars([parse_bar(text) for text in bars], metrics)
    for line in lines:
        print(line, file=sys.stderr)
    return 1 if lines else 0


def print_metrics(metrics: dict[str, Any], *, as_json: bool) -> None:
    """Print the figures, as JSON or as a few lines for people."""
    if as_json:
        print(json.dumps(metrics, indent=2))
        return
    for name, text in _summary(metrics).items():
        print(f"{name:<12} {text}")


def _summary(metrics: dict[str, Any]) -> dict[str, str]:
    lines = {"frames": str(metrics["frames"])}
    if metrics.get("fps"):
        total = metrics["latency_ms"].get("total") or metrics["latency_ms"]["inference"]
        latency = f"{total['p50']:.1f} ms (p50), {total['p95']:.1f} ms (p95)"
        lines["speed"] = f"{metrics['fps']:.1f} frames/s, {latency}"
    if "miou" in metrics:
        if "note" in metrics:
            lines["note"] = metrics["note"]
        else:
            lines["mIoU"] = _percent(metrics["miou"])
        if "incremental" in metrics:
            lines["learnt"] = _learnt(metrics)
        open_miou = metrics.get("open_set", {}).get("open_miou")
        if open_miou is not None:
            lines["open-mIoU"] = _percent(open_miou)
        for key, title in (("anomaly", "anomaly"), ("anomaly_per_image", "per image")):
            figures = metrics[key]
            lines[title] = ", ".join(
                f"{name} {_percent(figures[field])}"
                for name, field in (("AUROC", "auroc"), ("AUPR", "aupr"), ("FPR95", "fpr95"))
            )
        if metrics["goss"]["gq"] is not None:
            lines["GOSS"] = _goss(metrics["goss"])
    return lines


def _learnt(metrics: dict[str, Any]) -> str:
    parts = [f"{name} IoU {_percent(metrics['iou'][name])}" for name in metrics["learnt"]]
    figures = metrics["incremental"]
    parts += [f"{key} {_percent(figures[key])}" for key in ("old", "harmonic")]
    return ", ".join(parts)


def _goss(figures: dict[str, Any]) -> str:
    keys = {"GQ": "gq", "known": "gq_known", "unknown": "gq_unknown", "cluster": "gq_cluster"}
    given = {name: figures[key] for name, key in keys.items() if figures[key] is not None}
    return ", ".join(f"{name} {_percent(value)}" for name, value in given.items())


def _percent(value: float | None) -> str:
    return "undefined" if value is None else f"{100 * value:.1f} %"


def command_line() -> str:
    """Return the command line as typed, for reports."""
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


def positive_int(text: str) -> int:
    """Parse a whole number of at least 1, for argparse."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got '{text}'")
    return value


def need_apart(source: Path, out: Path) -> None:
    """Refuse an output folder in which the results would replace what is read.

    Raises:
        UsageError: `source` is that folder, or the recording in it.
    """
    if source.resolve() in (out.resolve(), (out / OUTPUT).resolve()):
        raise UsageError(f"--out {out} would overwrite the input {source}; choose another folder")


def need(condition: bool, message: str) -> None:
    """Raise UsageError unless the condition holds."""
    if not condition:
        raise UsageError(message)
