"""The nouns of online learning: a novel class, the shots it came from, and the whole set."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from owseg.engines.base import PrototypeSlots
from owseg.errors import PrototypeError
from owseg.manifest import Manifest
from owseg.types import UNKNOWN_ID, ClassInfo, FloatArray, UInt8Array

MAX_NAME = 64
"""Longest class name, in characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """An example that a class was learnt from.

    Attributes:
        image_sha256: SHA-256 of the raw RGB bytes of the image, hexadecimal.
        pixels: pixels of the mask at the resolution of the image.
        source: where it came from, e.g. a file name or "drive.mcap frame 12 cluster 3".
    """

    image_sha256: str
    pixels: int
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NovelClass:
    """A class that was learnt from examples.

    Attributes:
        id: value in the known map; append-only, never used again after a removal.
        name: unique, non-empty, at most `MAX_NAME` characters.
        color: RGB, each 0..255.
        radius: squared distance within which its prototypes claim a pixel; > 0.
        vectors: (M, D) float32, M >= 1 prototypes.
        shots: what it was learnt from.
        created_ns: time of creation, nanoseconds since the epoch.
        changed_ns: time of the last change.
    """

    id: int
    name: str
    color: tuple[int, int, int]
    radius: float
    vectors: FloatArray
    shots: tuple[Shot, ...] = ()
    created_ns: int = 0
    changed_ns: int = 0

    @property
    def info(self) -> ClassInfo:
        """The class as it appears in legends."""
        return ClassInfo(id=self.id, name=self.name, color=self.color)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrototypeSet:
    """All novel classes at one version.

    Attributes:
        space: embedding space they belong to (`Bundle.space`), "" = none: there was no class
            yet, or every change was undone.
        version: grows with every change of the store.
        classes: the classes, in the order of their ids.
    """

    space: str = ""
    version: int = 0
    classes: tuple[NovelClass, ...] = field(default=())

    @property
    def num_vectors(self) -> int:
        """Number of slots that the set needs."""
        return sum(len(item.vectors) for item in self.classes)

    def slots(self, manifest: Manifest) -> tuple[PrototypeSlots, UInt8Array]:
        """Lay the vectors out in the slots of a graph.

        Returns:
            The slots, and the table (256,) uint8 from values of the graph's `known` and
            `open_set` outputs to class ids: known classes and 255 stay, N + slot becomes
            the id of the class that owns the slot.

        Raises:
            PrototypeError: more vectors than slots, vectors of another length, or ids that
                collide with the known classes or 255.
        """
        self._check(manifest)
        slots = PrototypeSlots.empty(manifest)
        table = np.arange(256, dtype=np.uint8)
        first = len(manifest.classes)
        slot = 0
        for item in self.classes:
            for vector in item.vectors:
                slots.vectors[slot], slots.radius[slot], slots.valid[slot] = vector, item.radius, 1
                table[first + slot] = item.id
                slot += 1
        return slots, table

    def _check(self, manifest: Manifest) -> None:
        if self.num_vectors > manifest.slots:
            raise PrototypeError(
                f"{self.num_vectors} prototypes do not fit the {manifest.slots} slots of model "
                f"'{manifest.name}'; remove a class, or export with more slots"
            )
        for item in self.classes:
            size = item.vectors.shape[1]
            if size != manifest.embedding_size:
                raise PrototypeError(
                    f"class '{item.name}' has prototypes of length {size}, model "
                    f"'{manifest.name}' has embeddings of length {manifest.embedding_size}; "
                    "learn the class again with this model"
                )
            if not len(manifest.classes) <= item.id < UNKNOWN_ID:
                raise PrototypeError(
                    f"class '{item.name}' has the id {item.id}, which model '{manifest.name}' "
                    f"uses itself; novel classes have {len(manifest.classes)}..{UNKNOWN_ID - 1}"
                )
