"""Where a new class meets the classes that are there already."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from owseg.manifest import Manifest
from owseg.prototypes.classes import PrototypeSet
from owseg.prototypes.pooling import Cells, squared_distances
from owseg.types import FloatArray

_MANY = 0.1
_LEAST_CELLS = 25.0
_WORST = 3


def rivals_of(manifest: Manifest, present: PrototypeSet) -> tuple[FloatArray, FloatArray]:
    """Return the prototypes (R, D) float32 of all known and all novel classes, and their reach.

    The reach (R,) float32 is the squared distance within which a prototype keeps a pixel from
    one that is farther away: any for those of known classes, the radius for those of novel ones.
    """
    vectors = [manifest.prototypes, *(item.vectors for item in present.classes)]
    radius = [np.full(len(item.vectors), item.radius) for item in present.classes]
    reach = np.concatenate([np.full(len(manifest.prototypes), np.inf), *radius])
    return np.concatenate(vectors).astype(np.float32, copy=False), reach.astype(np.float32)


def claims_on_known(
    shots: Sequence[Cells], vectors: FloatArray, radius: float, manifest: Manifest
) -> dict[str, float]:
    """Return how much of each known class a new class would take in its own shots.

    Only what lies outside of the masks counts.

    Args:
        shots: cells of each shot.
        vectors: (M, D) prototypes of the new class.
        radius: its radius.
        manifest: the network.

    Returns:
        Shares 0..1 by class name; only classes that the network sees on 25 cells or more.
    """
    total, claimed = np.zeros(len(manifest.classes)), np.zeros(len(manifest.classes))
    for cells in shots:
        called, limit = _closed_set(cells.vectors, manifest)
        gap = squared_distances(cells.vectors, vectors).min(axis=1)
        lost = cells.outside * ((gap < radius) & (gap < limit))
        total += np.bincount(called, cells.outside, len(total))
        claimed += np.bincount(called, lost, len(total))
    seen = np.flatnonzero(total >= _LEAST_CELLS)
    return {manifest.classes[k].name: float(claimed[k] / total[k]) for k in seen}


def _closed_set(vectors: FloatArray, manifest: Manifest) -> tuple[np.ndarray, np.ndarray]:
    """Best known class of each cell, and the squared distance to it; infinite without a metric."""
    if not len(manifest.prototypes):
        return vectors.argmax(axis=1), np.full(len(vectors), np.inf)
    distances = squared_distances(vectors, manifest.prototypes)
    return distances.argmin(axis=1), distances.min(axis=1)


def known_collision(claims: dict[str, float]) -> str:
    """Describe the known classes of which much is taken; "" = none."""
    worst = sorted((item for item in claims.items() if item[1] > _MANY), key=lambda item: -item[1])
    if not worst:
        return ""
    parts = ", ".join(f"{share:.0%} of {name}" for name, share in worst[:_WORST])
    return (
        f"outside of the masks the class takes {parts} (as the model calls it) in its own shots; "
        "with a smaller radius it takes less"
    )


def nearness(vectors: FloatArray, radius: float, manifest: Manifest, present: PrototypeSet) -> str:
    """Describe the class into whose half of the space the radius reaches; "" = none."""
    others = {info.name: manifest.prototypes[info.id : info.id + 1] for info in manifest.classes}
    others = {name: rows for name, rows in others.items() if len(rows)}
    others |= {item.name: item.vectors for item in present.classes}
    gaps = {name: float(squared_distances(vectors, rows).min()) for name, rows in others.items()}
    if not gaps:
        return ""
    name = min(gaps, key=lambda key: gaps[key])
    if gaps[name] / 4 >= radius:
        return ""
    return (
        f"the class lies close to {name}: its radius {radius:.3g} reaches past the middle between "
        f"both (squared distance {gaps[name]:.3g}); pixels there may go to either"
    )


def surely_known(
    shots: Sequence[Cells], vectors: FloatArray, manifest: Manifest
) -> tuple[str, float]:
    """Return the known class that holds most of the masks, and the share that is out of reach.

    Out of reach are cells that lie nearer to a prototype of a known class than to `vectors`.
    """
    lost = np.zeros(len(manifest.classes))
    for cells in shots:
        called, limit = _closed_set(cells.vectors, manifest)
        gap = squared_distances(cells.vectors, vectors).min(axis=1)
        lost += np.bincount(called, cells.inside * (limit <= gap), len(lost))
    area = sum(float(cells.inside.sum()) for cells in shots)
    return manifest.classes[int(lost.argmax())].name, float(lost.max() / area)
