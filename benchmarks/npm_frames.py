"""Embedded frames, the shots that they make, and what a graph would claim in them.

Shared by the benchmarks of learning from a few examples. Claims are computed from embeddings
as the graph does it: squared distances, enlarged bilinearly, Eq. 12 of DMLNet.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from owseg.datasets import CamVid
from owseg.datasets.base import Sample
from owseg.engines import Engine, PrototypeSlots
from owseg.grouping import connected_components
from owseg.manifest import Manifest
from owseg.prototypes.examples import CLASS, IGNORE, OTHER
from owseg.prototypes.pooling import Cells, make_cells
from owseg.resize import fit_image
from owseg.types import FloatArray, UInt8Array

VOID = 255
FIGURES = ("old", "old, void", "novel", "harmonic")
SMALLEST_CLUSTER = 1000
PUREST = 0.7
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Embedded:
    """A frame that went through the network.

    Attributes:
        sample: its files.
        embedding: (D, h, w) float32.
        open_set: (H, W) uint8 at the default threshold, 255 = unknown.
        truth: (H, W) uint8 ids of the model; N = the class to learn, 255 = void.
    """

    sample: Sample
    embedding: FloatArray
    open_set: UInt8Array
    truth: UInt8Array


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidate:
    """A frame that a shot can be taken from, with the mask of the class."""

    frame: Embedded
    mask: UInt8Array

    def cells(self) -> Cells:
        """Return the cells of the shot."""
        return make_cells(self.frame.embedding, self.mask, self.frame.sample.name)


@dataclass(frozen=True, kw_only=True, eq=False)
class Learnt:
    """Prototypes, their radius, and prototypes that claim nothing but hold others off."""

    vectors: FloatArray
    radius: float
    guards: FloatArray | None = None


# Data ------------------------------------------------------------------------------------------


def embed_split(engine: Engine, root: Path, split: str, name: str) -> list[Embedded]:
    """Run the network over a split of CamVid; the class `name` is the one to learn."""
    reader = CamVid(root, split)
    return [_embedded(engine, sample, id_table(engine.manifest, reader, name)) for sample in reader]


def _embedded(engine: Engine, sample: Sample, table: UInt8Array) -> Embedded:
    manifest = engine.manifest
    image, labels = sample.load()
    size = (manifest.width, manifest.height)
    outputs = engine.infer(
        fit_image(image, manifest)[None],
        PrototypeSlots.empty(manifest),
        manifest.threshold(),
        ("embedding", "open_set"),
    )
    return Embedded(
        sample=sample,
        embedding=outputs["embedding"][0].astype(np.float32),
        open_set=outputs["open_set"][0].astype(np.uint8),
        truth=cv2.resize(table[labels], size, interpolation=cv2.INTER_NEAREST_EXACT),
    )


def id_table(manifest: Manifest, reader: CamVid, name: str) -> UInt8Array:
    """Return the table (256,) from label ids to ids of the model; N = the class to learn."""
    table = np.full(256, VOID, np.uint8)
    for label, label_name in enumerate(reader.label_space.names):
        if label_name in manifest.class_names:
            table[label] = manifest.class_names.index(label_name)
    table[reader.label_space.id_of(name)] = len(manifest.classes)
    return table


def drawn(frames: Sequence[Embedded], novel: int, least: float, most: float) -> list[Candidate]:
    """Return frames whose share of the class lies in (least, most], with the true mask.

    Void is not the class, as in a mask that somebody draws.
    """
    masks = [np.where(frame.truth == novel, CLASS, OTHER).astype(np.uint8) for frame in frames]
    return [
        Candidate(frame=frame, mask=mask)
        for frame, mask in zip(frames, masks, strict=True)
        if least < (mask == CLASS).mean() <= most
    ]


def clicked(frames: Sequence[Embedded], novel: int) -> Iterator[Candidate]:
    """Yield unknown objects of 1000 pixels or more that mostly are the class, as found.

    The rest of the mask is as for `owseg prototypes add --cluster`: other unknown objects say
    nothing, and what of the object is called known counts as something else.
    """
    for frame in frames:
        clusters = connected_components(frame.open_set)
        for number in range(1, int(clusters.max(initial=0)) + 1):
            chosen = clusters == number
            if chosen.sum() < SMALLEST_CLUSTER or (frame.truth[chosen] == novel).mean() < PUREST:
                continue
            mask = np.where(clusters > 0, IGNORE, OTHER).astype(np.uint8)
            mask[chosen] = CLASS
            yield Candidate(frame=frame, mask=mask)


# Figures ---------------------------------------------------------------------------------------


class Judge:
    """Tells what a graph would say about frames.

    Args:
        frames: embedded frames.
        known: (N, D) prototypes of the known classes.
    """

    def __init__(self, frames: Sequence[Embedded], known: FloatArray) -> None:
        self._frames = frames
        distances = [enlarged(frame, known) for frame in frames]
        self._best = [d.argmin(axis=0).astype(np.uint8) for d in distances]
        self._limit = [d.min(axis=0) for d in distances]
        self._novel = len(known)

    def confusion(self, learnt: Learnt | None) -> Counts:
        """(N + 1, N + 1) pixels by true and predicted class."""
        counts = np.zeros((self._novel + 1) ** 2, np.int64)
        for frame, best, limit in zip(self._frames, self._best, self._limit, strict=True):
            pred = (
                best
                if learnt is None
                else np.where(claims(frame, learnt, limit), self._novel, best)
            )
            valid = frame.truth != VOID
            pairs = frame.truth[valid].astype(np.int64) * (self._novel + 1) + pred[valid]
            counts += np.bincount(pairs, minlength=counts.size)
        return counts.reshape(self._novel + 1, -1)


def enlarged(frame: Embedded, prototypes: FloatArray) -> FloatArray:
    """Squared distances (M, H, W) to prototypes, enlarged as in the graph."""
    f, size = frame.embedding, frame.truth.shape[::-1]
    norms = np.square(f).sum(axis=0) + np.square(prototypes).sum(axis=1)[:, None, None]
    distances = norms - 2 * np.tensordot(prototypes, f, 1)
    return np.stack([cv2.resize(d, size, interpolation=cv2.INTER_LINEAR) for d in distances])


def claims(frame: Embedded, learnt: Learnt, limit: FloatArray) -> npt.NDArray[np.bool_]:
    """Pixels that the class claims: Eq. 12."""
    nearest = enlarged(frame, learnt.vectors).min(axis=0)
    claimed = (nearest < learnt.radius) & (nearest < limit)
    if learnt.guards is not None:
        claimed &= nearest < enlarged(frame, learnt.guards).min(axis=0)
    return claimed


def figures_of(confusion: Counts) -> dict[str, float]:
    """Return the figures in percent."""
    novel = len(confusion) - 1
    seen = confusion[:novel].sum(axis=1) > 0
    both, without = ious(confusion), ious(confusion[:novel])
    old, new = float(both[:novel][seen].mean()), float(both[novel])
    harmonic = 2 * old * new / (old + new) if old + new else 0.0
    values = (old, float(without[:novel][seen].mean()), new, harmonic)
    return {name: 100 * value for name, value in zip(FIGURES, values, strict=True)}


def ious(confusion: Counts) -> npt.NDArray[np.float64]:
    """Return the IoU of each class of a confusion matrix that may lack rows of truth."""
    hits = np.array(
        [confusion[k, k] if k < len(confusion) else 0 for k in range(confusion.shape[1])]
    )
    true = np.zeros(confusion.shape[1])
    true[: len(confusion)] = confusion.sum(axis=1)
    union = true + confusion.sum(axis=0) - hits
    ratio: npt.NDArray[np.float64] = hits / np.maximum(union, 1)
    return ratio
