"""Pixel-wise anomaly metrics over a data set, in constant memory: AUROC, AUPR, FPR95.

The state is one histogram per class (see `owseg.metrics.score_bins`), 4 MiB
whatever the number of images. Anomaly is the positive class, scores grow with
anomaly. Scores that share a bin count as ties, and ties are treated as
scikit-learn does: trapezoid for AUROC, one step per distinct threshold for AUPR.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from owseg.errors import UsageError
from owseg.metrics._checks import BoolArray, Counts, check_mask, check_scores, check_valid
from owseg.metrics.score_bins import NUM_BINS, count_scores, thresholds_below
from owseg.types import FloatArray

FloatVector = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnomalyFigures:
    """The three figures, each in [0, 1], all None where one of the two classes is missing.

    Attributes:
        auroc: area under the ROC curve, ties by the trapezoid rule.
        aupr: average precision, sum of (R_n - R_n-1) P_n over distinct thresholds.
        fpr95: false-positive rate at the first (highest) threshold with TPR >= 0.95.
    """

    auroc: float | None = None
    aupr: float | None = None
    fpr95: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnomalyScores:
    """Anomaly figures of a data set and what they rest on.

    Attributes:
        pooled: figures over the pixels of all images together.
        per_image: mean of the figures of the images that hold both classes.
        images: images seen.
        images_scored: images with both classes, the base of `per_image`.
        images_without_anomaly: images with normal pixels only; they count in `pooled`.
        images_without_normal: images with anomalous pixels only; likewise.
        images_void: images without a single valid pixel.
        anomaly_pixels: valid anomalous pixels.
        normal_pixels: valid normal pixels.
    """

    pooled: AnomalyFigures
    per_image: AnomalyFigures
    images: int
    images_scored: int
    images_without_anomaly: int
    images_without_normal: int
    images_void: int
    anomaly_pixels: int
    normal_pixels: int

    def as_dict(self) -> dict[str, object]:
        """Nested dicts of numbers and None, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Points of a curve from the highest threshold to the lowest.

    Attributes:
        x: (K,) float64 in [0, 1]: false-positive rate, or recall.
        y: (K,) float64 in [0, 1]: true-positive rate, or precision.
        threshold: (K,) float32; the point holds for "anomaly where score > threshold".
    """

    x: FloatVector
    y: FloatVector
    threshold: FloatArray


class PixelAnomalyMetric:
    """AUROC, AUPR and FPR95, pooled over all pixels and averaged over images."""

    def __init__(self) -> None:
        self._counts: Counts = np.zeros((2, NUM_BINS), np.int64)
        self._image_sums: FloatVector = np.zeros(3)
        self._images = {"scored": 0, "without_anomaly": 0, "without_normal": 0, "void": 0}

    def update(
        self, scores: FloatArray, is_anomaly: BoolArray, valid: BoolArray | None = None
    ) -> None:
        """Add one image. Nothing is added if an argument is refused.

        Args:
            scores: (H, W) float32 in [0, 1], growing with anomaly, finite even where not valid.
            is_anomaly: (H, W) bool, the truth.
            valid: (H, W) bool, False for pixels that count nowhere; None = all count.

        Raises:
            InputError: scores of another shape or dtype, NaN, infinite or outside [0, 1].
            TruthError: a mask of another size or dtype.
        """
        scores = check_scores(scores)
        positive = check_mask(is_anomaly, scores.shape, "the anomaly mask")
        counts = count_scores(scores, positive, check_valid(valid, scores.shape))
        self._counts += counts
        self._add_image(counts)

    def _add_image(self, counts: Counts) -> None:
        figures = figures_of(counts)
        if figures.auroc is not None:
            self._images["scored"] += 1
            values = (figures.auroc, figures.aupr, figures.fpr95)
            self._image_sums += np.array(values, np.float64)
            return
        kind = "without_anomaly" if counts[0].any() else "void"
        if counts[1].any():
            kind = "without_normal"
        self._images[kind] += 1

    def merge(self, other: PixelAnomalyMetric) -> None:
        """Add all that `other` has seen, as if its images had been given to this one."""
        self._counts += other._counts
        self._image_sums += other._image_sums
        for kind, number in other._images.items():
            self._images[kind] += number

    def compute(self) -> AnomalyScores:
        """Figures of everything seen so far; more images may follow."""
        scored = self._images["scored"]
        normal, anomaly = self._counts.sum(axis=1).tolist()
        means = (self._image_sums / scored).tolist() if scored else (None, None, None)
        return AnomalyScores(
            pooled=figures_of(self._counts),
            per_image=AnomalyFigures(auroc=means[0], aupr=means[1], fpr95=means[2]),
            images=sum(self._images.values()),
            images_scored=scored,
            images_without_anomaly=self._images["without_anomaly"],
            images_without_normal=self._images["without_normal"],
            images_void=self._images["void"],
            anomaly_pixels=anomaly,
            normal_pixels=normal,
        )

    def threshold_at_fpr(self, rate: float) -> float | None:
        """Lowest threshold at which at most `rate` of the normal pixels lie above it.

        "Above" is strict: predict anomaly where float32 score > threshold. The bound
        holds exactly on the data seen.

        Returns:
            Threshold in [-1, 1], a float32 value (-1: all pixels lie above); None
            without normal pixels.

        Raises:
            UsageError: rate outside [0, 1].
        """
        false_positives = _at_or_above(self._counts[0])
        if false_positives[0] == 0:
            return None
        allowed = false_positives / false_positives[0] <= _check_rate(rate)
        return _threshold(int(np.argmax(allowed)))

    def threshold_at_tpr(self, rate: float) -> float | None:
        """Highest threshold at which at least `rate` of the anomalous pixels lie above it.

        "Above" is strict: predict anomaly where float32 score > threshold. The bound
        holds exactly on the data seen.

        Returns:
            Threshold in [-1, 1], a float32 value (-1: all pixels lie above); None
            without anomalous pixels.

        Raises:
            UsageError: rate outside [0, 1].
        """
        true_positives = _at_or_above(self._counts[1])
        if true_positives[0] == 0:
            return None
        enough = true_positives / true_positives[0] >= _check_rate(rate)
        return _threshold(int(np.flatnonzero(enough)[-1]))

    def threshold_at_best_f1(self) -> float | None:
        """Threshold with the best pixel F1 score; None without anomalous pixels.

        SegmentMeIfYouCan cuts score maps into components there.
        Source: Chan et al., SegmentMeIfYouCan, NeurIPS 2021 datasets track, section 4.
        """
        positive, tp, fp = _occupied(self._counts)
        if not positive.size:
            return None
        f1 = 2 * tp / (tp[0] + tp + fp)
        return _threshold(int(positive[np.argmax(f1)]))

    def roc(self, max_points: int | None = 1000) -> Curve | None:
        """ROC curve, x = FPR, y = TPR, from (0, 0) to (1, 1); None if a class is missing.

        Args:
            max_points: keep about so many points, evenly spread along the curve; None = all.
        """
        normal, anomaly = (_at_or_above(row) for row in self._counts)
        if not (normal[0] and anomaly[0]):
            return None
        bins = _curve_bins(self._counts)
        return _curve(bins, normal[bins] / normal[0], anomaly[bins] / anomaly[0], max_points)

    def precision_recall(self, max_points: int | None = 1000) -> Curve | None:
        """Precision over recall, x = recall, y = precision; None if a class is missing.

        Starts at the highest threshold that some pixel exceeds: above it, precision
        is not defined.

        Args:
            max_points: keep about so many points, evenly spread along the curve; None = all.
        """
        normal, anomaly = (_at_or_above(row) for row in self._counts)
        if not (normal[0] and anomaly[0]):
            return None
        bins = _curve_bins(self._counts)[1:]
        tp = anomaly[bins]
        return _curve(bins, tp / anomaly[0], tp / (tp + normal[bins]), max_points)

    def auroc_error_bound(self) -> float | None:
        """How far the pooled AUROC can at most lie from that of the scores themselves.

        Half the share of (normal, anomalous) pairs whose scores fall into one bin.
        Pairs that really are equal are counted too, so with heavy ties the bound is
        larger than the error. None if a class is missing.
        """
        normal, anomaly = self._counts.astype(np.float64)
        pairs = float(normal.sum() * anomaly.sum())
        return float((normal * anomaly).sum()) / (2 * pairs) if pairs else None


def figures_of(counts: Counts) -> AnomalyFigures:
    """AUROC, AUPR and FPR95 of one histogram pair.

    Only bins with anomalous pixels matter: TPR rises nowhere else.

    Args:
        counts: (2, B) int64: normal and anomalous pixels by bin, bins in order of the score.

    Source: Fawcett, An introduction to ROC analysis, 2006, algorithm 2 (ties); average
        precision and its thresholds as scikit-learn defines them.
    """
    positive, tp, fp = _occupied(counts)
    normal = int(counts[0].sum())
    if not positive.size or not normal:
        return AnomalyFigures()
    anomaly = tp[0]
    own_normal, own_anomaly = counts[0, positive], counts[1, positive].astype(np.float64)
    ranked_below = normal - fp + own_normal / 2
    precision = tp / (tp + fp)
    first = np.count_nonzero(tp / anomaly >= 0.95) - 1
    return AnomalyFigures(
        auroc=float((own_anomaly * ranked_below).sum() / anomaly / normal),
        aupr=float((own_anomaly * precision).sum() / anomaly),
        fpr95=float(fp[first] / normal),
    )


def _occupied(counts: Counts) -> tuple[npt.NDArray[np.intp], FloatVector, FloatVector]:
    """Bins with anomalous pixels, ascending; anomalous and normal pixels at or above each."""
    positive = np.flatnonzero(counts[1] > 0)
    own = counts[1, positive]
    tp = own.sum() - own.cumsum() + own
    fp = _at_or_above(counts[0])[positive]
    return positive, tp.astype(np.float64), fp.astype(np.float64)


def _at_or_above(row: Counts) -> Counts:
    """(B + 1,) int64: sum of row[b:] for each b, 0 at the end."""
    sums = np.full(row.size + 1, row.sum(), np.int64)
    sums[1:] -= np.cumsum(row)
    return sums


def _threshold(lowest_bin: int) -> float:
    return float(thresholds_below(np.array([lowest_bin]))[0])


def _check_rate(rate: float) -> float:
    if not 0 <= rate <= 1:
        raise UsageError(f"a rate must lie in [0, 1], got {rate}")
    return rate


def _curve_bins(counts: Counts) -> npt.NDArray[np.intp]:
    """NUM_BINS, then the occupied bins from high to low."""
    occupied = np.flatnonzero(counts.any(axis=0))[::-1]
    return np.concatenate(([NUM_BINS], occupied))


def _curve(
    bins: npt.NDArray[np.intp], x: FloatVector, y: FloatVector, max_points: int | None
) -> Curve:
    if max_points is not None and x.size > max_points:
        keep = _spread(x, y, max_points)
        bins, x, y = bins[keep], x[keep], y[keep]
    return Curve(x=x, y=y, threshold=thresholds_below(bins))


def _spread(x: FloatVector, y: FloatVector, points: int) -> npt.NDArray[np.intp]:
    """Pick at most `points` indices, both ends included, evenly spread over |dx| + |dy|."""
    if points < 2:
        raise UsageError(f"a curve needs at least 2 points, got max_points={points}")
    way = np.concatenate(([0.0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))))
    wanted = np.linspace(0, way[-1], points)
    return np.unique(np.concatenate(([0], np.searchsorted(way, wanted[1:-1]), [x.size - 1])))
