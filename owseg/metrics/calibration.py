"""Calibration of the anomaly probability: ECE and the reliability curve.

Source: Guo et al., On calibration of modern neural networks, ICML 2017, Eq. 3 and 5,
with the probability of the positive class (anomaly) in place of the confidence of
the predicted class.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from owseg.errors import UsageError
from owseg.metrics._checks import (
    BoolArray,
    Counts,
    check_mask,
    check_score_range,
    check_scores,
    check_valid,
    row_blocks,
)
from owseg.types import FloatArray

_PIXELS_PER_COUNT = 1 << 18


@dataclass(frozen=True, slots=True, kw_only=True)
class ReliabilityBin:
    """One bin of the reliability curve.

    Attributes:
        lower: lower edge of the bin, which belongs to it.
        upper: upper edge, which belongs to the next bin (1 to the last).
        pixels: pixels in the bin.
        mean_score: mean anomaly score in the bin; None if it is empty.
        anomaly_share: share of anomalous pixels in the bin; None if it is empty.
    """

    lower: float
    upper: float
    pixels: int
    mean_score: float | None
    anomaly_share: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationScores:
    """How far anomaly scores are from being probabilities.

    Attributes:
        ece: mean of |mean score - anomaly share| over bins, weighted by pixels, in
            [0, 1]; None without valid pixels.
        max_error: largest |mean score - anomaly share| of any bin; None likewise.
        bins: the reliability curve.
        pixels: valid pixels.
    """

    ece: float | None
    max_error: float | None
    bins: tuple[ReliabilityBin, ...]
    pixels: int

    def as_dict(self) -> dict[str, object]:
        """Nested dicts, lists, numbers and None, ready for JSON."""
        return {**asdict(self), "bins": [asdict(entry) for entry in self.bins]}


class CalibrationMetric:
    """Expected calibration error with equal-width bins, three numbers of state per bin.

    Args:
        bins: number of bins over [0, 1].

    Raises:
        UsageError: fewer than 1 bin.
    """

    def __init__(self, bins: int = 15) -> None:
        if bins < 1:
            raise UsageError(f"calibration needs at least 1 bin, got {bins}")
        self.num_bins = bins
        self._counts: Counts = np.zeros((2, bins), np.int64)
        self._score_sums: npt.NDArray[np.float64] = np.zeros(bins)

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
        mask = check_valid(valid, scores.shape)
        check_score_range(scores)
        for rows in row_blocks(scores.shape, _PIXELS_PER_COUNT):
            self._add(scores[rows][mask[rows]], positive[rows][mask[rows]])

    def _add(self, scores: FloatArray, positive: BoolArray) -> None:
        """Add flat scores with their truth."""
        index = np.minimum((scores * np.float32(self.num_bins)).astype(np.intp), self.num_bins - 1)
        self._score_sums += np.bincount(index, weights=scores, minlength=self.num_bins)
        index += positive * self.num_bins
        self._counts += np.bincount(index, minlength=2 * self.num_bins).reshape(2, -1)

    def merge(self, other: CalibrationMetric) -> None:
        """Add all that `other` has seen.

        Raises:
            UsageError: it has another number of bins.
        """
        if other.num_bins != self.num_bins:
            raise UsageError(f"cannot merge {self.num_bins} and {other.num_bins} calibration bins")
        self._counts += other._counts
        self._score_sums += other._score_sums

    def compute(self) -> CalibrationScores:
        """Figures of everything seen so far."""
        pixels = self._counts.sum(axis=0)
        total = int(pixels.sum())
        gaps = np.abs(self._score_sums - self._counts[1])
        return CalibrationScores(
            ece=float(gaps.sum() / total) if total else None,
            max_error=float((gaps / np.maximum(pixels, 1)).max()) if total else None,
            bins=tuple(self._bin(number) for number in range(self.num_bins)),
            pixels=total,
        )

    def _bin(self, number: int) -> ReliabilityBin:
        pixels = int(self._counts[:, number].sum())
        return ReliabilityBin(
            lower=number / self.num_bins,
            upper=(number + 1) / self.num_bins,
            pixels=pixels,
            mean_score=float(self._score_sums[number] / pixels) if pixels else None,
            anomaly_share=float(self._counts[1, number] / pixels) if pixels else None,
        )
