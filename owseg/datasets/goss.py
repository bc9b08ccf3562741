"""GOSS benchmarks: which images of a data set, which classes are unknown, and their truth.

A benchmark is made from a data set as

    OUT/goss.json                      what it is: data set, classes, images of each split
    OUT/train.txt  OUT/test.txt        names of the images, one a line
    OUT/labels/SPLIT/NAME.png          uint8: known class, 255 = void or unknown
    OUT/segments/SPLIT/NAME.png        uint16: connected segments of one class, 0 = void

In training, unknown classes are void in both maps; in the test, the segments are those of all
classes, so that the unknown ones are where the label is 255.

Source: J. Hong et al., "GOSS: Towards Generalized Open-set Semantic Segmentation", 2022,
Section 5 and Table 2; the classes of the splits of COCO-Stuff are those of the code that the
authors published.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from owseg.connectivity import Segments, connected_segments
from owseg.datasets.base import DatasetReader, Sample
from owseg.datasets.truth_map import TruthMap, load_truth_map
from owseg.errors import OutputError, TruthError
from owseg.types import UInt8Array

SCHEMA = 1
MANIFEST = "goss.json"
TRAIN, TEST = "train", "test"


@dataclass(frozen=True, slots=True, kw_only=True)
class GossBenchmark:
    """How a benchmark is made.

    Attributes:
        name: of the benchmark.
        dataset: name of a reader.
        truth_map: name of the truth map that says which classes are unknown.
        splits: split of the reader for training, and that for the test.
        strict: whether training images must show no unknown class, and test images one.
        published: number of images for training and for the test as published; None = nowhere.
    """

    name: str
    dataset: str
    truth_map: str
    splits: tuple[str, str]
    strict: bool = False
    published: tuple[int, int] | None = None


def _coco(split: str, train: int, test: int) -> GossBenchmark:
    return GossBenchmark(
        name=f"coco_stuff_{split}",
        dataset="coco_stuff",
        truth_map=f"coco_stuff_{split}",
        splits=("train", "val"),
        strict=True,
        published=(train, test),
    )


def _cityscapes(split: str) -> GossBenchmark:
    name = f"cityscapes_{split}"
    return GossBenchmark(
        name=name,
        dataset="cityscapes",
        truth_map=name,
        splits=("train", "val"),
        published=(2975, 500),
    )


def _camvid(split: str) -> GossBenchmark:
    name = f"camvid_{split}"
    return GossBenchmark(name=name, dataset="camvid", truth_map=name, splits=("train", "test"))


BENCHMARKS = {
    benchmark.name: benchmark
    for benchmark in (
        _cityscapes("16_3"),
        _cityscapes("13_6"),
        _coco("voc_20_60", 21711, 4080),
        _coco("manual_20_60", 17293, 4264),
        _coco("random_111_60", 18707, 4156),
        _camvid("a"),
        _camvid("b"),
    )
}
"""Benchmarks by name."""


class Progress(Protocol):
    """Wraps the images of a split, e.g. with a progress bar."""

    def __call__(self, samples: Iterable[Sample], total: int, title: str) -> Iterable[Sample]:
        """Return the samples."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GossTruth:
    """What is true of one image.

    Attributes:
        labels: (H, W) uint8 known class in the order of the truth map, 255 = void or unknown.
        segments: (H, W) int32 connected segments of one class, 1, 2, ..., 0 = void.
        unknown: (H, W) bool, pixels of unknown classes.
    """

    labels: UInt8Array
    segments: Segments
    unknown: npt.NDArray[np.bool_]


def goss_truth(labels: UInt8Array, truth_map: TruthMap, *, training: bool) -> GossTruth:
    """Convert a label map of the data set.

    Args:
        labels: (H, W) uint8 label ids.
        truth_map: says which classes are unknown.
        training: whether unknown classes are void in the segments too.

    Raises:
        TruthError: the map holds an id that the truth map does not list.
    """
    truth = truth_map.apply(labels, truth_map.known_names)
    counted = truth.valid & ~truth.anomaly if training else truth.valid
    return GossTruth(
        labels=truth.known,
        segments=connected_segments(labels, counted),
        unknown=truth.anomaly,
    )


