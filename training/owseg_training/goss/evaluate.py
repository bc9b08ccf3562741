"""All figures of one network and one grouping over a data set, in one pass."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from owseg.connectivity import Segments, connected_segments
from owseg.datasets import DatasetReader, Truth, TruthMap
from owseg.evaluation import GOSS_MIN_AREA
from owseg.metrics import GossMetric, GossScores, PixelAnomalyMetric, SegmentationMetric
from owseg.types import UNKNOWN_ID, FloatArray, UInt8Array, UInt16Array
from owseg_training.data.resize import load_at
from owseg_training.goss.groupings import ImageGrouping
from owseg_training.goss.methods import OBJECTS, RULES
from owseg_training.goss.objects import believed
from owseg_training.goss.scores import FittedScore, evidence_of
from owseg_training.incremental.bank import to_tensor
from owseg_training.models import DMLNet
from owseg_training.scorers import Evidence

AREAS = (0, GOSS_MIN_AREA)


class SegmentOverlap:
    """Mean over the true segments of the best intersection over union with a cluster.

    Figures of whole partitions, whatever the classes: the mIoU that tables of generic
    segmentation report (Kim et al., IEEE TIP 2020, Section IV).

    Args:
        min_area: smaller true segments count nowhere, pixels.
    """

    def __init__(self, min_area: int = 0) -> None:
        self._min_area = min_area
        self._sum, self._count = 0.0, 0

    def update(self, clusters: UInt16Array, segments: Segments) -> None:
        """Add one image: clusters and true segments, 0 = none; void pixels count nowhere."""
        counted = segments > 0
        width = int(clusters.max(initial=0)) + 1
        codes = segments[counted].astype(np.int64) * width + clusters[counted]
        pairs, shared = np.unique(codes, return_counts=True)
        true, found = pairs // width, pairs % width
        areas = np.bincount(true, shared)
        union = areas[true] + np.bincount(found, shared)[found] - shared
        best = np.zeros(areas.size)
        np.maximum.at(best, true, np.where(found > 0, shared / union, 0.0))
        kept = (areas > 0) & (areas >= self._min_area)
        self._sum, self._count = self._sum + float(best[kept].sum()), self._count + int(kept.sum())

    def compute(self) -> float | None:
        """Return the mean in [0, 1]; None where nothing was seen."""
        return self._sum / self._count if self._count else None


class Figures:
    """Figures of one network and one grouping.

    Args:
        truth_map: the protocol.
        methods: fitted scores by method.
        grouping: of unknown pixels.
        smallest: pixels of the smallest unknown object by method and rule in `OBJECTS`.
        partition: whether the grouping says something of whole images; if not, their figures are
            None.
    """

    def __init__(
        self,
        truth_map: TruthMap,
        methods: Mapping[str, FittedScore],
        grouping: ImageGrouping,
        smallest: Mapping[tuple[str, str], int],
        *,
        partition: bool = True,
    ) -> None:
        self.truth_map, self.methods, self.grouping = truth_map, methods, grouping
        self.smallest, self.whole = smallest, partition
        self.names = truth_map.known_names
        count = len(self.names)
        self._closed = SegmentationMetric(count)
        self._partition = GossMetric(count, AREAS)
        self._overlap = {area: SegmentOverlap(area) for area in AREAS}
        self._scores = {name: PixelAnomalyMetric() for name in methods}
        self._goss = {(name, rule): GossMetric(count, AREAS) for name in methods for rule in RULES}

    def add(
        self,
        name: str,
        image: UInt8Array,
        labels: UInt8Array,
        evidence: Evidence,
        direction: FloatArray,
    ) -> None:
        """Add one image.

        Args:
            name: of the image.
            image: (H, W, 3) uint8 RGB, at the size of the network.
            labels: (H, W) uint8 label ids of the data set.
            evidence: of the network, (1, ..., H, W).
            direction: (2, h, w) float32, of the network.
        """
        truth = self.truth_map.apply(labels, self.names)
        known = evidence.logits.argmax(dim=1)[0].cpu().numpy().astype(np.uint8)
        self._closed.update(known, truth.known)
        if self.whole:
            everything = np.full(known.shape, UNKNOWN_ID, np.uint8)
            self._add_partition(self.grouping(name, image, everything, direction), labels, truth)
        segments = connected_segments(labels, truth.anomaly)
        for method, score in self.methods.items():
            found = score.score(evidence)[0].cpu().numpy()
            self._scores[method].update(found, truth.anomaly, truth.valid)
            for rule, unknown in score.unknown(evidence):
                open_set = np.where(unknown[0].cpu().numpy(), np.uint8(UNKNOWN_ID), known)
                clusters = self.grouping(name, image, open_set, direction)
                self._goss[method, rule].update(open_set, clusters, truth.known, segments)
                for larger in (key for key, base in OBJECTS.items() if base == rule):
                    left = believed(open_set, known, clusters, self.smallest[method, larger])
                    self._goss[method, larger].update(*left, truth.known, segments)

    def _add_partition(
        self, clusters: UInt16Array, labels: npt.NDArray[np.integer[Any]], truth: Truth
    ) -> None:
        segments = connected_segments(labels, truth.valid)
        self._partition.update_partition(clusters, segments)
        for overlap in self._overlap.values():
            overlap.update(clusters, segments)

    def as_dict(self) -> dict[str, Any]:
        """Return the figures, each in [0, 1] or None, ready for JSON."""
        closed = self._closed.compute()
        return {
            "miou": closed.miou,
            "iou": dict(zip(self.names, closed.iou, strict=True)),
            "clusters": {
                key: {
                    "gq": self._partition.compute(area).gq_cluster,
                    "miou": self._overlap[area].compute(),
                }
                for key, area in zip(("strict", "min_area"), AREAS, strict=True)
            },
            "methods": {name: self._method(name) for name in self.methods},
        }

    def _method(self, name: str) -> dict[str, Any]:
        anomaly = self._scores[name].compute().as_dict()
        thresholds = {"half": 0.5, **self.methods[name].thresholds}
        return {
            "anomaly": anomaly["pooled"],
            "anomaly_per_image": anomaly["per_image"],
            "rules": {
                rule: {
                    "threshold": thresholds[OBJECTS.get(rule, rule)],
                    "smallest": self.smallest.get((name, rule), 0),
                    "strict": _quality(self._goss[name, rule].compute(0)),
                    "min_area": _quality(self._goss[name, rule].compute(GOSS_MIN_AREA)),
                }
                for rule in RULES
            },
        }


def _quality(scores: GossScores) -> dict[str, float | None]:
    return {"gq": scores.gq, "gq_known": scores.gq_known, "gq_unknown": scores.gq_unknown}


@torch.no_grad()
def evaluate(
    network: DMLNet,
    reader: DatasetReader,
    size: tuple[int, int],
    figures: Sequence[Figures],
    title: str,
) -> None:
    """Add all images of a split to the figures.

    Args:
        network: in evaluation mode.
        reader: the split.
        size: (height, width) of the network's input.
        figures: what is added to.
        title: text before the progress bar.
    """
    device = next(network.parameters()).device
    samples: Iterable[Any] = tqdm(list(reader), desc=title, unit="image", leave=False)
    for sample in samples:
        image, labels = load_at(sample, size)
        evidence, direction = evidence_of(network, to_tensor(image, device))
        for each in figures:
            each.add(sample.name, image, labels, evidence, direction[0].cpu().numpy())
