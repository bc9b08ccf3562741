"""Thresholds that keep a promise: at most so many false alarms, or misses, with confidence."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from owseg.calibration.bounds import betting_p_value, binomial_p_value, expected_loss
from owseg.calibration.curves import FloatVector, FrameCurves
from owseg.errors import InputError, UsageError
from owseg.manifest import OperatingPoint
from owseg.metrics import FALSE_FRAME

KINDS = ("false_alarms", "false_frames", "missed")
"""What can be promised, see `Promise`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """What a threshold is to keep.

    Attributes:
        kind: "false_alarms": the share of a frame's normal pixels that are called unknown, on
            average over frames; "false_frames": the share of frames in which that exceeds
            `of_frame`; "missed": the share of the anomalous pixels of a frame that are not called
            unknown, on average over frames that have some.
        limit: of that figure, in (0, 1).
        confidence: chance, over the frames it is fitted on, that the promise holds for all
            frames, in (0, 1); None: it holds in expectation (conformal risk control).
        of_frame: share of normal pixels, in [0, 1), above which a frame is a false one.

    Raises:
        UsageError: a value out of its range.
    """

    kind: str
    limit: float
    confidence: float | None = 0.95
    of_frame: float = FALSE_FRAME

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        if self.kind not in KINDS:
            raise UsageError(f"nothing is promised about '{self.kind}'; {', '.join(KINDS)} can be")
        if not 0.0 < self.limit < 1.0:
            raise UsageError(f"the limit of {self.kind} must lie between 0 and 1, got {self.limit}")
        if self.confidence is not None and not 0.0 < self.confidence < 1.0:
            raise UsageError(f"the confidence must lie between 0 and 1, got {self.confidence}")
        if not 0.0 <= self.of_frame < 1.0:
            raise UsageError(f"the share of a frame must lie in 0..1, got {self.of_frame}")

    @property
    def name(self) -> str:
        """Name of the operating point, e.g. "false_alarms_1" for 1 %."""
        return f"{self.kind}_{100 * self.limit:g}"

    @property
    def text(self) -> str:
        """The promise in words."""
        limit = f"at most {100 * self.limit:g} %"
        what = {
            "false_alarms": f"{limit} of a frame's normal pixels unknown, mean over frames",
            "false_frames": f"{limit} of frames with more than {100 * self.of_frame:g} % of their "
            "normal pixels unknown",
            "missed": f"{limit} of a frame's anomalous pixels missed, mean over frames",
        }[self.kind]
        sure = "in expectation" if self.confidence is None else f"{100 * self.confidence:g} % sure"
        return f"{what}, {sure}"

    def frames_needed(self) -> int:
        """Return the number of frames below which not even a loss of 0 keeps the promise."""
        low, high = 0, 1
        while not self._kept_by_nothing(high):
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self._kept_by_nothing(middle) else (middle, high)
        return high

    def _kept_by_nothing(self, frames: int) -> bool:
        return bool(_passes(self, np.zeros((frames, 1)))[0])


def keep(promise: Promise, curves: FrameCurves, fitted_on: str) -> OperatingPoint:
    """Find the most useful threshold that keeps a promise.

    Thresholds are tested one after the other from the side where nothing can go wrong, and the
    last one before the first that fails is taken: the grid and the order are fixed beforehand,
    so that no correction for many tests is needed.

    Args:
        promise: what is promised.
        curves: figures of frames like those to come.
        fitted_on: the data, in words.

    Raises:
        InputError: too few frames, or no threshold keeps it.
    """
    losses = _losses(promise, curves)
    frames = losses.shape[0]
    if not _passes(promise, np.zeros((frames, 1)))[0]:
        having = "anomalies" if promise.kind == "missed" else "normal pixels"
        raise InputError(
            f"{fitted_on}: {frames} frames with {having} cannot promise '{promise.text}', it takes "
            f"{promise.frames_needed()}; give more frames, a larger limit or less confidence"
        )
    rising = promise.kind == "missed"
    thresholds = curves.thresholds if rising else curves.thresholds[::-1]
    losses = losses if rising else losses[:, ::-1]
    passes = _passes(promise, losses)
    kept = passes.size if passes.all() else int(np.argmin(passes))
    if not kept:
        raise InputError(
            f"{fitted_on}: no threshold keeps '{promise.text}': even the most careful one has "
            f"{100 * losses[:, 0].mean():.2g} %; choose a larger limit or give more frames"
        )
    measured = float(losses[:, kept - 1].mean())
    return OperatingPoint(
        name=promise.name,
        threshold=float(thresholds[kept - 1]),
        fitted_on=f"{fitted_on}: {promise.text}",
        promise={**_facts(promise), "frames": frames, "measured": round(measured, 6)},
    )


def _losses(promise: Promise, curves: FrameCurves) -> FloatVector:
    """(F, T) losses in [0, 1]."""
    if promise.kind == "missed":
        return curves.missed
    if promise.kind == "false_frames":
        return (curves.false_alarms > promise.of_frame).astype(np.float64)
    return curves.false_alarms


def _passes(promise: Promise, losses: FloatVector) -> npt.NDArray[np.bool_]:
    """(T,) whether the losses (F, T) of each threshold, alone, keep the promise."""
    if promise.confidence is None:
        return expected_loss(losses) <= promise.limit
    level = 1.0 - promise.confidence
    if promise.kind == "false_frames":
        return binomial_p_value(losses, promise.limit) <= level
    return betting_p_value(losses, promise.limit, level) <= level


def _facts(promise: Promise) -> dict[str, Any]:
    facts = asdict(promise)
    if promise.kind != "false_frames":
        del facts["of_frame"]
    return facts
