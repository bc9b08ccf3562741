"""The radius of a class, from how its prototypes do on shots that they were not made from.

Source: the rule of DMLNet, Eq. 12 (within the radius, and nearer than the prototypes of other
classes); the fit of the radius is our own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from owseg.prototypes.pooling import Cells, Weights, halves, squared_distances
from owseg.types import FloatArray

SHARE = 0.03
"""Share of a usual image that a class is taken to cover, when finds and false claims are weighed.

The share in the shots would mislead: people take shots from near, and a large object would
excuse a large radius."""

SMALLEST_RADIUS = 1e-3
_FOLDS = 10
_MOST_TAKEN = 0.1
_WITHOUT_NEGATIVES = 0.7
_LEAST_OUTSIDE = 0.01

Make = Callable[[Sequence[Cells]], FloatArray]
"""Makes prototypes (M, D) from shots."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trial:
    """Cells, and how far they lie from prototypes that were made without them.

    Attributes:
        distances: (n,) float64 squared distance to the nearest prototype; infinite where
            a prototype of another class is nearer and claims the cell.
        inside: (n,) share of the cell that the class covers.
        outside: (n,) share of the cell that surely is something else.
        held_out: what was left out in turn: "shots", "halves" of the only shot, or "nothing".
    """

    distances: Weights
    inside: Weights
    outside: Weights
    held_out: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rating:
    """What a radius would do in an image of which the class covers `SHARE`.

    Attributes:
        radius: squared distance.
        found: share of the class that is claimed, 0..1.
        taken: share of everything else that is claimed, 0..1; None where nothing is known of it.
        iou: intersection over union, 0..1; None likewise.
    """

    radius: float
    found: float
    taken: float | None
    iou: float | None


def run_trial(
    shots: Sequence[Cells], rivals: FloatArray, make: Make, reach: FloatArray | None = None
) -> Trial:
    """Leave out one shot after the other, and measure it with prototypes from the rest.

    A single shot is split into two halves of equal area; many shots are left out in groups.

    Args:
        shots: cells of each shot, at least one.
        rivals: (R, D) prototypes of all other classes.
        make: makes prototypes.
        reach: (R,) squared distance within which a rival keeps a pixel from others; None =
            at any distance, as known classes do.
    """
    parts, held_out = list(shots), "shots"
    if len(parts) == 1:
        parts, held_out = halves(parts[0]), "halves"
    if len(parts) == 1:
        held_out = "nothing"
    measured = [
        (_distances(cells, make(rest), rivals, reach), cells)
        for rest, tested in _folds(parts)
        for cells in tested
    ]
    return Trial(
        distances=np.concatenate([distances for distances, _ in measured]),
        inside=np.concatenate([cells.inside for _, cells in measured]),
        outside=np.concatenate([cells.outside for _, cells in measured]),
        held_out=held_out,
    )


def _folds(parts: Sequence[Cells]) -> Iterator[tuple[Sequence[Cells], Sequence[Cells]]]:
    if len(parts) == 1:
        yield parts, parts
        return
    count = min(_FOLDS, len(parts))
    for fold in range(count):
        rest = [cells for number, cells in enumerate(parts) if number % count != fold]
        yield rest, parts[fold::count]


def _distances(
    cells: Cells, prototypes: FloatArray, rivals: FloatArray, reach: FloatArray | None
) -> Weights:
    own: Weights = squared_distances(cells.vectors, prototypes).min(axis=1).astype(np.float64)
    if len(rivals):
        gaps = squared_distances(cells.vectors, rivals)
        if reach is not None:
            gaps[gaps >= reach] = np.inf
        own[gaps.min(axis=1) <= own] = np.inf
    return own


def fit_radius(trial: Trial, share: float = SHARE) -> float:
    """Return the radius of the best IoU, half-way to the first distance that it leaves out.

    No radius takes more than a tenth of what is not the class; the smallest one is returned
    where that is not to be had. Where nothing is known of the
    surroundings, it is the one that finds 70 % of the class.

    Args:
        trial: distances of cells that were held out.
        share: share of an image that the class is taken to cover, 0..1.
    """
    counts = np.isfinite(trial.distances) & (trial.inside + trial.outside > 0)
    order = np.flatnonzero(counts)
    order = order[np.argsort(trial.distances[order], kind="stable")]
    if not len(order):
        return SMALLEST_RADIUS
    distances = trial.distances[order]
    found = np.cumsum(trial.inside[order])
    last = np.append(np.flatnonzero(np.diff(distances) > 0), len(order) - 1)
    if knows_surroundings(trial):
        taken = np.cumsum(trial.outside[order]) / trial.outside.sum()
        iou = _iou(found / trial.inside.sum(), taken, share) * (taken <= _MOST_TAKEN)
        if not iou.any():
            return SMALLEST_RADIUS
        best = last[np.argmax(iou[last])]
    else:
        best = last[np.searchsorted(found[last], _WITHOUT_NEGATIVES * found[-1])]
    beyond = distances[min(best + 1, len(distances) - 1)]
    middle = (np.sqrt(distances[best]) + np.sqrt(beyond)) / 2
    return max(float(middle**2) * (1 + 1e-6), SMALLEST_RADIUS)


def rate_radius(trial: Trial, radius: float, share: float = SHARE) -> Rating:
    """Tell what a radius does to the cells that were held out."""
    claimed = trial.distances < radius
    found = float(trial.inside[claimed].sum() / trial.inside.sum())
    if not knows_surroundings(trial):
        return Rating(radius=radius, found=found, taken=None, iou=None)
    taken = float(trial.outside[claimed].sum() / trial.outside.sum())
    iou = float(_iou(np.array(found), np.array(taken), share))
    return Rating(radius=radius, found=found, taken=taken, iou=iou)


def knows_surroundings(trial: Trial) -> bool:
    """Tell whether the shots show enough of what the class is not."""
    return bool(trial.outside.sum() >= _LEAST_OUTSIDE * len(trial.outside))


def _iou(found: Weights, taken: Weights, share: float) -> npt.NDArray[np.float64]:
    ratio: npt.NDArray[np.float64] = share * found / (share + (1.0 - share) * taken)
    return ratio
