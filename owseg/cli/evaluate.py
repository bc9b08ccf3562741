"""`owseg eval`: the figures of a model on a labelled data set."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from owseg import __version__
from owseg.cli.common import (
    Bar,
    add_bar_argument,
    add_model_arguments,
    check_bars,
    engine_from,
    evaluation_for,
    pipeline_from,
    positive_int,
    print_metrics,
)
from owseg.datasets import READERS, DatasetReader, Sample, load_truth_map, open_dataset
from owseg.datasets.goss import listed
from owseg.evaluation import Evaluation, truth_map_for
from owseg.pipeline import Pipeline
from owseg.replay.bars import parse_bar
from owseg.replay.claims import ClaimMetric
from owseg.replay.latency import LatencyMetric
from owseg.replay.runner import make_folder, write_json
from owseg.types import Frame

SUMMARY = "evaluate a model on a labelled data set"
EXAMPLE = "owseg eval --data camvid --root CamVid --split test --json figures.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--data", required=True, choices=sorted(READERS), help="data set")
    parser.add_argument("--root", type=Path, required=True, help="folder of the data set")
    parser.add_argument("--split", default="val", help="train, val or test (default: val)")
    parser.add_argument(
        "--truth-map",
        metavar="FILE",
        help="meaning of the label ids (default: classes that the model lacks are anomalies)",
    )
    parser.add_argument(
        "--names",
        type=Path,
        metavar="FILE",
        help="only the images that a file lists, one name a line (see 'owseg data goss')",
    )
    parser.add_argument("--max-frames", type=positive_int, help="stop after so many images")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a file")
    add_model_arguments(parser)
    add_bar_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    for text in args.require:
        parse_bar(text)
    if args.json is not None:
        make_folder(args.json.parent)
    reader = open_dataset(args.data, args.root, args.split)
    with engine_from(args) as engine:
        if args.truth_map is None:
            truth_map = truth_map_for(engine.manifest, reader.label_space)
        else:
            truth_map = load_truth_map(args.truth_map)
        pipeline = pipeline_from(args, engine)
        evaluation = evaluation_for(pipeline, truth_map)
        samples = list(reader if args.names is None else listed(reader, args.names))
        metrics = evaluate(reader, pipeline, evaluation, samples[: args.max_frames])
    if args.json is not None:
        write_json(args.json, metrics)
    print_metrics(metrics, as_json=False)
    return check_bars(args.require, metrics)


def evaluate(
    reader: DatasetReader,
    pipeline: Pipeline,
    evaluation: Evaluation,
    samples: Sequence[Sample],
) -> dict[str, Any]:
    """Run a pipeline over samples of a data set.

    Returns:
        The content of metrics.json.
    """
    latency, claims = LatencyMetric(), ClaimMetric(pipeline.prototypes)
    pipeline.warm_up()
    started = time.perf_counter()
    with closing(Bar(len(samples), f"{reader.name} {reader.split}")) as bar:
        for index, sample in enumerate(bar(samples)):
            image, labels = sample.load()
            frame = Frame(image=image, index=index, frame_id=sample.name)
            result = pipeline.process(frame, partition=True)
            evaluation.update(result, labels)
            latency.update(result.timings_ms)
            claims.update(result)
    return {
        "owseg": __version__,
        "source": f"{reader.name} {reader.split}",
        "model": pipeline.manifest.name,
        "engine": pipeline.engine.name,
        "threshold": pipeline.threshold,
        "frames": len(samples),
        "fps": len(samples) / (time.perf_counter() - started),
        "latency_ms": latency.compute(),
        **claims.metrics(),
        **evaluation.metrics(),
    }
