"""Closed-set segmentation: IoU per class, mIoU and pixel accuracy over a data set.

One confusion matrix is accumulated over all images; averages of per-image or
per-batch IoU are another quantity and are not offered.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from owseg.errors import TruthError, UsageError
from owseg.metrics._checks import Counts, check_labels, row_blocks
from owseg.types import IGNORE_ID, UInt8Array

_PIXELS_PER_COUNT = 1 << 19


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentationScores:
    """Figures of one confusion matrix, each in [0, 1].

    Attributes:
        miou: mean IoU over the classes that occur in the truth; None without valid pixels.
        iou: IoU by class id; 0.0 for a class that is predicted but never true, None for
            one that is neither.
        pixel_accuracy: share of valid pixels with the right class; None without any.
        classes_in_truth: number of classes that `miou` averages by default.
        pixels: valid pixels.
        images: images seen.
    """

    miou: float | None
    iou: tuple[float | None, ...]
    pixel_accuracy: float | None
    classes_in_truth: int
    pixels: int
    images: int

    def as_dict(self) -> dict[str, object]:
        """Numbers, lists and None, ready for JSON."""
        return {**asdict(self), "iou": list(self.iou)}


class SegmentationMetric:
    """One confusion matrix over a data set.

    Truth 255 counts nowhere. A prediction outside 0..num_classes - 1 (255 among
    them) on a valid pixel is wrong: it lowers the IoU of the true class and the
    accuracy, and is no class's false positive.

    Args:
        num_classes: classes 0..num_classes - 1, at most 255.

    Raises:
        UsageError: num_classes outside 1..255.
    """

    def __init__(self, num_classes: int) -> None:
        if not 1 <= num_classes <= IGNORE_ID:
            raise UsageError(f"num_classes must lie in 1..{IGNORE_ID}, got {num_classes}")
        self.num_classes = num_classes
        self._confusion: Counts = np.zeros((num_classes, num_classes + 1), np.int64)
        self._images = 0

    @property
    def confusion(self) -> Counts:
        """(N, N + 1) int64, truth by prediction; the last column: no known class. A copy."""
        return np.array(self._confusion)

    def update(self, pred: UInt8Array, truth: UInt8Array) -> None:
        """Add one image. Nothing is added if an argument is refused.

        Args:
            pred: (H, W) uint8, predicted class ids.
            truth: (H, W) uint8, true class ids; 255 = ignore.

        Raises:
            InputError: a map of another shape or dtype.
            TruthError: sizes differ, or truth holds ids that are neither a class nor 255.
        """
        pred, truth = check_labels(pred, "the prediction"), check_labels(truth, "the truth")
        if pred.shape != truth.shape:
            raise TruthError(f"truth is {truth.shape}, but the prediction is {pred.shape}")
        pairs = count_pairs(pred, truth)
        self._check_ids(pairs)
        known = self.num_classes
        self._confusion[:, :known] += pairs[:known, :known]
        self._confusion[:, known] += pairs[:known, known:].sum(axis=1)
        self._images += 1

    def _check_ids(self, pairs: Counts) -> None:
        strange = np.flatnonzero(pairs[self.num_classes : IGNORE_ID].any(axis=1))
        if strange.size:
            ids = ", ".join(str(i + self.num_classes) for i in strange[:8].tolist())
            raise TruthError(
                f"truth holds ids {ids}, expected 0..{self.num_classes - 1} or {IGNORE_ID}"
            )

    def merge(self, other: SegmentationMetric) -> None:
        """Add all that `other` has seen.

        Raises:
            UsageError: it counts another number of classes.
        """
        if other.num_classes != self.num_classes:
            raise UsageError(
                f"cannot merge metrics of {self.num_classes} and {other.num_classes} classes"
            )
        self._confusion += other._confusion
        self._images += other._images

    def compute(self, *, absent_as_zero: bool = False) -> SegmentationScores:
        """Figures of everything seen so far.

        Args:
            absent_as_zero: let a class that never occurs in the truth count as IoU 0 in
                the mean; by default it is left out of the mean.
        """
        hits = np.diagonal(self._confusion)
        true = self._confusion.sum(axis=1)
        union = true + self._confusion[:, :-1].sum(axis=0) - hits
        iou = hits / np.maximum(union, 1)
        pixels = int(true.sum())
        averaged = iou if absent_as_zero else iou[true > 0]
        return SegmentationScores(
            miou=float(averaged.mean()) if pixels else None,
            iou=tuple(float(i) if u else None for i, u in zip(iou, union, strict=True)),
            pixel_accuracy=float(hits.sum() / pixels) if pixels else None,
            classes_in_truth=int(np.count_nonzero(true)),
            pixels=pixels,
            images=self._images,
        )


def count_pairs(pred: UInt8Array, truth: UInt8Array) -> Counts:
    """(256, 256) int64: pixels by truth id and predicted id."""
    pairs = np.zeros(1 << 16, np.int64)
    for rows in row_blocks(truth.shape, _PIXELS_PER_COUNT):
        code = np.left_shift(truth[rows], 8, dtype=np.uint16)
        np.bitwise_or(code, pred[rows], out=code)
        pairs += np.bincount(code.reshape(-1), minlength=pairs.size)
    return pairs.reshape(256, 256)
