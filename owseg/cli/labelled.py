"""Options that choose labelled images, and what they choose; for all commands that need truth."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from owseg.cli.common import positive_int
from owseg.datasets import (
    READERS,
    DatasetReader,
    Sample,
    TruthMap,
    load_truth_map,
    open_dataset,
)
from owseg.datasets.goss import listed
from owseg.evaluation import truth_map_for
from owseg.manifest import Manifest


@dataclass(frozen=True, kw_only=True)
class LabelledImages:
    """Images with ground truth.

    Attributes:
        samples: the images.
        truth_map: meaning of their labels.
        title: data set and split.
    """

    samples: Sequence[Sample]
    truth_map: TruthMap
    title: str

    @property
    def name(self) -> str:
        """The title with the number of images and the truth map: what a fit was made on."""
        return f"{self.title}, {len(self.samples)} images, {self.truth_map.name}"


def add_data_arguments(parser: argparse.ArgumentParser, split: str) -> None:
    """Add the options that choose labelled images.

    Args:
        parser: of the command.
        split: the default split.
    """
    parser.add_argument("--data", required=True, choices=sorted(READERS), help="data set")
    parser.add_argument("--root", type=Path, required=True, help="folder of the data set")
    parser.add_argument("--split", default=split, help=f"train, val or test (default: {split})")
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


def open_data(args: argparse.Namespace) -> DatasetReader:
    """Open the data set that the options choose; well before a model is loaded.

    Raises:
        UsageError: it has no such split.
        DatasetError: it is not there, or incomplete.
    """
    return open_dataset(args.data, args.root, args.split)


def labelled_images(
    args: argparse.Namespace, reader: DatasetReader, manifest: Manifest
) -> LabelledImages:
    """Find the images of a data set that the options choose, and what their labels mean.

    Args:
        args: with the options of `add_data_arguments`.
        reader: the data set.
        manifest: the model that is to run on them.

    Raises:
        InputError: the truth map or the list of images cannot be used.
    """
    truth_map = (
        truth_map_for(manifest, reader.label_space)
        if args.truth_map is None
        else load_truth_map(args.truth_map)
    )
    samples = list(reader if args.names is None else listed(reader, args.names))
    return LabelledImages(
        samples=samples[: args.max_frames],
        truth_map=truth_map,
        title=f"{reader.name} {reader.split}",
    )
