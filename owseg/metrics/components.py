"""Component-level anomaly metrics: sIoU, PPV and F1 of segments instead of pixels.

Source: Chan et al., SegmentMeIfYouCan: A benchmark for anomaly segmentation, NeurIPS
2021 datasets track, section 4 (component-level evaluation), and the order of steps of
the official evaluation: predictions on void are cleared before components are formed;
small predictions are dropped; small true components become void afterwards. All
components of the data set are pooled.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import cv2
import numpy as np
import numpy.typing as npt

from owseg.errors import UsageError
from owseg.metrics._checks import BoolArray, Counts, check_mask, check_prediction, check_valid

Labels = npt.NDArray[np.int32]
FloatVector = npt.NDArray[np.float64]

_THRESHOLDS = tuple(n / 20 for n in range(5, 16))  # n / 20 is the nearest double, 0.05 * n is not


@dataclass(frozen=True, kw_only=True)
class ComponentRules:
    """What counts as a component, and when it counts as found.

    Attributes:
        min_prediction: predicted components of fewer pixels are dropped.
        min_truth: true components of fewer pixels are void.
        thresholds: a true component is found if its sIoU >= t, a predicted one is false if
            its PPV < t; F1 is averaged over all t.

    Raises:
        UsageError: no threshold, or one outside (0, 1].
    """

    min_prediction: int = 500
    min_truth: int = 100
    thresholds: tuple[float, ...] = _THRESHOLDS

    def __post_init__(self) -> None:
        if not self.thresholds or not all(0 < t <= 1 for t in self.thresholds):
            raise UsageError(f"component thresholds must lie in (0, 1], got {self.thresholds}")


ANOMALY_TRACK = ComponentRules(min_prediction=500, min_truth=100)
"""Sizes of SegmentMeIfYouCan's anomaly track."""

OBSTACLE_TRACK = ComponentRules(min_prediction=50, min_truth=10)
"""Sizes of SegmentMeIfYouCan's obstacle track."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentScores:
    """Component-level figures of a data set, each in [0, 1].

    Attributes:
        siou: mean adjusted IoU of the true components; None without any.
        ppv: mean share of true pixels of the predicted components; None without any.
        f1: F1 averaged over the thresholds; None without any component.
        f1_at: F1 by threshold.
        true_components: number of true components.
        predicted_components: number of predicted components.
    """

    siou: float | None
    ppv: float | None
    f1: float | None
    f1_at: dict[float, float | None]
    true_components: int
    predicted_components: int

    def as_dict(self) -> dict[str, object]:
        """Numbers, dicts and None, ready for JSON."""
        return {**asdict(self), "f1_at": {f"{t:.2f}": f1 for t, f1 in self.f1_at.items()}}


class ComponentMetric:
    """sIoU, PPV and F1 of connected components (8-connectivity), in constant memory.

    Args:
        rules: sizes and thresholds; by default those of the anomaly track.
    """

    def __init__(self, rules: ComponentRules = ANOMALY_TRACK) -> None:
        self.rules = rules
        self._found: Counts = np.zeros(len(rules.thresholds), np.int64)
        self._false: Counts = np.zeros(len(rules.thresholds), np.int64)
        self._sums: FloatVector = np.zeros(2)
        self._numbers: Counts = np.zeros(2, np.int64)

    def update(
        self, pred: BoolArray, is_anomaly: BoolArray, valid: BoolArray | None = None
    ) -> None:
        """Add one image.

        Args:
            pred: (H, W) bool, predicted anomaly, e.g. score > threshold.
            is_anomaly: (H, W) bool, the truth.
            valid: (H, W) bool, False for pixels that count nowhere; None = all count.

        Raises:
            InputError: a prediction of another shape or dtype.
            TruthError: a mask of another size or dtype.
        """
        pred = check_prediction(pred)
        truth = check_mask(is_anomaly, pred.shape, "the anomaly mask")
        siou, ppv = match_components(pred, truth, check_valid(valid, pred.shape), self.rules)
        thresholds = np.array(self.rules.thresholds)[:, None]
        self._found += np.count_nonzero(siou >= thresholds, axis=1)
        self._false += np.count_nonzero(ppv < thresholds, axis=1)
        self._sums += (siou.sum(), ppv.sum())
        self._numbers += (siou.size, ppv.size)

    def merge(self, other: ComponentMetric) -> None:
        """Add all that `other` has seen.

        Raises:
            UsageError: it follows other rules.
        """
        if other.rules != self.rules:
            raise UsageError("cannot merge component metrics that follow different rules")
        self._found += other._found
        self._false += other._false
        self._sums += other._sums
        self._numbers += other._numbers

    def compute(self) -> ComponentScores:
        """Figures of everything seen so far."""
        true, predicted = self._numbers.tolist()
        # 2 TP + FN + FP, with TP + FN = all true components
        base = self._found + self._false + true
        f1 = 2 * self._found / np.maximum(base, 1)
        defined = true + predicted > 0
        at = [float(f) if b else None for f, b in zip(f1, base, strict=True)]
        return ComponentScores(
            siou=float(self._sums[0] / true) if true else None,
            ppv=float(self._sums[1] / predicted) if predicted else None,
            f1=float(f1.mean()) if defined else None,
            f1_at=dict(zip(self.rules.thresholds, at, strict=True)),
            true_components=true,
            predicted_components=predicted,
        )


def match_components(
    pred: BoolArray, truth: BoolArray, valid: BoolArray, rules: ComponentRules
) -> tuple[FloatVector, FloatVector]:
    """Compute the adjusted IoU of each true component and the PPV of each predicted one.

    For a true component k with the predictions K(k) that touch it, the pixels A(k) of
    other true components leave the union k + K(k); what remains has
    |k| + (pixels of K(k) outside all true components) pixels.

    Args:
        pred: (H, W) bool.
        truth: (H, W) bool.
        valid: (H, W) bool.
        rules: smallest sizes.

    Returns:
        (T,) and (P,) float64 in [0, 1].
    """
    truth_id, small = _label(truth & valid, rules.min_truth)
    pred_id, _ = _label(pred & valid, rules.min_prediction)
    pred_id[small] = 0
    true_sizes, pred_sizes = np.bincount(truth_id.ravel()), np.bincount(pred_id.ravel())
    both = (truth_id > 0) & (pred_id > 0)
    codes = truth_id[both] * np.int64(pred_sizes.size) + pred_id[both]
    pairs, shared = np.unique(codes, return_counts=True)
    row, col = np.divmod(pairs, pred_sizes.size)
    hit = np.bincount(row, weights=shared, minlength=true_sizes.size)
    covered = np.bincount(col, weights=shared, minlength=pred_sizes.size)
    outside = (pred_sizes - covered)[col]
    union = true_sizes + np.bincount(row, weights=outside, minlength=true_sizes.size)
    true, predicted = _present(true_sizes), _present(pred_sizes)
    return hit[true] / union[true], covered[predicted] / pred_sizes[predicted]


def _label(mask: BoolArray, min_size: int) -> tuple[Labels, BoolArray]:
    """(H, W) int32 components of at least `min_size` pixels, and the mask of the others."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        mask.view(np.uint8), connectivity=8, ltype=cv2.CV_32S
    )
    kept = stats[:, cv2.CC_STAT_AREA] >= min_size
    kept[0] = False
    small = mask & ~kept[labels]
    numbers = np.where(kept, np.arange(count, dtype=np.int32), np.int32(0))
    return numbers[labels], small


def _present(sizes: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Ids above 0 that have pixels."""
    return np.flatnonzero(sizes[1:]) + 1
