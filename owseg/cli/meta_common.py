"""What both commands of `owseg meta` start with: a model, and labelled images."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from owseg.cli.common import add_engine_arguments, engine_from, positive_int
from owseg.datasets import READERS, Sample, TruthMap, load_truth_map, open_dataset
from owseg.datasets.goss import listed
from owseg.evaluation import truth_map_for
from owseg.grouping import GROUPINGS
from owseg.meta.run import Recorder
from owseg.pipeline import Pipeline


@dataclass(frozen=True, kw_only=True)
class LabelledRun:
    """A pipeline that measures objects, and the images for it.

    Attributes:
        pipeline: with `recorder` in the place of a meta classifier.
        recorder: has the features of the last frame.
        samples: the images.
        truth_map: meaning of their labels.
        title: data set and split.
        name: the same with number of images and truth map.
    """

    pipeline: Pipeline
    recorder: Recorder
    samples: Sequence[Sample]
    truth_map: TruthMap
    title: str
    name: str


def add_data_arguments(parser: argparse.ArgumentParser, split: str) -> None:
    """Add the options that choose model, threshold and images."""
    parser.add_argument("--data", required=True, choices=sorted(READERS), help="data set")
    parser.add_argument("--root", type=Path, required=True, help="folder of the data set")
    parser.add_argument("--split", default=split, help=f"train, val or test (default: {split})")
    parser.add_argument(
        "--truth-map",
        metavar="FILE",
        help="meaning of the label ids (default: classes that the model lacks are anomalies)",
    )
    parser.add_argument("--names", type=Path, metavar="FILE", help="only the images of a list")
    parser.add_argument("--max-frames", type=positive_int, help="stop after so many images")
    parser.add_argument(
        "--grouping",
        choices=tuple(GROUPINGS),
        default="components",
        help="how unknown pixels become objects (components)",
    )
    threshold = parser.add_mutually_exclusive_group()
    threshold.add_argument("--threshold", type=float, help="anomaly threshold, 0..1")
    threshold.add_argument("--operating-point", help="named threshold of the bundle, e.g. fpr_1")
    add_engine_arguments(parser)


@contextmanager
def open_data(args: argparse.Namespace) -> Iterator[LabelledRun]:
    """Open what the options choose."""
    reader = open_dataset(args.data, args.root, args.split)
    with engine_from(args) as engine:
        truth_map = (
            truth_map_for(engine.manifest, reader.label_space)
            if args.truth_map is None
            else load_truth_map(args.truth_map)
        )
        samples = list(reader if args.names is None else listed(reader, args.names))
        samples = samples[: args.max_frames]
        recorder = Recorder()
        pipeline = Pipeline(
            engine,
            threshold=args.threshold,
            operating_point=args.operating_point,
            grouping=args.grouping,
            meta=recorder,
        )
        title = f"{reader.name} {reader.split}"
        yield LabelledRun(
            pipeline=pipeline,
            recorder=recorder,
            samples=samples,
            truth_map=truth_map,
            title=title,
            name=f"{title}, {len(samples)} images, {truth_map.name}",
        )
