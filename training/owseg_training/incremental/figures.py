"""From confusion matrices to the figures of the table: IoU, old, novel, harmonic, forgetting."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]
"""(N + k, N + k + 1): true by predicted class; the last column: no class."""


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Figures of one run, each in [0, 1]; None where nothing defines them.

    Attributes:
        iou: IoU by class id; None for a class that is neither true nor predicted.
        all: mean IoU of the classes that occur in the truth.
        old: the same over the base classes.
        novel: the same over the new classes.
        harmonic: harmonic mean of old and novel.
        old_pixels: mean IoU of the base classes on their own pixels alone, those of new classes
            left out: what a base network and one that has learnt more can be compared by.
    """

    iou: tuple[float | None, ...]
    all: float | None
    old: float | None
    novel: float | None
    harmonic: float | None
    old_pixels: float | None

    def as_dict(self) -> dict[str, object]:
        """Numbers, lists and None, ready for JSON."""
        return {**asdict(self), "iou": list(self.iou)}


SUMMARY = ("all", "novel", "old", "harmonic")
"""The means of the table, in the order of its columns."""


def figures(confusion: Counts, num_base: int) -> Figures:
    """Compute the figures of a confusion matrix whose first `num_base` classes are the base."""
    iou, true = _iou(confusion)
    old, novel = _mean(iou[:num_base], true[:num_base]), _mean(iou[num_base:], true[num_base:])
    apart, _ = _iou(confusion[:num_base])
    return Figures(
        iou=tuple(None if np.isnan(value) else float(value) for value in iou),
        all=_mean(iou, true),
        old=old,
        novel=novel,
        harmonic=harmonic(old, novel),
        old_pixels=_mean(apart, true[:num_base]),
    )


def base_figures(confusion: Counts, num_base: int) -> Figures:
    """Compute the figures of the base network: pixels of new classes count nowhere."""
    iou, true = _iou(confusion[:num_base])
    mean = _mean(iou, true)
    absent = (None,) * (len(confusion) - num_base)
    return Figures(
        iou=(*(None if np.isnan(value) else float(value) for value in iou), *absent),
        all=mean,
        old=mean,
        novel=None,
        harmonic=None,
        old_pixels=mean,
    )


def harmonic(old: float | None, novel: float | None) -> float | None:
    """Return the harmonic mean of both, 0 where one of them is."""
    if old is None or novel is None:
        return None
    return 2 * old * novel / (old + novel) if old and novel else 0.0


def forgetting(before: Figures, after: Figures) -> float | None:
    """Return how much mean IoU the base classes lost on their own pixels."""
    if before.old_pixels is None or after.old_pixels is None:
        return None
    return before.old_pixels - after.old_pixels


def _iou(rows: Counts) -> tuple[npt.NDArray[np.float64], Counts]:
    """IoU of the classes of the rows, NaN where undefined, and their true pixels."""
    count = len(rows)
    hits = rows[:, :count].diagonal()
    true = rows.sum(axis=1)
    union = true + rows[:, :count].sum(axis=0) - hits
    return np.where(union > 0, hits / np.maximum(union, 1), np.nan), true


def _mean(iou: npt.NDArray[np.float64], true: Counts) -> float | None:
    return float(iou[true > 0].mean()) if (true > 0).any() else None
