"""What both commands of `owseg meta` start with: a model, and labelled images."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from owseg.cli.common import add_engine_arguments, engine_from
from owseg.cli.labelled import LabelledImages, add_data_arguments, labelled_images, open_data
from owseg.grouping import GROUPINGS
from owseg.meta.run import Recorder
from owseg.pipeline import Pipeline


@dataclass(frozen=True, kw_only=True)
class MeasuringRun:
    """A pipeline that measures objects, and the images for it.

    Attributes:
        pipeline: with `recorder` in the place of a meta classifier.
        recorder: has the features of the last frame.
        images: with their truth.
    """

    pipeline: Pipeline
    recorder: Recorder
    images: LabelledImages


def add_run_arguments(parser: argparse.ArgumentParser, split: str) -> None:
    """Add the options that choose images, model, grouping and threshold."""
    add_data_arguments(parser, split)
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
def open_run(args: argparse.Namespace) -> Iterator[MeasuringRun]:
    """Open what the options choose."""
    reader = open_data(args)
    with engine_from(args) as engine:
        images = labelled_images(args, reader, engine.manifest)
        recorder = Recorder()
        pipeline = Pipeline(
            engine,
            threshold=args.threshold,
            operating_point=args.operating_point,
            grouping=args.grouping,
            meta=recorder,
        )
        yield MeasuringRun(pipeline=pipeline, recorder=recorder, images=images)
