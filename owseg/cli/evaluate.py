"""`owseg eval`: the figures of a model on a labelled data set."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from owseg import __version__
from owseg.calibration.plot import plot_reliability
from owseg.cli.common import (
    Bar,
    add_bar_argument,
    add_model_arguments,
    check_bars,
    engine_from,
    evaluation_for,
    pipeline_from,
    print_metrics,
)
from owseg.cli.labelled import (
    LabelledImages,
    add_data_arguments,
    labelled_images,
    open_data,
)
from owseg.datasets import Sample
from owseg.evaluation import Evaluation
from owseg.metrics import ANOMALY_TRACK, OBSTACLE_TRACK, ComponentMetric
from owseg.pipeline import Pipeline
from owseg.replay.bars import parse_bar
from owseg.replay.claims import ClaimMetric
from owseg.replay.in_force import in_force
from owseg.replay.latency import LatencyMetric
from owseg.replay.runner import make_folder, write_json
from owseg.types import Frame

SUMMARY = "evaluate a model on a labelled data set"
EXAMPLE = "owseg eval --data camvid --root CamVid --split test --json figures.json"

TRACKS = {"anomaly": ANOMALY_TRACK, "obstacle": OBSTACLE_TRACK}
"""Rules of components by name."""

DATA_TRACKS = {"road_obstacle21": "obstacle", "lost_and_found": "obstacle"}
"""Rules of the data sets that the benchmark judges by those of obstacles."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_data_arguments(parser, split="val")
    parser.add_argument(
        "--components",
        choices=tuple(TRACKS),
        help="sizes that count as a component, by SegmentMeIfYouCan's tracks (default: that of "
        "the data set, else anomaly)",
    )
    parser.add_argument(
        "--best-f1",
        action="store_true",
        help="also cut components at the threshold of the best pixel F1, as SegmentMeIfYouCan "
        "does; takes a second pass",
    )
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the reliability diagram")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a file")
    add_model_arguments(parser)
    add_bar_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    for text in args.require:
        parse_bar(text)
    for file in (args.json, args.plot):
        if file is not None:
            make_folder(file.parent)
    reader = open_data(args)
    with engine_from(args) as engine:
        images = labelled_images(args, reader, engine.manifest)
        pipeline = pipeline_from(args, engine)
        rules = TRACKS[args.components or DATA_TRACKS.get(args.data, "anomaly")]
        evaluation = evaluation_for(pipeline, images.truth_map, rules)
        metrics = evaluate(images, pipeline, evaluation)
        if args.best_f1:
            best = components_at_best_f1(pipeline, evaluation, images.samples)
            metrics["components_best_f1"] = best
    if args.plot is not None:
        found = evaluation.calibration.compute()
        plot_reliability(found.bins, found.ece, args.plot, metrics["source"])
    if args.json is not None:
        write_json(args.json, metrics)
    print_metrics(metrics, as_json=False)
    return check_bars(args.require, metrics)


def evaluate(images: LabelledImages, pipeline: Pipeline, evaluation: Evaluation) -> dict[str, Any]:
    """Run a pipeline over labelled images.

    Returns:
        The content of metrics.json.
    """
    latency, claims = LatencyMetric(), ClaimMetric(pipeline.prototypes)
    pipeline.warm_up()
    started = time.perf_counter()
    with closing(Bar(len(images.samples), images.title)) as bar:
        for index, sample in enumerate(bar(images.samples)):
            image, labels = sample.load()
            frame = Frame(image=image, index=index, frame_id=sample.name)
            result = pipeline.process(frame, partition=True)
            evaluation.update(result, labels)
            latency.update(result.timings_ms)
            claims.update(result)
    return {
        "owseg": __version__,
        "source": images.title,
        **in_force(pipeline),
        "frames": len(images.samples),
        "fps": len(images.samples) / (time.perf_counter() - started),
        "latency_ms": latency.compute(),
        **claims.metrics(),
        **evaluation.metrics(),
    }


def components_at_best_f1(
    pipeline: Pipeline, evaluation: Evaluation, samples: Sequence[Sample]
) -> dict[str, Any] | None:
    """Cut the score into components at the threshold with the best pixel F1 of the same data.

    Returns:
        The threshold and the figures of the components; None without anomalous pixels.
    """
    threshold = evaluation.pixels.threshold_at_best_f1()
    if threshold is None:
        return None
    metric = ComponentMetric(evaluation.components.rules)
    with closing(Bar(len(samples), "components")) as bar:
        for index, sample in enumerate(bar(samples)):
            image, labels = sample.load()
            result = pipeline.process(Frame(image=image, index=index), group=False)
            truth = evaluation.scored_truth(labels)
            metric.update(result.anomaly > threshold, truth.anomaly, truth.valid)
    rules = metric.rules
    return {
        "threshold": threshold,
        "min_prediction": rules.min_prediction,
        "min_truth": rules.min_truth,
        **metric.compute().as_dict(),
    }
