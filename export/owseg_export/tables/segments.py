"""Unknown segments at thresholds of the entropy, without and with a meta classifier.

A segment is an 8-connected component of the pixels whose entropy is above the threshold. It is
false if it has no pixel of a true anomaly; a true one is missed if no segment touches it. Delta is
what the known classes lose in mIoU when these pixels are given to the unknown.

Source: Uhlemeyer et al., "Detecting and Learning the Unknown in Semantic Segmentation", Section 4.3
and Table 2.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from owseg.datasets import Truth
from owseg.datasets.base import Sample
from owseg.errors import InputError
from owseg.grouping.components import connected_components
from owseg.meta.features import feature_names, measure
from owseg.meta.fit import MetaOptions, fit_meta
from owseg.meta.model import MetaClassifier
from owseg.meta.run import MeasuredObjects, MetaFigures, drive_of
from owseg.meta.truth import finders, judge
from owseg.types import UNKNOWN_ID, FloatArray, UInt8Array, UInt16Array
from owseg_export.trained import TrainedNetwork
from owseg_training.scorers import CalibratedScore

TAUS = (0.3, 0.4, 0.5, 0.6, 0.7)
KIND = "logistic"
"""Of the meta classifier, as in the paper."""

Labelled = Iterable[tuple[Sample, UInt8Array, Truth]]
"""Samples with their image at the size of the network, and their truth."""


class Segmented:
    """One image: best known classes and entropy.

    Args:
        trained: the network.
        image: (H, W, 3) uint8 RGB.
    """

    _score = CalibratedScore("entropy", "paper", {})

    def __init__(self, trained: TrainedNetwork, image: UInt8Array) -> None:
        evidence = trained.evidence(torch.from_numpy(image[None]))
        self.known: UInt8Array = evidence.logits.argmax(dim=1)[0].numpy().astype(np.uint8)
        self.entropy: FloatArray = self._score(evidence)[0].numpy()

    def open_set(self, tau: float) -> UInt8Array:
        """Return the classes (H, W) uint8, 255 = unknown at a threshold."""
        return np.where(self.entropy >= tau, np.uint8(UNKNOWN_ID), self.known)


class _Objects:
    """Collects the segments of labelled images at one threshold."""

    def __init__(self, classes: tuple[str, ...]) -> None:
        self._features = [np.zeros((0, len(feature_names(classes))), np.float32)]
        self._verdicts: list[npt.NDArray[np.int8]] = [np.zeros(0, np.int8)]
        self._frames: list[npt.NDArray[np.intp]] = [np.zeros(0, np.intp)]
        self._drives: list[str] = []
        self._found: list[tuple[int, ...]] = []
        self._count = 0

    def add(self, clusters: UInt16Array, features: FloatArray, truth: Truth, drive: str) -> None:
        """Add one image."""
        self._features.append(features)
        self._verdicts.append(judge(clusters, truth))
        self._frames.append(np.full(len(features), len(self._drives)))
        self._drives.append(drive)
        touching = finders(clusters, truth)
        self._found += [tuple((self._count + ids - 1).tolist()) for ids in touching if ids.size]
        self._count += len(features)

    def measured(self) -> MeasuredObjects:
        """Return all of them."""
        return MeasuredObjects(
            features=np.concatenate(self._features),
            verdicts=np.concatenate(self._verdicts),
            frames=np.concatenate(self._frames),
            drives=tuple(self._drives),
            found=tuple(self._found),
        )


def fit_classifiers(
    trained: TrainedNetwork, images: Labelled, fitted_on: str
) -> dict[float, MetaClassifier | str]:
    """Fit a meta classifier for each threshold.

    Args:
        trained: the network.
        images: with anomalies; none of those that are evaluated.
        fitted_on: the data, in words.

    Returns:
        Classifiers by threshold, or why there is none.
    """
    classes = trained.class_names
    objects = {tau: _Objects(classes) for tau in TAUS}
    for sample, image, truth in images:
        segmented = Segmented(trained, image)
        for tau, found in objects.items():
            clusters = connected_components(segmented.open_set(tau))
            features = measure(clusters, segmented.entropy, segmented.known, len(classes))
            found.add(clusters, features, truth, drive_of(sample.name))
    fitted: dict[float, MetaClassifier | str] = {}
    for tau, found in objects.items():
        options = MetaOptions(kind=KIND, threshold=tau, fitted_on=fitted_on)
        try:
            fitted[tau] = fit_meta(found.measured(), classes, options)
        except InputError as error:
            fitted[tau] = str(error)
    return fitted


def segment_figures(
    trained: TrainedNetwork,
    classifiers: dict[float, MetaClassifier | str],
    test: Labelled,
    closed: Labelled | None,
) -> dict[str, Any]:
    """Count segments and compare classes, without and with meta classifiers.

    Args:
        trained: the network.
        classifiers: result of `fit_classifiers`.
        test: images with anomalies.
        closed: images with known classes; None = those of `test` have them.

    Returns:
        "images" and "thresholds": by threshold "before" and "after" (found, missed, false, f1,
        delta), "miou", and why there is no classifier; ready for JSON.
    """
    classes = len(trained.class_names)
    figures = {tau: MetaFigures(classes=classes) for tau in classifiers}
    images = 0
    for _, image, truth in test:
        images += 1
        segmented = Segmented(trained, image)
        for tau, masks in _masks(segmented, classifiers, classes):
            figures[tau].before.update(masks[0], truth)
            figures[tau].after.update(masks[1], truth)
            if closed is None:
                _add_classes(figures[tau], segmented.known, masks, truth)
    for _, image, truth in closed or ():
        segmented = Segmented(trained, image)
        for tau, masks in _masks(segmented, classifiers, classes):
            _add_classes(figures[tau], segmented.known, masks, truth)
    return {
        "images": images,
        "thresholds": {
            f"{tau:.2f}": _row(figures[tau], found) for tau, found in classifiers.items()
        },
    }


Masks = tuple[UInt16Array, UInt16Array, npt.NDArray[np.bool_]]
"""Segments without and with the meta classifier, and all pixels above the threshold."""


def _masks(
    segmented: Segmented, classifiers: dict[float, MetaClassifier | str], classes: int
) -> Iterator[tuple[float, Masks]]:
    for tau, classifier in classifiers.items():
        open_set = segmented.open_set(tau)
        clusters = connected_components(open_set)
        kept = clusters
        if isinstance(classifier, MetaClassifier):
            false = classifier.false_alarms(clusters, segmented.entropy, segmented.known)
            kept = np.where(false[clusters], np.uint16(0), clusters)
        yield tau, (clusters, kept, open_set == UNKNOWN_ID)


def _add_classes(figures: MetaFigures, known: UInt8Array, masks: Masks, truth: Truth) -> None:
    """Compare classes as if nothing were unknown, at the threshold, and with the classifier."""
    clusters, kept, above = masks
    dropped = (clusters > 0) & (kept == 0)
    for metric, unknown in zip(
        figures.segmentation, (np.zeros_like(above), above, above & ~dropped), strict=True
    ):
        metric.update(np.where(unknown, np.uint8(UNKNOWN_ID), known), truth.known)


def _row(figures: MetaFigures, classifier: MetaClassifier | str) -> dict[str, Any]:
    row = figures.as_dict()
    if isinstance(classifier, MetaClassifier):
        return {**row, "why_no_meta": None, "meta": dict(classifier.figures)}
    return {**row, "after": None, "why_no_meta": classifier, "meta": None}
