"""From embeddings and masks to prototypes: cells, their weights, means and clusters.

Shape legend: h, w grid of the embedding, n = h * w cells, D embedding size, M prototypes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from owseg.errors import EngineError, ShotError
from owseg.prototypes.examples import CLASS, OTHER
from owseg.types import FloatArray, UInt8Array

POOLINGS = ("pixel", "image")
"""Mean over all pixels of all shots (DMLNet, Eq. 11), or mean of the means by image."""

_SMALLEST = 1.0
_FILLED = 0.999
_MOST_CELLS = 2_000
_ROUNDS = 20
_STARTS = 2
_DRAWS = 4

Rows = npt.NDArray[Any]
"""(n, D) vectors of float32 or float64."""

Weights = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cells:
    """The cells of one shot.

    Attributes:
        vectors: (n, D) float32 embeddings, row by row of the grid.
        inside: (n,) share of each cell that the class covers, 0..1.
        outside: (n,) share of each cell that surely is something else, 0..1.
        places: (n, 2) row and column of each cell in the grid.
    """

    vectors: FloatArray
    inside: Weights
    outside: Weights
    places: npt.NDArray[np.intp]

    def members(self) -> tuple[FloatArray, Weights]:
        """Return vectors and weights of the cells that stand for the class.

        Those are the cells that it fills; an object so small that it fills none is
        represented by all that it touches. Cells on its border show something else as well.
        """
        chosen = self.inside >= _FILLED
        if not chosen.any():
            chosen = self.inside > 0
        return self.vectors[chosen], self.inside[chosen]


def make_cells(embedding: FloatArray, mask: UInt8Array, source: str = "shot") -> Cells:
    """Weigh the cells of an embedding by a mask.

    Args:
        embedding: (D, h, w) float32.
        mask: (H, W) uint8 of `OTHER`, `CLASS` and `IGNORE`, at any resolution.
        source: what to call the shot in messages.

    Raises:
        EngineError: the embedding holds NaN or infinite values.
        ShotError: all pixels of the class together do not fill one cell.
    """
    if not np.isfinite(embedding).all():
        raise EngineError(
            f"{source}: the embedding holds NaN or infinite values; the model is damaged, or its "
            "precision too low for this image"
        )
    size, height, width = embedding.shape
    inside = coverage(mask == CLASS, (height, width))
    if inside.sum() < _SMALLEST:
        cell = mask.shape[1] / width, mask.shape[0] / height
        raise ShotError(
            f"{source}: the mask covers {inside.sum():.2g} of one cell of the embedding "
            f"({cell[0]:.3g}x{cell[1]:.3g} pixels); mark more of the class, or take a closer view"
        )
    return Cells(
        vectors=np.ascontiguousarray(embedding.reshape(size, -1).T, np.float32),
        inside=inside.reshape(-1),
        outside=coverage(mask == OTHER, (height, width)).reshape(-1),
        places=np.indices((height, width)).reshape(2, -1).T,
    )


def coverage(mask: npt.NDArray[np.bool_], grid: tuple[int, int]) -> Weights:
    """Return the share of each cell that a mask covers: (H, W) bool to (h, w) in 0..1."""
    size = (grid[1], grid[0])
    shares = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return np.clip(shares.astype(np.float64), 0.0, 1.0)


def halves(cells: Cells) -> list[Cells]:
    """Cut one shot in two, so that each side has about half of the class.

    Returns:
        Two parts, cut along the axis along which the class is longer; the shot itself, alone,
        where a part would have less than one cell of the class.
    """
    touched = cells.places[cells.inside > 0]
    along = int(np.argmax(touched.max(axis=0) - touched.min(axis=0)))
    place = cells.places[:, along]
    mass = np.cumsum(np.bincount(place, cells.inside))
    cut = int(np.argmin(np.abs(mass - mass[-1] / 2)))
    if min(mass[cut], mass[-1] - mass[cut]) < _SMALLEST:
        return [cells]
    return [_part(cells, place <= cut), _part(cells, place > cut)]


def _part(cells: Cells, chosen: npt.NDArray[np.bool_]) -> Cells:
    return Cells(
        vectors=cells.vectors[chosen],
        inside=cells.inside[chosen],
        outside=cells.outside[chosen],
        places=cells.places[chosen],
    )


def pool(shots: Sequence[Cells], pooling: str = "pixel") -> tuple[FloatArray, Weights]:
    """Gather the class's cells of all shots: vectors (m, D), weights (m,).

    With "image" the weights of each shot sum to one, so that a large object does not count
    more than a small one.
    """
    gathered = [cells.members() for cells in shots]
    vectors = np.concatenate([v for v, _ in gathered])
    scales = [w.sum() if pooling == "image" else 1.0 for _, w in gathered]
    weights = np.concatenate([w / s for (_, w), s in zip(gathered, scales, strict=True)])
    return vectors, weights


def prototypes_of(vectors: FloatArray, weights: Weights, count: int = 1) -> FloatArray:
    """Return the weighted mean, or the means of `count` clusters.

    Args:
        vectors: (m, D) float32.
        weights: (m,) > 0.
        count: number of prototypes wanted; fewer where there are fewer different vectors.

    Returns:
        (M, D) float32, the prototype of most weight first. The same input gives the same
        prototypes.
    """
    if count == 1:
        return _mean(vectors, weights)[None].astype(np.float32)
    step = -(-len(vectors) // _MOST_CELLS)
    points, mass = vectors[::step].astype(np.float64), weights[::step]
    random = np.random.default_rng(0)
    best, least = points[:1], np.inf
    for _ in range(_STARTS):
        centers, error = _cluster(points, mass, _seeds(points, mass, count, random))
        if error < least:
            best, least = centers, error
    return best.astype(np.float32)


def squared_distances(vectors: Rows, prototypes: Rows) -> Rows:
    """Return (n, M) squared distances of (n, D) vectors to (M, D) prototypes, at least 0."""
    norms = _norms(vectors)[:, None] + _norms(prototypes)
    distances: Rows = np.maximum(norms - 2.0 * (vectors @ prototypes.T), 0.0)
    return distances


def _norms(rows: Rows) -> Rows:
    norms: Rows = np.einsum("ij,ij->i", rows, rows)
    return norms


def _mean(vectors: Rows, weights: Weights) -> npt.NDArray[np.float64]:
    mean: npt.NDArray[np.float64] = weights @ vectors.astype(np.float64) / weights.sum()
    return mean


def _seeds(points: Weights, mass: Weights, count: int, random: np.random.Generator) -> Weights:
    """Choose distinct points, far ones rather: k-means++, the best of a few draws each time."""
    chosen: Weights = points[random.choice(len(points), p=mass / mass.sum())][None]
    gap = np.square(points - chosen).sum(axis=1)
    while len(chosen) < count and (gap * mass).sum() > 0:
        drawn = random.choice(len(points), size=_DRAWS, p=gap * mass / (gap * mass).sum())
        gaps = np.minimum(gap[:, None], squared_distances(points, points[drawn]))
        gaps[drawn, np.arange(_DRAWS)] = 0.0
        best = int((mass @ gaps).argmin())
        chosen, gap = np.concatenate([chosen, points[drawn[best]][None]]), gaps[:, best]
    return chosen


def _cluster(points: Weights, mass: Weights, centers: Weights) -> tuple[Weights, float]:
    """Weighted k-means from given centres: centres by falling weight, and the error."""
    weight = np.ones(len(centers))
    for _ in range(_ROUNDS):
        owner = squared_distances(points, centers).argmin(axis=1)
        owned = (owner[:, None] == np.arange(len(centers))) * mass[:, None]
        weight = owned.sum(axis=0)
        used = weight > 0
        before, centers = centers, (owned.T @ points)[used] / weight[used, None]
        weight = weight[used]
        if centers.shape == before.shape and np.allclose(centers, before, atol=1e-6):
            break
    error = float((squared_distances(points, centers).min(axis=1) * mass).sum())
    return centers[np.argsort(-weight, kind="stable")], error
