"""GOSS quality: known pixels are classified, unknown pixels are grouped into segments.

Panoptic quality per class, with one more class, "unknown". A known segment is all pixels of
a class in one image; an unknown one is a connected component of one original class in the
truth, and one cluster inside the unknown mask in the prediction. Unknown pixels without a
cluster belong to no segment.

Two segments match where they are of one class and their intersection over union is above
1/2; the union leaves out predicted pixels on void. A prediction without a match is false
unless more than half of it is void. Counts are summed over the data set, and divided at the
end.

Source: J. Hong et al., "GOSS: Towards Generalized Open-set Semantic Segmentation", 2022,
Section 3.2, Eq. 1 and 2, with lambda = 1/2; A. Kirillov et al., "Panoptic Segmentation",
CVPR 2019, Section 4, for void.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from owseg.connectivity import Segments
from owseg.errors import InputError, TruthError, UsageError
from owseg.metrics._checks import Counts, check_labels
from owseg.types import IGNORE_ID, NO_CLUSTER, UNKNOWN_ID, UInt8Array, UInt16Array

Index = npt.NDArray[np.int64]
Quality = npt.NDArray[np.float64]

_DENSE = 1 << 22
_NOTHING = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class GossScores:
    """GOSS figures of a data set, each in [0, 1]; None where nothing defines it.

    Attributes:
        gq: mean of `gq_known` and `gq_unknown`.
        gq_known: mean quality of the known classes that occur.
        gq_unknown: quality of the unknown segments.
        gq_cluster: quality of the partition of whole images, whatever the classes.
        by_class: quality by known class.
        segments: number of true segments: known, unknown, of the partition.
    """

    gq: float | None
    gq_known: float | None
    gq_unknown: float | None
    gq_cluster: float | None
    by_class: tuple[float | None, ...]
    segments: tuple[int, int, int]

    def as_dict(self) -> dict[str, object]:
        """Numbers, lists and None, ready for JSON."""
        return {
            **asdict(self),
            "by_class": list(self.by_class),
            "segments": list(self.segments),
        }


class GossMetric:
    """GOSS quality over a data set, in constant memory.

    Args:
        num_classes: known classes 0..num_classes - 1, at most 255.
        min_areas: variants: true segments of fewer pixels are void; 0 = all count.

    Raises:
        UsageError: num_classes outside 1..255, no variant or a negative area.
    """

    def __init__(self, num_classes: int, min_areas: Sequence[int] = (0,)) -> None:
        if not 1 <= num_classes <= IGNORE_ID:
            raise UsageError(f"num_classes must lie in 1..{IGNORE_ID}, got {num_classes}")
        if not min_areas or min(min_areas) < 0:
            raise UsageError(f"smallest areas must be 0 or more, got {tuple(min_areas)}")
        self.num_classes = num_classes
        self.min_areas = tuple(min_areas)
        # by variant, then by class with unknown and partition: matches, false, missed
        self._counts: Counts = np.zeros((len(min_areas), num_classes + 2, 3), np.int64)
        self._iou: Quality = np.zeros((len(min_areas), num_classes + 2))
        self._partitions = 0

    def update(
        self,
        open_set: UInt8Array,
        clusters: UInt16Array,
        known: UInt8Array,
        unknown: Segments,
    ) -> None:
        """Add one image. Nothing is added if an argument is refused.

        Args:
            open_set: (H, W) uint8 predicted classes; 255 = unknown.
            clusters: (H, W) uint16 predicted clusters; those of known pixels count nowhere.
            known: (H, W) uint8 true classes; 255 = void, or unknown.
            unknown: (H, W) int32 true unknown segments 1, 2, ..., 0 = none.

        Raises:
            InputError: a prediction of another shape or dtype.
            TruthError: truth of another size or dtype, or ids that are no class.
        """
        open_set, known = check_labels(open_set, "the prediction"), check_labels(known, "the truth")
        shape = open_set.shape
        if not isinstance(clusters, np.ndarray) or clusters.shape != shape:
            raise InputError(f"the clusters must be {shape} like the prediction")
        if known.shape != shape or unknown.shape != shape:
            raise TruthError(f"truth must be {shape} like the prediction, got {known.shape}")
        largest = int(known.max(initial=0, where=known != IGNORE_ID))
        if largest >= self.num_classes:
            raise TruthError(
                f"truth holds the id {largest}, expected 0..{self.num_classes - 1} or {IGNORE_ID}"
            )
        found = np.where(open_set < self.num_classes, open_set.astype(np.int64) + 1, _NOTHING)
        blobs = (open_set == UNKNOWN_ID) & (clusters != NO_CLUSTER)
        found[blobs] = self.num_classes + clusters[blobs].astype(np.int64)
        true = np.where(known != IGNORE_ID, known.astype(np.int64) + 1, _NOTHING)
        true[unknown > 0] = self.num_classes + unknown[unknown > 0].astype(np.int64)
        self._add(found, true, self.num_classes)

    def update_partition(self, clusters: UInt16Array, segments: Segments) -> None:
        """Add the partition of one whole image.

        Args:
            clusters: (H, W) uint16, before anything is known of classes; 0 = no segment.
            segments: (H, W) int32 true segments of all classes, 0 = void.

        Raises:
            TruthError: the sizes differ.
        """
        if clusters.shape != segments.shape:
            raise TruthError(f"truth is {segments.shape}, but the partition is {clusters.shape}")
        self._partitions += 1
        self._add(clusters.astype(np.int64), segments.astype(np.int64), None)

    def _add(
        self,
        found: Index,
        true: Index,
        classes: int | None,
    ) -> None:
        """Match the segments of one image and count.

        Args:
            found: (H, W) predicted segments from 1, 0 = none.
            true: (H, W) true segments from 1, 0 = void.
            classes: segment k up to this number is class k - 1, all others are unknown;
                None = all are segments of the partition.
        """
        rows, columns, shared = _overlaps(found, true)
        truths = _sums(columns, shared)
        for variant, area in enumerate(self.min_areas):
            void = (columns == _NOTHING) | (truths[columns] < area)
            matched, quality, wrong, missed = _match(
                rows, columns, shared, void, lambda segment: self._class_of(segment, classes)
            )
            np.add.at(self._iou[variant], self._class_of(matched, classes), quality)
            for column, segments in enumerate((matched, wrong, missed)):
                counted = self._counts[variant, :, column]
                np.add.at(counted, self._class_of(segments, classes), 1)

    def _class_of(self, segments: Index, classes: int | None) -> Index:
        """Row of the counts for each segment."""
        if classes is None:
            return np.full(segments.shape, self.num_classes + 1, np.int64)
        return np.minimum(segments - 1, classes)

    def merge(self, other: GossMetric) -> None:
        """Add all that `other` has seen.

        Raises:
            UsageError: it counts other classes, or other areas.
        """
        if (other.num_classes, other.min_areas) != (self.num_classes, self.min_areas):
            raise UsageError("cannot merge GOSS metrics of other classes or other smallest areas")
        self._counts += other._counts
        self._iou += other._iou
        self._partitions += other._partitions

    def compute(self, min_area: int | None = None, *, absent_as_zero: bool = False) -> GossScores:
        """Figures of everything seen so far.

        Args:
            min_area: the variant; None = the first.
            absent_as_zero: let known classes that occur neither in the truth nor in a
                prediction count as 0, and unknown segments too; by default they count nowhere.

        Raises:
            UsageError: there is no such variant.
        """
        if min_area is not None and min_area not in self.min_areas:
            raise UsageError(f"no smallest area {min_area}; there are {self.min_areas}")
        variant = 0 if min_area is None else self.min_areas.index(min_area)
        matched, false, missed = self._counts[variant].T
        base = matched + (false + missed) / 2
        quality = zip(self._iou[variant], base, strict=True)
        values = [float(iou / count) if count else None for iou, count in quality]
        by_class, unknown = values[: self.num_classes], values[self.num_classes]
        if absent_as_zero:
            by_class, unknown = [value or 0.0 for value in by_class], unknown or 0.0
        present = [value for value in by_class if value is not None]
        known = sum(present) / len(present) if present else None
        true = matched + missed
        return GossScores(
            gq=None if known is None or unknown is None else (known + unknown) / 2,
            gq_known=known,
            gq_unknown=unknown,
            gq_cluster=values[-1] if self._partitions else None,
            by_class=tuple(by_class),
            segments=(int(true[:-2].sum()), int(true[-2]), int(true[-1])),
        )


def _match(
    rows: Index,
    columns: Index,
    shared: Counts,
    void: npt.NDArray[np.bool_],
    class_of: Callable[[Index], Index],
) -> tuple[Index, Quality, Index, Index]:
    """Match the segments of one image.

    Args:
        rows: (P,) predicted segment of each pair, 0 = none.
        columns: (P,) true segment.
        shared: (P,) pixels.
        void: (P,) whether the true segment counts nowhere.
        class_of: class of segments.

    Returns:
        Predicted segments with a match, their IoU, those that are false, and true segments
        that are missed.
    """
    sizes = _sums(rows, shared)
    truths = _sums(columns, shared)
    lost = _sums(rows[void], shared[void], sizes.size)
    both = (rows != _NOTHING) & ~void
    i, j, overlap = rows[both], columns[both], shared[both]
    union = sizes[i] - lost[i] + truths[j] - overlap
    match = (class_of(i) == class_of(j)) & (2 * overlap > union)
    wrong = np.setdiff1d(np.flatnonzero((sizes > 0) & (2 * lost <= sizes)), [_NOTHING])
    return (
        i[match],
        overlap[match] / union[match],
        np.setdiff1d(wrong, i[match]),
        np.setdiff1d(columns[~void], j[match]),
    )


def _overlaps(found: Index, true: Index) -> tuple[Index, Index, Counts]:
    """Return predicted segment, true segment and number of pixels of each pair that occurs."""
    columns = int(true.max(initial=0)) + 1
    codes = (found * columns + true).reshape(-1)
    largest = int(codes.max(initial=0))
    if largest < _DENSE:
        counts = np.bincount(codes)
        pairs = np.flatnonzero(counts)
        shared = counts[pairs]
    else:
        pairs, shared = np.unique(codes, return_counts=True)
    return pairs // columns, pairs % columns, shared.astype(np.int64)


def _sums(index: Index, values: Counts, length: int = 0) -> Counts:
    """Sum of the values at each index."""
    total = np.zeros(max(length, int(index.max(initial=0)) + 1), np.int64)
    np.add.at(total, index, values)
    return total
