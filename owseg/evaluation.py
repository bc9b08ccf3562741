"""All figures of a run against ground truth, accumulated frame by frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from owseg.connectivity import connected_segments
from owseg.datasets.label_spaces import LabelSpace
from owseg.datasets.truth_map import Truth, TruthMap
from owseg.errors import TruthError
from owseg.manifest import Manifest
from owseg.metrics import (
    ANOMALY_TRACK,
    CalibrationMetric,
    ComponentMetric,
    ComponentRules,
    DecisionMetric,
    GossMetric,
    GossScores,
    OpenSetMetric,
    PixelAnomalyMetric,
    SegmentationMetric,
)
from owseg.prototypes.checks import name_key
from owseg.prototypes.classes import NovelClass
from owseg.types import UNKNOWN_ID, Result

GOSS_MIN_AREA = 100
"""Smallest true segment, in pixels, of the second variant of the GOSS figures."""


class Evaluation:
    """Compares results with label maps.

    A novel class that has the name of a label is evaluated like a known one: pixels that it
    takes from other classes count against both, and its own pixels are no anomalies any more
    where decisions are judged (components, open set, GOSS). Learning leaves the anomaly score as
    it is, so that figures of the score (AUROC, AUPR, FPR95, ECE) keep them as anomalies.

    Args:
        manifest: the model; its classes are the known ones.
        truth_map: meaning of the label ids.
        novel: classes that were learnt on the way.
        rules: what counts as a component; by default as in SegmentMeIfYouCan's anomaly track.

    Raises:
        TruthError: the map has a class that is neither known to the model, learnt, held out
            nor ignored.
    """

    def __init__(
        self,
        manifest: Manifest,
        truth_map: TruthMap,
        novel: Sequence[NovelClass] = (),
        rules: ComponentRules = ANOMALY_TRACK,
    ) -> None:
        self.manifest = manifest
        self.truth_map = truth_map
        self.learnt = _learnt(truth_map, novel)
        self._names = _names_by_id(manifest, self.learnt)
        self._score_map = truth_map.with_held_out(
            tuple(dict.fromkeys((*truth_map.held_out, *self.learnt)))
        )
        self._map = truth_map.with_held_out(
            tuple(name for name in truth_map.held_out if name not in self.learnt)
        )
        self._map.table(self._names)
        self.pixels = PixelAnomalyMetric()
        self.segmentation = SegmentationMetric(len(self._names))
        self.calibration = CalibrationMetric()
        self.components = ComponentMetric(rules)
        self.decisions = DecisionMetric()
        self.open_set = OpenSetMetric(len(self._names))
        self.goss = GossMetric(len(self._names), (0, GOSS_MIN_AREA))
        self.frames = 0

    def update(self, result: Result, labels: npt.NDArray[np.integer[Any]]) -> Truth:
        """Add one frame.

        Args:
            result: what the pipeline says.
            labels: (H, W) label ids, of the size of the frame.

        Returns:
            The truth in the ids of the model and of the novel classes.

        Raises:
            TruthError: another size, or ids that the truth map does not explain.
        """
        if labels.shape != result.known.shape:
            size = "x".join(str(length) for length in labels.shape[::-1])
            raise TruthError(
                f"frame {result.frame.index} is {result.frame.width}x{result.frame.height}, "
                f"its ground truth {size}; they must be of one size"
            )
        truth = self._map.apply(labels, self._names)
        scored = self.scored_truth(labels) if self.learnt else truth
        self.pixels.update(result.anomaly, scored.anomaly, scored.valid)
        self.segmentation.update(result.known, truth.known)
        self.calibration.update(result.anomaly, scored.anomaly, scored.valid)
        judged = truth.valid & ~(scored.anomaly & ~truth.anomaly) if self.learnt else truth.valid
        unknown = result.open_set == UNKNOWN_ID
        self.components.update(unknown, truth.anomaly, judged)
        self.decisions.update(unknown, truth.anomaly, judged)
        if not self._map.normal:
            self.open_set.update(result.open_set, truth.known, truth.anomaly)
            self._update_goss(result, labels, truth)
        self.frames += 1
        return truth

    def scored_truth(self, labels: npt.NDArray[np.integer[Any]]) -> Truth:
        """Return the truth that the anomaly score is compared with: learnt classes are anomalies.

        Raises:
            TruthError: ids that the truth map does not explain.
        """
        return self._score_map.apply(labels, self._names)

    def _update_goss(
        self, result: Result, labels: npt.NDArray[np.integer[Any]], truth: Truth
    ) -> None:
        """Add one frame to the GOSS figures, which need a class for all that is no anomaly."""
        segments = connected_segments(labels, truth.anomaly)
        self.goss.update(result.open_set, result.clusters, truth.known, segments)
        if result.partition is not None:
            whole = connected_segments(labels, truth.valid)
            self.goss.update_partition(result.partition, whole)

    def metrics(self) -> dict[str, Any]:
        """Return the figures under the keys of metrics.json; undefined ones are None."""
        anomaly = self.pixels.compute()
        segmentation = self.segmentation.compute()
        components = self.components.compute()
        calibration = self.calibration.compute()
        iou = dict(zip(self._names, segmentation.iou, strict=True))
        iou = {name: iou[name] for name in (*self.manifest.class_names, *self.learnt)}
        return {
            "frames_with_truth": self.frames,
            "truth_map": self.truth_map.name,
            "held_out": list(self.truth_map.held_out),
            "miou": segmentation.miou,
            "iou": iou,
            **self._incremental(),
            "pixel_accuracy": segmentation.pixel_accuracy,
            "open_set": self._open_set(segmentation.miou),
            "anomaly": anomaly.as_dict()["pooled"],
            "anomaly_per_image": {
                **_dict(anomaly.as_dict()["per_image"]),
                "images": anomaly.images_scored,
                "images_without_anomaly": anomaly.images_without_anomaly,
            },
            "components": {
                name: getattr(components, name) if self._map.held_out or not self.learnt else None
                for name in ("siou", "ppv", "f1")
            },
            "decisions": self.decisions.compute().as_dict(),
            "goss": {
                **_goss(self.goss.compute(0)),
                "min_area": {
                    "pixels": GOSS_MIN_AREA,
                    **_goss(self.goss.compute(GOSS_MIN_AREA)),
                },
            },
            "ece": calibration.ece,
            "reliability": calibration.as_dict()["bins"],
            **self._note(),
        }

    def _open_set(self, miou: float | None) -> dict[str, Any]:
        """Return open-mIoU, what the detector costs of the mIoU, and IoU by class."""
        scores = self.open_set.compute()
        iou = dict(zip(self._names, scores.open_iou, strict=True))
        open_miou = scores.open_miou
        return {
            "open_miou": open_miou,
            "gap": None if miou is None or open_miou is None else miou - open_miou,
            "unknown_iou": scores.unknown_iou,
            "iou": {name: iou[name] for name in (*self.manifest.class_names, *self.learnt)},
        }

    def _note(self) -> dict[str, str]:
        """Say in words which figures the labels do not allow; nothing where they allow all."""
        if self._map.known_names or self.learnt:
            return {}
        if self._map.normal:
            note = "no class of the model in these labels, only anomalies: no mIoU, no GOSS figures"
        else:
            note = "the model knows no class of these labels: no mIoU"
        return {"note": note}

    def _incremental(self) -> dict[str, Any]:
        """Return mIoU of the old, the novel and all classes; nothing where none was learnt."""
        if not self.learnt:
            return {}
        iou = self.segmentation.compute().iou
        true = self.segmentation.confusion.sum(axis=1) > 0
        present = {i: value for i, value in enumerate(iou) if value is not None and true[i]}
        old = [value for i, value in present.items() if i < len(self.manifest.classes)]
        novel = [present[i] for i in self.learnt.values() if i in present]
        figures = {"old": _mean(old), "novel": _mean(novel), "all": _mean([*old, *novel])}
        return {
            "learnt": list(self.learnt),
            "incremental": {**figures, "harmonic": _harmonic(figures["old"], figures["novel"])},
        }


def _goss(scores: GossScores) -> dict[str, float | None]:
    return {
        "gq": scores.gq,
        "gq_known": scores.gq_known,
        "gq_unknown": scores.gq_unknown,
        "gq_cluster": scores.gq_cluster,
    }


def _learnt(truth_map: TruthMap, novel: Sequence[NovelClass]) -> dict[str, int]:
    """Return the ids of the novel classes that the truth map has, by the name it gives them."""
    ids = {name_key(item.name): item.id for item in novel}
    names = dict.fromkeys(truth_map.labels[label] for label in sorted(truth_map.labels))
    return {
        name: ids[name_key(name)]
        for name in names
        if name_key(name) in ids and name not in (*truth_map.ignore, *truth_map.normal)
    }


def _names_by_id(manifest: Manifest, learnt: dict[str, int]) -> tuple[str, ...]:
    """Return names by id, with unreadable ones for ids that the truth lacks."""
    names = [*manifest.class_names]
    names += ["\0"] * (max(learnt.values(), default=-1) + 1 - len(names))
    for name, number in learnt.items():
        names[number] = name
    return tuple(names)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _harmonic(old: float | None, novel: float | None) -> float | None:
    if old is None or novel is None:
        return None
    return 2 * old * novel / (old + novel) if old + novel else 0.0


def truth_map_for(model: Manifest, space: LabelSpace) -> TruthMap:
    """Return the natural truth map of a data set for a model.

    Classes that the model does not know are the anomalies, unless the labels say themselves
    what is one: then they are no anomalies, and no classes either. Void ids count nowhere.
    """
    labels = dict(enumerate(space.names))
    void = {i: f"void_{i}" for i in space.void_ids}
    lacking = tuple(
        n for n in space.names if n not in model.class_names and n not in space.anomalies
    )
    return TruthMap(
        name=f"{space.name} for {model.name}",
        labels={**labels, **void},
        held_out=space.anomalies or lacking,
        ignore=tuple(void.values()),
        normal=lacking if space.anomalies else (),
    )


def _dict(value: object) -> dict[str, Any]:
    assert isinstance(value, dict)
    return value
