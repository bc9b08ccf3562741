"""False alarms and misses of each frame, over a grid of thresholds that no data chose."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from owseg.metrics._checks import BoolArray, Counts, check_mask, check_scores, check_valid
from owseg.metrics.score_bins import NUM_BINS, count_scores, thresholds_below
from owseg.types import FloatArray

FloatVector = npt.NDArray[np.float64]

THRESHOLDS = 2048
"""Number of thresholds, finest near 0 and 1, where scores crowd."""


class FrameCurves:
    """Shares of the pixels of each frame above or below each threshold; 32 KiB a frame.

    Attributes:
        thresholds: (T,) float32, growing; a pixel is unknown where its score is larger.
    """

    def __init__(self) -> None:
        step = NUM_BINS // THRESHOLDS
        self._bins = np.arange(step, NUM_BINS + 1, step)
        self.thresholds: FloatArray = thresholds_below(self._bins)
        self._false_alarms: list[FloatVector] = []
        self._missed: list[FloatVector] = []
        self.frames = 0

    def update(
        self, scores: FloatArray, is_anomaly: BoolArray, valid: BoolArray | None = None
    ) -> None:
        """Add one frame.

        Args:
            scores: (H, W) float32 in [0, 1].
            is_anomaly: (H, W) bool, the truth.
            valid: (H, W) bool, False for pixels that count nowhere; None = all count.

        Raises:
            InputError: scores of another shape or dtype, NaN, infinite or outside [0, 1].
            TruthError: a mask of another size or dtype.
        """
        scores = check_scores(scores)
        positive = check_mask(is_anomaly, scores.shape, "the anomaly mask")
        counts = count_scores(scores, positive, check_valid(valid, scores.shape))
        normal, anomalous = counts
        if normal.any():
            self._false_alarms.append(1.0 - self._below(normal))
        if anomalous.any():
            self._missed.append(self._below(anomalous))
        self.frames += 1

    def _below(self, counts: Counts) -> FloatVector:
        """(T,) share of the pixels at or below each threshold."""
        share: FloatVector = np.cumsum(counts)[self._bins - 1] / counts.sum()
        return share

    @property
    def false_alarms(self) -> FloatVector:
        """(F, T) share of the normal pixels above each threshold; of frames that have any."""
        return self._table(self._false_alarms)

    @property
    def missed(self) -> FloatVector:
        """(G, T) share of the anomalous pixels not above each threshold; likewise."""
        return self._table(self._missed)

    def _table(self, rows: list[FloatVector]) -> FloatVector:
        return np.stack(rows) if rows else np.zeros((0, self.thresholds.size))
