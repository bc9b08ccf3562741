"""Open-mIoU: segmentation where calling a pixel unknown is a decision that counts.

Known classes and "unknown" make one confusion matrix. A known pixel that is called unknown is a
miss of its class, an anomaly that is called by the name of a known class is a false positive of
that class; the mean is over the known classes alone. A detector that is never wrong leaves the
mIoU of the closed set, so that the gap between both is what the detector costs.

Source: Grcić et al., DenseHybrid: Hybrid anomaly detection for dense open-set recognition, ECCV
2022 (open-mIoU), and Grcić and Šegvić, Hybrid open-set segmentation with synthetic negative data,
TPAMI 2024 (open-IoU). Their threshold finds 95 % of the anomalies of other images; here it is that
of the masks which are given.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from owseg.errors import TruthError, UsageError
from owseg.metrics._checks import BoolArray, Counts, check_labels, check_mask
from owseg.metrics.segmentation import count_pairs
from owseg.types import IGNORE_ID, UNKNOWN_ID, UInt8Array


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSetScores:
    """Open-set figures of a data set, each in [0, 1].

    Attributes:
        open_miou: mean open IoU of the known classes that occur in the truth; None without any.
        open_iou: open IoU by class id; 0.0 for a class that is predicted but never true, None
            for one that is neither.
        unknown_iou: IoU of "unknown"; None where it is neither true nor predicted.
    """

    open_miou: float | None
    open_iou: tuple[float | None, ...]
    unknown_iou: float | None

    def as_dict(self) -> dict[str, object]:
        """Numbers, lists and None, ready for JSON."""
        return {**asdict(self), "open_iou": list(self.open_iou)}


class OpenSetMetric:
    """One confusion matrix of known classes and "unknown" over a data set.

    Args:
        num_classes: known classes 0..num_classes - 1, at most 254.

    Raises:
        UsageError: num_classes outside 1..254.
    """

    def __init__(self, num_classes: int) -> None:
        if not 1 <= num_classes < UNKNOWN_ID:
            raise UsageError(f"num_classes must lie in 1..{UNKNOWN_ID - 1}, got {num_classes}")
        self.num_classes = num_classes
        # rows: known classes, anomaly; columns: known classes, unknown, ids of no class
        self._confusion: Counts = np.zeros((num_classes + 1, num_classes + 2), np.int64)

    def update(self, open_set: UInt8Array, truth: UInt8Array, is_anomaly: BoolArray) -> None:
        """Add one image. Nothing is added if an argument is refused.

        Args:
            open_set: (H, W) uint8, predicted class ids, 255 = unknown.
            truth: (H, W) uint8, true class ids; 255 = no known class.
            is_anomaly: (H, W) bool, anomalous pixels, whose truth is 255; the other pixels of
                truth 255 count nowhere.

        Raises:
            InputError: a map of another shape or dtype.
            TruthError: sizes differ, truth holds ids that are neither a class nor 255, or a
                pixel is an anomaly and of a known class.
        """
        pred = check_labels(open_set, "the open-set prediction")
        truth = check_labels(truth, "the truth")
        anomaly = check_mask(is_anomaly, truth.shape, "the anomaly mask")
        if pred.shape != truth.shape:
            raise TruthError(f"truth is {truth.shape}, but the prediction is {pred.shape}")
        n = self.num_classes
        self._check_truth(truth, anomaly)
        # the first id that no class has stands for "anomaly"
        pairs = count_pairs(pred, np.where(anomaly, np.uint8(n), truth))[: n + 1]
        self._confusion[:, :n] += pairs[:, :n]
        self._confusion[:, n] += pairs[:, UNKNOWN_ID]
        self._confusion[:, n + 1] += pairs[:, n:UNKNOWN_ID].sum(axis=1)

    def _check_truth(self, truth: UInt8Array, anomaly: BoolArray) -> None:
        strange = (truth >= self.num_classes) & (truth != IGNORE_ID)
        if strange.any():
            ids = ", ".join(str(i) for i in np.unique(truth[strange])[:8])
            raise TruthError(
                f"truth holds ids {ids}, expected 0..{self.num_classes - 1} or {IGNORE_ID}"
            )
        if (truth[anomaly] != IGNORE_ID).any():
            raise TruthError("a pixel cannot be an anomaly and of a known class at once")

    def merge(self, other: OpenSetMetric) -> None:
        """Add all that `other` has seen.

        Raises:
            UsageError: it counts another number of classes.
        """
        if other.num_classes != self.num_classes:
            raise UsageError(
                f"cannot merge metrics of {self.num_classes} and {other.num_classes} classes"
            )
        self._confusion += other._confusion

    def compute(self) -> OpenSetScores:
        """Figures of everything seen so far."""
        n = self.num_classes
        hits = np.diagonal(self._confusion)
        true = self._confusion.sum(axis=1)
        union = true + self._confusion[:, :-1].sum(axis=0) - hits
        iou = hits / np.maximum(union, 1)
        averaged = iou[:n][true[:n] > 0]
        shown = tuple(float(i) if u else None for i, u in zip(iou, union, strict=True))
        return OpenSetScores(
            open_miou=float(averaged.mean()) if averaged.size else None,
            open_iou=shown[:n],
            unknown_iou=shown[n],
        )
