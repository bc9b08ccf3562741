"""Do the fused heads compute what a graph computes? Both look at one picture."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from owseg.engines.heads.sampling import sampling
from owseg.manifest import Manifest
from owseg.types import FloatArray, UInt8Array

if TYPE_CHECKING:
    from owseg.engines.base import Outputs, PrototypeSlots
    from owseg.engines.heads.fused import FusedHeads

Indices = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]

LABELS = 1e-3
"""Largest share of pixels with another label or decision, but for those that tie."""

SCORES = 1e-3
"""Largest mean difference of the score; rounding stays far below it."""

TIE = 1e-4
"""Relative difference below which two distances tie."""

_NAMES = ("known", "anomaly", "open_set")
_TILE = 16
_NOVEL = 3


def prove(
    manifest: Manifest,
    embed: Callable[[UInt8Array], FloatArray],
    heads: Callable[[UInt8Array, FloatArray, PrototypeSlots, float], Outputs],
    fused: FusedHeads,
) -> str:
    """Compare both, with novel prototypes that claim a part of the picture.

    Args:
        manifest: the model.
        embed: the graph up to its embedding: images -> embedding.
        heads: the rest of it: (images, embedding, prototypes, threshold) -> the three maps.
        fused: the fused heads.

    Returns:
        What differs; "" where nothing does.
    """
    image = _picture(manifest)
    embedding = embed(image)
    if not np.isfinite(embedding).all():
        return "its embedding of a test picture is not finite"
    slots = _slots(manifest, embedding)
    scores: Any = fused.run(embedding, slots, 1.0, ("anomaly",))
    if scores is None:
        return "its embedding of a test picture is out of range"
    threshold = float(np.median(scores["anomaly"]))
    expected: dict[str, Any] = heads(image, embedding, slots, threshold)
    found: Any = fused.run(embedding, slots, threshold, _NAMES)
    other = expected["known"][0] != found["known"][0]
    ties = _ties(manifest, embedding[0], slots, expected["known"][0], found["known"][0], other)
    sure = ~other & (np.abs(expected["anomaly"][0] - threshold) > SCORES)
    decided = (expected["open_set"][0] != found["open_set"][0]) & sure
    for name, wrong in (("known", int(other.sum()) - ties), ("open_set", int(decided.sum()))):
        if wrong > LABELS * other.size:
            return f"{wrong / other.size:.1%} of a test picture has another value in '{name}'"
    gap = float(np.abs(expected["anomaly"] - found["anomaly"]).mean())
    return f"the score differs by {gap:.2g} on average" if not gap <= SCORES else ""


def _picture(manifest: Manifest) -> UInt8Array:
    """Return tiles of random colours with noise, (1, H, W, 3)."""
    rng = np.random.default_rng(0)
    rows, columns = -(-manifest.height // _TILE), -(-manifest.width // _TILE)
    tiles = rng.integers(0, 256, (rows, columns, 3)).repeat(_TILE, 0).repeat(_TILE, 1)
    noisy = tiles[: manifest.height, : manifest.width] + rng.normal(
        0, 10, (manifest.height, manifest.width, 3)
    )
    return np.clip(noisy, 0, 255).astype(np.uint8)[None]


def _slots(manifest: Manifest, embedding: FloatArray) -> PrototypeSlots:
    """Return prototypes that are cells of the embedding, each reaching a tenth of the others."""
    from owseg.engines.base import PrototypeSlots

    slots = PrototypeSlots.empty(manifest)
    cells = embedding[0].reshape(embedding.shape[1], -1).T
    rng = np.random.default_rng(1)
    for slot in range(min(_NOVEL, manifest.slots)):
        vector = cells[rng.integers(len(cells))]
        slots.vectors[slot] = vector
        slots.radius[slot] = np.quantile(np.square(cells - vector).sum(axis=1), 0.1)
        slots.valid[slot] = 1.0
    return slots


def _ties(
    manifest: Manifest,
    f: FloatArray,
    slots: PrototypeSlots,
    one: UInt8Array,
    two: UInt8Array,
    places: npt.NDArray[np.bool_],
) -> int:
    """Count the places where both labels are right up to rounding.

    Args:
        manifest: the model.
        f: (D, h, w) embedding.
        slots: novel prototypes.
        one: (H, W) label.
        two: (H, W) label.
        places: (H, W) where they differ.
    """
    rows, columns = np.nonzero(places)
    costs, scale = _costs(manifest, f, slots, rows, columns)
    pixels, count = np.arange(len(rows)), len(manifest.classes)
    a, b = one[rows, columns].astype(np.int64), two[rows, columns].astype(np.int64)
    valid = np.maximum(a, b) < costs.shape[1]
    a, b = np.where(valid, a, 0), np.where(valid, b, 0)
    near = np.abs(costs[pixels, a] - costs[pixels, b]) <= TIE * scale
    for label in (a, b):  # or one of them is a novel class at the border of its reach
        reach = slots.radius[np.maximum(label - count, 0)]
        near |= (label >= count) & (np.abs(costs[pixels, label] - reach) <= TIE * reach)
    return int((near & valid).sum())


def _costs(
    manifest: Manifest, f: FloatArray, slots: PrototypeSlots, rows: Indices, columns: Indices
) -> tuple[Doubles, Doubles]:
    """Return what is smallest for the right label, (n, N + K), and its scale, (n,)."""
    size = manifest.height, manifest.width
    down, across = sampling(f.shape[1:], size), sampling(f.shape[:0:-1], size[::-1])
    total, norm = np.zeros((len(rows), len(f))), np.zeros(len(rows))
    for y, row in ((down.upper, 1 - down.down), (down.lower, down.down)):
        for x, column in ((across.upper, 1 - across.down), (across.lower, across.down)):
            weight = row[rows].astype(np.float64) * column[columns]
            cells = f[:, y[rows], x[columns]].T.astype(np.float64)
            total += weight[:, None] * cells
            norm += weight * np.square(cells).sum(axis=1)

    def distances(vectors: FloatArray) -> Doubles:
        lengths = np.square(vectors.astype(np.float64)).sum(axis=1)
        found: Doubles = norm[:, None] - 2 * total @ vectors.T + lengths
        return found

    known = distances(manifest.prototypes) if len(manifest.prototypes) else -total
    costs = np.concatenate([known, distances(slots.vectors)], axis=1)
    return costs, np.abs(costs).max(axis=1, initial=0.0)
