"""How often frames are decided wrongly: false alarms and misses with the frame as the unit.

The figures that thresholds with a promise are about (`owseg.calibration.promise`): each frame
counts once, whatever its number of pixels.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from owseg.errors import UsageError
from owseg.metrics._checks import BoolArray, check_mask, check_prediction, check_valid

FALSE_FRAME = 0.01
"""Share of the normal pixels of a frame above which it is a false one, unless another is chosen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionScores:
    """Means over frames, each in [0, 1]; None without a frame that has such pixels.

    Attributes:
        false_alarms: share of a frame's normal pixels that are called unknown.
        false_frames: share of frames in which that is above `of_frame`.
        of_frame: that share.
        missed: share of a frame's anomalous pixels that are not called unknown.
        frames_with_normal: frames with normal pixels.
        frames_with_anomaly: frames with anomalous pixels.
    """

    false_alarms: float | None
    false_frames: float | None
    of_frame: float
    missed: float | None
    frames_with_normal: int
    frames_with_anomaly: int

    def as_dict(self) -> dict[str, float | int | None]:
        """Numbers and None, ready for JSON."""
        return asdict(self)


class DecisionMetric:
    """False alarms and misses of frames, in constant memory.

    Args:
        of_frame: share of normal pixels, in [0, 1), above which a frame is a false one.

    Raises:
        UsageError: a share out of range.
    """

    def __init__(self, of_frame: float = FALSE_FRAME) -> None:
        if not 0.0 <= of_frame < 1.0:
            raise UsageError(f"the share of a frame must lie in 0..1, got {of_frame}")
        self.of_frame = of_frame
        self._normal, self._anomaly, self._false_frames = 0, 0, 0
        self._false_alarms, self._missed = 0.0, 0.0

    def update(
        self, pred: BoolArray, is_anomaly: BoolArray, valid: BoolArray | None = None
    ) -> None:
        """Add one frame.

        Args:
            pred: (H, W) bool, pixels that are called unknown.
            is_anomaly: (H, W) bool, the truth.
            valid: (H, W) bool, False for pixels that count nowhere; None = all count.

        Raises:
            InputError: a prediction of another shape or dtype.
            TruthError: a mask of another size or dtype.
        """
        pred = check_prediction(pred)
        truth = check_mask(is_anomaly, pred.shape, "the anomaly mask")
        counted = check_valid(valid, pred.shape)
        anomalous, normal = counted & truth, counted & ~truth
        if number := np.count_nonzero(normal):
            share = np.count_nonzero(pred & normal) / number
            self._normal += 1
            self._false_alarms += share
            self._false_frames += int(share > self.of_frame)
        if number := np.count_nonzero(anomalous):
            self._anomaly += 1
            self._missed += np.count_nonzero(anomalous & ~pred) / number

    def merge(self, other: DecisionMetric) -> None:
        """Add all that `other` has seen.

        Raises:
            UsageError: it calls other frames false.
        """
        if other.of_frame != self.of_frame:
            raise UsageError("cannot merge decisions with different shares of a false frame")
        self._normal += other._normal
        self._anomaly += other._anomaly
        self._false_frames += other._false_frames
        self._false_alarms += other._false_alarms
        self._missed += other._missed

    def compute(self) -> DecisionScores:
        """Figures of everything seen so far."""
        normal, anomaly = self._normal, self._anomaly
        return DecisionScores(
            false_alarms=self._false_alarms / normal if normal else None,
            false_frames=self._false_frames / normal if normal else None,
            of_frame=self.of_frame,
            missed=self._missed / anomaly if anomaly else None,
            frames_with_normal=normal,
            frames_with_anomaly=anomaly,
        )
