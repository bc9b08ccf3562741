"""All figures of a run against ground truth, accumulated frame by frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from owseg.datasets.label_spaces import LabelSpace
from owseg.datasets.truth_map import Truth, TruthMap
from owseg.errors import TruthError
from owseg.manifest import Manifest
from owseg.metrics import (
    CalibrationMetric,
    ComponentMetric,
    PixelAnomalyMetric,
    SegmentationMetric,
)
from owseg.types import UNKNOWN_ID, Result


class Evaluation:
    """Compares results with label maps.

    Args:
        manifest: the model; its classes are the known ones.
        truth_map: meaning of the label ids.

    Raises:
        TruthError: the map has a class that is neither known to the model, held out nor ignored.
    """

    def __init__(self, manifest: Manifest, truth_map: TruthMap) -> None:
        truth_map.table(manifest.class_names)
        self.manifest = manifest
        self.truth_map = truth_map
        self.pixels = PixelAnomalyMetric()
        self.segmentation = SegmentationMetric(len(manifest.classes))
        self.calibration = CalibrationMetric()
        self.components = ComponentMetric()
        self.frames = 0

    def update(self, result: Result, labels: npt.NDArray[np.integer[Any]]) -> Truth:
        """Add one frame.

        Args:
            result: what the pipeline says.
            labels: (H, W) label ids, of the size of the frame.

        Returns:
            The truth in the ids of the model.

        Raises:
            TruthError: another size, or ids that the truth map does not explain.
        """
        if labels.shape != result.known.shape:
            size = "x".join(str(length) for length in labels.shape[::-1])
            raise TruthError(
                f"frame {result.frame.index} is {result.frame.width}x{result.frame.height}, "
                f"its ground truth {size}; they must be of one size"
            )
        truth = self.truth_map.apply(labels, self.manifest.class_names)
        self.pixels.update(result.anomaly, truth.anomaly, truth.valid)
        self.segmentation.update(result.known, truth.known)
        self.calibration.update(result.anomaly, truth.anomaly, truth.valid)
        self.components.update(result.open_set == UNKNOWN_ID, truth.anomaly, truth.valid)
        self.frames += 1
        return truth

    def metrics(self) -> dict[str, Any]:
        """Return the figures under the keys of metrics.json; undefined ones are None."""
        anomaly = self.pixels.compute()
        segmentation = self.segmentation.compute()
        components = self.components.compute()
        names = self.manifest.class_names
        return {
            "frames_with_truth": self.frames,
            "truth_map": self.truth_map.name,
            "held_out": list(self.truth_map.held_out),
            "miou": segmentation.miou,
            "iou": dict(zip(names, segmentation.iou, strict=True)),
            "pixel_accuracy": segmentation.pixel_accuracy,
            "anomaly": anomaly.as_dict()["pooled"],
            "anomaly_per_image": {
                **_dict(anomaly.as_dict()["per_image"]),
                "images": anomaly.images_scored,
                "images_without_anomaly": anomaly.images_without_anomaly,
            },
            "components": {
                "siou": components.siou,
                "ppv": components.ppv,
                "f1": components.f1,
            },
            "ece": self.calibration.compute().ece,
        }


def truth_map_for(model: Manifest, space: LabelSpace) -> TruthMap:
    """Return the natural truth map of a data set for a model.

    Classes that the model does not know are the anomalies; void ids count nowhere.
    """
    labels = dict(enumerate(space.names))
    void = {i: f"void_{i}" for i in space.void_ids}
    return TruthMap(
        name=f"{space.name} for {model.name}",
        labels={**labels, **void},
        held_out=tuple(n for n in space.names if n not in model.class_names),
        ignore=tuple(void.values()),
    )


def _dict(value: object) -> dict[str, Any]:
    assert isinstance(value, dict)
    return value
