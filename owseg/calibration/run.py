"""A model over a labelled data set: what calibration and promises are fitted on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import cv2
import numpy as np

from owseg.calibration.curves import FrameCurves
from owseg.calibration.fit import pixel_counts
from owseg.datasets.base import Sample
from owseg.datasets.truth_map import TruthMap
from owseg.engines.base import Engine
from owseg.metrics import CalibrationMetric
from owseg.prototypes.classes import PrototypeSet
from owseg.resize import fit_image
from owseg.types import FloatArray, UInt8Array


@dataclass(frozen=True, kw_only=True)
class ScoredFrames:
    """What the scores of a data set are like.

    Attributes:
        pixels: all pixels by score.
        curves: false alarms and misses of each frame.
    """

    pixels: CalibrationMetric = field(default_factory=pixel_counts)
    curves: FrameCurves = field(default_factory=FrameCurves)


def score_frames(engine: Engine, samples: Iterable[Sample], truth_map: TruthMap) -> ScoredFrames:
    """Run the graph over labelled images, without novel classes.

    Each pixel gets the score that decides about it: that of the nearest pixel of the network's
    resolution, as in the masks, and not one in between as in the published probability.

    Raises:
        DatasetError: an image or a label map cannot be read.
        TruthError: label ids that the truth map does not explain.
    """
    scored = ScoredFrames()
    for sample in samples:
        image, labels = sample.load()
        truth = truth_map.apply(labels, engine.manifest.class_names)
        scores = deciding_scores(engine, image)
        scored.pixels.update(scores, truth.anomaly, truth.valid)
        scored.curves.update(scores, truth.anomaly, truth.valid)
    return scored


def deciding_scores(engine: Engine, image: UInt8Array) -> FloatArray:
    """Return the anomaly score that decides about each pixel of an image, (H, W) float32."""
    manifest = engine.manifest
    slots, _ = PrototypeSet().slots(manifest)
    fitted = fit_image(image, manifest)
    scores = engine.infer(fitted[None], slots, 0.5, ("anomaly",))["anomaly"][0]
    if scores.shape != image.shape[:2]:
        size = (image.shape[1], image.shape[0])
        scores = cv2.resize(scores.astype(np.float32), size, interpolation=cv2.INTER_NEAREST_EXACT)
    deciding: FloatArray = scores.astype(np.float32, copy=False)
    return deciding