def build_goss(
    benchmark: GossBenchmark,
    readers: tuple[DatasetReader, DatasetReader],
    out: Path,
    progress: Progress,
) -> dict[str, Any]:
    """Make a benchmark; files that are there are replaced, the manifest last.

    Args:
        benchmark: what is made.
        readers: of the training split and the test split.
        out: folder; made if missing.
        progress: wraps the images.

    Returns:
        The content of the manifest.

    Raises:
        DatasetError: an image or label map cannot be read.
        TruthError: a label map holds ids that the truth map does not list.
        OutputError: a file cannot be written.
    """
    truth_map = load_truth_map(benchmark.truth_map)
    splits = {}
    for split, reader in zip((TRAIN, TEST), readers, strict=True):
        made = _Split(benchmark, truth_map, split, out)
        for sample in progress(reader, len(reader), f"{benchmark.name} {split}"):
            made.add(sample)
        _write_text(out / f"{split}.txt", "".join(f"{name}\n" for name in made.names))
        splits[split] = made.summary(reader.split)
    manifest = {
        "schema": SCHEMA,
        **asdict(benchmark),
        "known": list(truth_map.known_names),
        "unknown": list(truth_map.held_out),
        "splits": splits,
    }
    _write_text(out / MANIFEST, json.dumps(manifest, indent=2) + "\n")
    return manifest


class _Split:
    """One split that is being made."""

    def __init__(
        self, benchmark: GossBenchmark, truth_map: TruthMap, split: str, out: Path
    ) -> None:
        self.names: list[str] = []
        self._benchmark, self._truth_map, self._split, self._out = benchmark, truth_map, split, out
        self._segments = self._unknown = 0

    def add(self, sample: Sample) -> None:
        """Convert one image, unless it is no image of the benchmark."""
        _, labels = sample.load()
        training = self._split == TRAIN
        truth = goss_truth(labels, self._truth_map, training=training)
        if self._benchmark.strict and bool(truth.unknown.any()) == training:
            return
        count = int(truth.segments.max(initial=0))
        if count > np.iinfo(np.uint16).max:
            raise TruthError(f"{sample.label_path} has {count} segments, more than 65535")
        for kind, array in (
            ("labels", truth.labels),
            ("segments", truth.segments.astype(np.uint16)),
        ):
            _write_map(self._out / kind / self._split / f"{sample.name}.png", array)
        self.names.append(sample.name)
        self._segments += count
        self._unknown += len(np.unique(truth.segments[truth.unknown & (truth.segments > 0)]))

    def summary(self, source: str) -> dict[str, Any]:
        """Describe the split for the manifest."""
        return {
            "source_split": source,
            "images": len(self.names),
            "segments": self._segments,
            "unknown_segments": self._unknown,
        }


def listed(samples: Iterable[Sample], names: Path) -> Iterator[Sample]:
    """Choose the samples that a file lists, one name a line, in their order.

    Raises:
        TruthError: the file cannot be read, lists nothing, or a name that no sample has.
    """
    try:
        wanted = [line.strip() for line in names.read_text("utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise TruthError(f"{names} is not a readable list of names ({error})") from error
    by_name = {sample.name: sample for sample in samples}
    missing = [name for name in wanted if name not in by_name]
    if missing or not wanted:
        what = f"'{missing[0]}', which the split does not have" if missing else "no image"
        raise TruthError(f"{names} lists {what}")
    return (by_name[name] for name in wanted)


def _write_map(path: Path, array: npt.NDArray[Any]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        written = cv2.imwrite(str(path), array)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from error
    except cv2.error as error:
        raise OutputError(f"cannot write {path}") from error
    if not written:
        raise OutputError(f"cannot write {path}; is there space, and may you write there?")


def _write_text(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from error
