"""A model over a labelled data set, with its unknown objects measured and judged."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from owseg.datasets.base import Sample
from owseg.datasets.truth_map import Truth, TruthMap
from owseg.manifest import Manifest
from owseg.meta.features import feature_names, measure
from owseg.meta.model import MetaClassifier
from owseg.meta.truth import ObjectCounts, finders, judge
from owseg.metrics import SegmentationMetric
from owseg.pipeline import Pipeline
from owseg.types import FloatArray, Frame, Result, UInt8Array, UInt16Array


class Recorder:
    """In the place of a meta classifier: measures the objects, and calls none a false alarm."""

    def __init__(self) -> None:
        self.features: FloatArray = np.zeros((0, 0), np.float32)
        self._classes = 0

    def check(self, manifest: Manifest) -> None:
        """Take the number of classes of a model."""
        self._classes = len(manifest.classes)

    def false_alarms(
        self, clusters: UInt16Array, anomaly: FloatArray, known: UInt8Array
    ) -> npt.NDArray[np.bool_]:
        """Keep the features of the objects of a frame; arguments as in `MetaClassifier`."""
        self.features = measure(clusters, anomaly, known, self._classes)
        return np.zeros(len(self.features) + 1, np.bool_)

    def about(self) -> dict[str, Any]:
        """Say what it is, see `ObjectJudge`."""
        return {"kind": "recorder"}


@dataclass(frozen=True, kw_only=True)
class MeasuredObjects:
    """The unknown objects of a data set.

    Attributes:
        features: (S, F) float32.
        verdicts: (S,) int8, see `owseg.meta.truth.judge`.
        frames: (S,) number of the image of each object.
        drives: name of the drive of each image.
        found: for each true object that is found, the numbers of those that touch it.
    """

    features: FloatArray
    verdicts: npt.NDArray[np.int8]
    frames: npt.NDArray[np.intp]
    drives: tuple[str, ...]
    found: tuple[tuple[int, ...], ...]


def drive_of(name: str) -> str:
    """Return the drive that an image belongs to: its folder, or the name up to the first "_"."""
    folder, _, last = name.rpartition("/")
    return folder or last.partition("_")[0]


def measure_objects(
    pipeline: Pipeline, recorder: Recorder, samples: Iterable[Sample], truth_map: TruthMap
) -> MeasuredObjects:
    """Measure the unknown objects of labelled images, and compare them with the truth.

    Args:
        pipeline: a pipeline with `recorder` as its meta classifier.
        recorder: that.
        samples: the images.
        truth_map: meaning of the labels.
    """
    names = pipeline.manifest.class_names
    features = [np.zeros((0, len(feature_names(names))), np.float32)]
    verdicts, frames = [np.zeros(0, np.int8)], [np.zeros(0, np.intp)]
    drives: list[str] = []
    found: list[tuple[int, ...]] = []
    before = 0
    for index, sample in enumerate(samples):
        result, truth = _process(pipeline, sample, truth_map, index)
        verdict = _padded(judge(result.clusters, truth), len(recorder.features))
        features.append(recorder.features)
        verdicts.append(verdict)
        frames.append(np.full(len(verdict), index))
        drives.append(drive_of(sample.name))
        touching = finders(result.clusters, truth)
        found += [tuple((before + ids - 1).tolist()) for ids in touching if ids.size]
        before += len(verdict)
    return MeasuredObjects(
        features=np.concatenate(features),
        verdicts=np.concatenate(verdicts),
        frames=np.concatenate(frames),
        drives=tuple(drives),
        found=tuple(found),
    )


def _process(
    pipeline: Pipeline, sample: Sample, truth_map: TruthMap, index: int
) -> tuple[Result, Truth]:
    image, labels = sample.load()
    truth = truth_map.apply(labels, pipeline.manifest.class_names)
    return pipeline.process(Frame(image=image, index=index, frame_id=sample.name)), truth


def _padded(verdict: npt.NDArray[np.int8], count: int) -> npt.NDArray[np.int8]:
    """Leave out objects that have no pixel at the resolution of the frame."""
    return np.concatenate((verdict, np.full(count - len(verdict), -1, np.int8)))


@dataclass(kw_only=True)
class MetaFigures:
    """What a meta classifier changes, at one threshold.

    Attributes:
        before: objects without it.
        after: objects with it.
        segmentation: known classes, as if nothing were unknown; as decided without it; with it.
    """

    classes: int
    before: ObjectCounts = field(default_factory=ObjectCounts)
    after: ObjectCounts = field(default_factory=ObjectCounts)
    segmentation: tuple[SegmentationMetric, ...] = ()

    def __post_init__(self) -> None:
        """Start to count."""
        self.segmentation = tuple(SegmentationMetric(self.classes) for _ in range(3))

    def as_dict(self) -> dict[str, Any]:
        """Figures without and with it; "delta" is the loss of mIoU on the known classes."""
        closed, *decided = (metric.compute().miou for metric in self.segmentation)
        losses = [None if m is None or closed is None else closed - m for m in decided]
        sides = {}
        for name, counts, loss in zip(
            ("before", "after"), (self.before, self.after), losses, strict=True
        ):
            sides[name] = {**counts.as_dict(), "delta": loss}
        return {**sides, "miou": closed}


def evaluate_meta(
    pipeline: Pipeline,
    recorder: Recorder,
    classifier: MetaClassifier,
    samples: Iterable[Sample],
    truth_map: TruthMap,
) -> MetaFigures:
    """Compare objects and masks without and with a meta classifier, in one pass.

    Args:
        pipeline: a pipeline with `recorder` as its meta classifier.
        recorder: that.
        classifier: what is evaluated.
        samples: the images.
        truth_map: meaning of the labels.
    """
    figures = MetaFigures(classes=len(pipeline.manifest.classes))
    for index, sample in enumerate(samples):
        result, truth = _process(pipeline, sample, truth_map, index)
        clusters, open_set = without_false(result, recorder.features, classifier)
        figures.before.update(result.clusters, truth)
        figures.after.update(clusters, truth)
        for metric, prediction in zip(
            figures.segmentation, (result.known, result.open_set, open_set), strict=True
        ):
            metric.update(prediction, truth.known)
    return figures


def without_false(
    result: Result, features: FloatArray, classifier: MetaClassifier
) -> tuple[UInt16Array, UInt8Array]:
    """Return cluster ids, with gaps, and class ids of a frame as a pipeline with it gives them."""
    false = np.zeros(len(features) + 1, np.bool_)
    if len(features):
        false[1:] = classifier.probability(features) <= classifier.keep_above
    dropped = false[result.clusters]
    return (
        np.where(dropped, np.uint16(0), result.clusters),
        np.where(dropped, result.known, result.open_set),
    )
