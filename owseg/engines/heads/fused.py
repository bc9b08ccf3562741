"""The fused heads of one model: threads over rows, the per-image scale, the slots in use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from owseg.engines.heads.sampling import Sampling, sampling
from owseg.engines.heads.spec import HeadSpec
from owseg.jit import warm_up
from owseg.types import FloatArray, UInt8Array

if TYPE_CHECKING:
    from owseg.engines.base import Outputs, PrototypeSlots
    from owseg.engines.heads.kernel import Classes, Novel

MAPS = ("known", "anomaly", "open_set")
"""Outputs of the graph that the heads compute."""

_CHUNKS = 4
"""Parts of an image for each thread: one that is held up leaves its parts to the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Maps:
    """Where results go; a map that is not wanted has no pixels."""

    known: UInt8Array
    anomaly: FloatArray
    open_set: UInt8Array


class FusedHeads:
    """Computes labels, scores and decisions of one model from its embedding.

    The results are those of the graph's own heads up to rounding: scores to 1e-4, labels but
    where two distances tie. They do not depend on the number of threads, and those of a pixel do
    not depend on prototypes that do not claim it. It can be used from several threads at once.

    Args:
        spec: the heads.
        size: (H, W) of the maps.
        threads: threads over the rows, at least 1.

    Raises:
        MissingDependencyError: numba is not installed.
    """

    def __init__(self, spec: HeadSpec, size: tuple[int, int], threads: int = 1) -> None:
        self.spec = spec
        self.size = size
        self.threads = threads
        self._fuse = _compiled()
        self._pool = ThreadPoolExecutor(threads, "owseg-heads") if threads > 1 else None

    def run(
        self,
        embedding: FloatArray,
        prototypes: PrototypeSlots,
        threshold: float,
        outputs: Sequence[str] = MAPS,
    ) -> Outputs | None:
        """Compute the maps that are asked for.

        Args:
            embedding: (B, D, h, w) float32.
            prototypes: novel prototypes, checked.
            threshold: anomaly threshold, 0..1.
            outputs: names in MAPS.

        Returns:
            The maps (B, H, W) by name; None where the embedding is not finite, or so large that
            float32 distances mean nothing (a length above 1e4).
        """
        embedding = np.require(embedding, np.float32, ("C", "W"))
        novel = self._novel(prototypes)
        arrays: Outputs = {
            name: np.empty(
                (len(embedding), *self.size), np.float32 if name == "anomaly" else np.uint8
            )
            for name in outputs
        }
        for index, image in enumerate(embedding):
            maps = _maps({name: array[index] for name, array in arrays.items()})
            classes = self._scaled(image)
            if classes is None or not self._rows(image, classes, novel, threshold, maps):
                return None
        return arrays

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown()

    def _scaled(self, image: FloatArray) -> Classes | None:
        """Return the classes with the scale of the score, measured where it is one per image."""
        spec = self.spec
        if not spec.per_image:
            return _classes(spec, spec.method, spec.low, spec.high - spec.low)
        method = "eds" if spec.method == "mixture" else spec.method
        raw = np.empty(self.size, np.float32)
        classes = _classes(spec, method, np.nan, np.nan)
        if not self._rows(image, classes, self._novel(None), 1.0, _maps({"anomaly": raw})):
            return None
        low, high = float(raw.min()), float(raw.max())
        span = -low if method == "eds" else max(high - low, 1e-6)
        return _classes(spec, spec.method, low, span)

    def _novel(self, prototypes: PrototypeSlots | None) -> Novel:
        """Return the slots that can claim a pixel."""
        from owseg.engines.heads.kernel import Novel

        size = self.spec.prototypes.shape[1]
        used = np.zeros(0, np.int64)
        vectors, radius = np.zeros((0, size), np.float32), np.zeros(0, np.float32)
        if prototypes is not None:
            used = np.flatnonzero((prototypes.valid >= 0.5) & (prototypes.radius > 0))
            vectors, radius = prototypes.vectors[used], prototypes.radius[used]
        return Novel(
            vectors=np.ascontiguousarray(vectors),
            norms=np.square(vectors).sum(axis=1),
            reach=radius,
            ids=(used + self.spec.classes).astype(np.int32),
        )

    def _rows(
        self, image: FloatArray, classes: Classes, novel: Novel, threshold: float, maps: _Maps
    ) -> bool:
        """Compute all rows of one image, in parts; False where the embedding is out of range."""
        places: Sampling = sampling((image.shape[1], image.shape[2]), self.size)
        wanted = _wanted(maps)
        limit = np.float32(threshold)

        def part(rows: tuple[int, int]) -> bool:
            done: bool = self._fuse(
                image,
                classes,
                novel,
                places,
                *rows,
                wanted,
                limit,
                maps.known,
                maps.anomaly,
                maps.open_set,
            )
            return done

        height = self.size[0]
        if self._pool is None:
            return part((0, height))
        step = -(-height // (self.threads * _CHUNKS))
        parts = [(start, min(start + step, height)) for start in range(0, height, step)]
        return all(list(self._pool.map(part, parts)))


def _maps(wanted: dict[str, Any]) -> _Maps:
    nothing = np.empty((0, 0), np.uint8)
    return _Maps(
        known=wanted.get("known", nothing),
        anomaly=wanted.get("anomaly", nothing.astype(np.float32)),
        open_set=wanted.get("open_set", nothing),
    )


def _wanted(maps: _Maps) -> int:
    from owseg.engines.heads.kernel import ANOMALY, KNOWN, OPEN_SET

    codes = {"known": KNOWN, "anomaly": ANOMALY, "open_set": OPEN_SET}
    return sum(code for name, code in codes.items() if getattr(maps, name).size)


def _classes(spec: HeadSpec, method: str, low: float, span: float) -> Classes:
    from owseg.engines.heads import kernel

    scores = {
        "eds": kernel.EDS,
        "msp": kernel.MSP,
        "mmsp": kernel.MSP,
        "entropy": kernel.ENTROPY,
        "energy": kernel.ENERGY,
        "max_logit": kernel.MAX_LOGIT,
        "mixture": kernel.MIXTURE,
    }
    vectors = np.array(spec.prototypes, np.float32, order="C")
    return kernel.Classes(
        vectors=vectors,
        norms=np.square(vectors).sum(axis=1),
        number=spec.classes,
        score=scores[method],
        low=np.float32(low),
        span=np.float32(span),
    )


@lru_cache(maxsize=1)
def _compiled() -> Callable[..., bool]:
    """Return the kernel, compiled; the first time on a machine this takes some seconds."""
    from owseg.engines.heads import kernel

    warm_up(lambda: _try(kernel.fuse), kernel)
    compiled: Callable[..., bool] = kernel.fuse
    return compiled


def _try(fuse: Callable[..., bool]) -> None:
    """Compute one pixel, so that everything is compiled."""
    from owseg.engines.heads.kernel import Novel

    spec = HeadSpec(
        prototypes=np.zeros((1, 1), np.float32),
        classes=1,
        method="eds",
        form="constant",
        low=0.0,
        high=1.0,
    )
    nothing = np.zeros(0, np.float32)
    novel = Novel(np.zeros((0, 1), np.float32), nothing, nothing, np.zeros(0, np.int32))
    byte, score = np.zeros((1, 1), np.uint8), np.zeros((1, 1), np.float32)
    image = np.zeros((1, 1, 1), np.float32)
    classes, place = _classes(spec, "eds", 0.0, 1.0), sampling((1, 1), (1, 1))
    fuse(image, classes, novel, place, 0, 1, 7, np.float32(0.5), byte, score, byte)
