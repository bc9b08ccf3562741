"""An engine without a network: its outputs are simple, exact functions of the pixels.

Part of the product: tests of everything behind the engine, and users who
want to try the wiring before they have a model, use it.

- known: the red value scaled to the number of classes;
- anomaly: the blue value / 255;
- embedding: red and green / 255 of the first pixel of each cell, then zeros;
- direction: zero.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from owseg.bundle import OUTPUTS
from owseg.datasets.label_spaces import CAMVID11
from owseg.engines.base import BaseEngine, Outputs, PrototypeSlots
from owseg.engines.compact import on_host
from owseg.errors import EngineError
from owseg.manifest import Manifest, OperatingPoint
from owseg.types import UNKNOWN_ID, ClassInfo, FloatArray, UInt8Array

FAKE_SPACE = hashlib.sha256(b"owseg fake engine").hexdigest()
"""The embedding space of every fake engine: red and green, then zeros."""

_FAR = np.float32(1e9)


class FakeEngine(BaseEngine):
    """Computes the contract's outputs from colours.

    Args:
        manifest: input size, classes and slots; `fake_manifest()` by default.
    """

    name = "fake"

    def __init__(self, manifest: Manifest | None = None) -> None:
        super().__init__(manifest or fake_manifest(), FAKE_SPACE)

    def infer(
        self,
        images: UInt8Array,
        prototypes: PrototypeSlots,
        threshold: float,
        outputs: Sequence[str] = OUTPUTS[:3],
    ) -> Outputs:
        """Compute the outputs; see `Engine.infer`."""
        self.check_inputs(images, prototypes, threshold, outputs)
        known, anomaly, embedding = self._evidence(images)
        claimed, slot = self._claims(embedding, prototypes)
        known = np.where(claimed, slot + len(self.manifest.classes), known).astype(np.uint8)
        unknown = (anomaly > np.float32(threshold)) & ~claimed
        arrays: Outputs = {
            "known": known,
            "anomaly": anomaly,
            "open_set": np.where(unknown, np.uint8(UNKNOWN_ID), known),
            "direction": np.zeros((len(images), 2, *self.manifest.grid), np.float32),
            "embedding": embedding,
        }
        return on_host(outputs, lambda names: {name: arrays[name] for name in names})

    def _evidence(self, images: UInt8Array) -> tuple[UInt8Array, FloatArray, FloatArray]:
        classes = len(self.manifest.classes)
        known = (images[..., 0].astype(np.uint16) * classes // 256).astype(np.uint8)
        anomaly = images[..., 2].astype(np.float32) / np.float32(255)
        stride, size = self.manifest.stride, self.manifest.embedding_size
        embedding = np.zeros((len(images), size, *self.manifest.grid), np.float32)
        embedding[:, :2] = images[:, ::stride, ::stride, :2].transpose(0, 3, 1, 2) / np.float32(255)
        return known, anomaly, embedding

    def _claims(
        self, embedding: FloatArray, prototypes: PrototypeSlots
    ) -> tuple[np.typing.NDArray[np.bool_], np.typing.NDArray[np.intp]]:
        difference = embedding[:, None] - prototypes.vectors[None, :, :, None, None]
        distances = np.square(difference).sum(axis=2)
        reach = np.where(prototypes.valid > 0.5, np.minimum(prototypes.radius, _FAR), 0)
        distances = np.where(distances < reach[:, None, None], distances, _FAR)
        nearest = distances.argmin(axis=1)
        inside = distances.min(axis=1) < _FAR
        stride, m = self.manifest.stride, self.manifest
        claimed = inside.repeat(stride, 1).repeat(stride, 2)
        slot = nearest.repeat(stride, 1).repeat(stride, 2)
        return claimed[:, : m.height, : m.width], slot[:, : m.height, : m.width]


def fake_manifest(
    height: int = 96, width: int = 128, classes: Sequence[str] | None = None, slots: int = 8
) -> Manifest:
    """Return a manifest for `FakeEngine`.

    Args:
        height: input height, at least 4 pixels.
        width: input width, at least 4 pixels.
        classes: class names; the ten known classes of CamVid split A by default.
        slots: number of novel-prototype slots.

    Raises:
        EngineError: the size is too small.
    """
    if height < 4 or width < 4:
        raise EngineError(f"the fake engine needs at least 4x4 pixels, got {width}x{height}")
    names = tuple(classes or (n for n in CAMVID11.names if n != "car"))
    palette = dict(zip(CAMVID11.names, CAMVID11.colors, strict=True))
    infos = tuple(
        ClassInfo(id=i, name=n, color=palette.get(n, (37 * i % 256, 91 * i % 256, 151 * i % 256)))
        for i, n in enumerate(names)
    )
    return Manifest(
        name="fake",
        classes=infos,
        height=height,
        width=width,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        stride=4,
        prototypes=np.zeros((0, max(2, len(names))), np.float32),
        slots=slots,
        score={"method": "blue"},
        operating_points=(OperatingPoint(name="half", threshold=0.5, fitted_on="nothing"),),
        default_operating_point="half",
        license={"weights": "none", "training_data": "none"},
    )
