"""What every engine offers, and the checks that they share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from owseg.bundle import OUTPUTS
from owseg.closing import Closing
from owseg.errors import EngineError
from owseg.manifest import Manifest
from owseg.types import FloatArray, UInt8Array

if TYPE_CHECKING:
    from typing_extensions import Self

COMPACT = ("anomaly_u8", "anomaly_f16")
"""Further outputs that every engine can give: the score in fewer bytes, see `compact`."""

Outputs = dict[str, npt.NDArray[np.generic]]
"""Arrays by output name, as in the contract of the graph."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrototypeSlots:
    """Novel prototypes in the slots of a graph.

    Attributes:
        vectors: (K, D) float32.
        radius: (K,) float32, squared distance within which a slot claims a pixel.
        valid: (K,) float32, 1 = slot in use.
    """

    vectors: FloatArray
    radius: FloatArray
    valid: FloatArray

    @classmethod
    def empty(cls, manifest: Manifest) -> PrototypeSlots:
        """Return slots of which none is in use."""
        slots = manifest.slots
        return cls(
            vectors=np.zeros((slots, manifest.embedding_size), np.float32),
            radius=np.zeros(slots, np.float32),
            valid=np.zeros(slots, np.float32),
        )

    def check(self, manifest: Manifest) -> None:
        """Check shapes, dtypes and values.

        Raises:
            EngineError: the slots do not fit the graph, or hold NaN.
        """
        slots, size = manifest.slots, manifest.embedding_size
        expected = {"vectors": (slots, size), "radius": (slots,), "valid": (slots,)}
        for name, shape in expected.items():
            array: npt.NDArray[np.generic] = getattr(self, name)
            if array.shape != shape or array.dtype != np.float32:
                raise EngineError(
                    f"model '{manifest.name}' takes prototype {name} of shape {shape} float32, "
                    f"got {array.shape} {array.dtype}"
                )
            if not np.isfinite(array).all():
                raise EngineError(f"prototype {name} hold NaN or infinite values")


class Engine(Protocol):
    """Runs a graph. A context manager: resources are freed on exit.

    Attributes:
        name: name of the runtime.
        manifest: what the model says of itself.
        space: the embedding space that its prototypes belong to (`Bundle.space`).
    """

    name: str
    manifest: Manifest
    space: str

    def infer(
        self,
        images: UInt8Array,
        prototypes: PrototypeSlots,
        threshold: float,
        outputs: Sequence[str] = OUTPUTS[:3],
    ) -> Outputs:
        """Run the graph on a batch.

        Args:
            images: (B, H, W, 3) uint8 RGB at the resolution of the manifest.
            prototypes: novel prototypes.
            threshold: anomaly threshold, 0..1.
            outputs: names of the outputs to fetch, also in `COMPACT`; others are not copied.

        Raises:
            EngineError: wrong shapes, or the runtime failed.
        """
        ...

    def close(self) -> None:
        """Free what the engine holds; it cannot be used afterwards."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...


class BaseEngine(Closing):
    """Context management and input checks for engines.

    Attributes:
        notice: what the operator should know, "" = nothing.
        degraded: whether that is a worse state than what was asked for.
    """

    name = "base"
    notice = ""
    degraded = False

    def __init__(self, manifest: Manifest, space: str) -> None:
        self.manifest = manifest
        self.space = space

    def check_inputs(
        self,
        images: UInt8Array,
        prototypes: PrototypeSlots,
        threshold: float,
        outputs: Sequence[str],
    ) -> None:
        """Check a request against the manifest.

        Raises:
            EngineError: wrong shape or dtype, NaN prototypes, threshold out of range, no output
                or an unknown one.
        """
        m = self.manifest
        if images.ndim != 4 or not len(images) or images.shape[1:] != (m.height, m.width, 3):
            raise EngineError(
                f"model '{m.name}' takes (B, {m.height}, {m.width}, 3) images, got {images.shape}"
            )
        if images.dtype != np.uint8:
            raise EngineError(f"model '{m.name}' takes uint8 images, got {images.dtype}")
        if not 0.0 <= threshold <= 1.0:
            raise EngineError(f"the anomaly threshold must be in 0..1, got {threshold}")
        prototypes.check(m)
        unknown = [name for name in outputs if name not in (*OUTPUTS, *COMPACT)]
        if unknown or not outputs:
            wrong = f"no output '{unknown[0]}'" if unknown else "no output is asked for"
            raise EngineError(f"{wrong}; there are {', '.join(OUTPUTS)}")

    def close(self) -> None:
        """Free what the engine holds."""
