"""Inputs and outputs of an engine: read once, compared with the manifest, and their memory."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from owseg.engines.tensorrt.cuda import Cuda
from owseg.errors import EngineError
from owseg.manifest import Manifest
from owseg.types import UInt8Array

IMAGE = "image"
_TYPES = {"FLOAT": np.float32, "HALF": np.float16, "UINT8": np.uint8}
_OPTIONAL = ("anomaly_f16",)
_LABELS, _NUMBERS, _SCORES = ("UINT8",), ("FLOAT",), ("FLOAT", "HALF")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """An input or output.

    Attributes:
        name: of the tensor.
        is_input: whether it is an input.
        kind: its type, in the words of TensorRT.
        shape: its shape; -1 = as long as the batch.
    """

    name: str
    is_input: bool
    kind: str
    shape: tuple[int, ...]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type in numpy."""
        return np.dtype(_TYPES[self.kind])


def tensors_of(engine: Any) -> dict[str, Tensor]:
    """Read the inputs and outputs of an engine."""
    found = {}
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        found[name] = Tensor(
            name=name,
            is_input=engine.get_tensor_mode(name).name == "INPUT",
            kind=engine.get_tensor_dtype(name).name,
            shape=tuple(int(size) for size in engine.get_tensor_shape(name)),
        )
    return found


def check_tensors(found: dict[str, Tensor], m: Manifest) -> None:
    """Compare inputs and outputs with those that a manifest promises.

    Raises:
        EngineError: they differ: the engine is of another model.
    """
    expected = _expected(m)
    for tensor in found.values():
        if tensor.name not in expected and (tensor.is_input or tensor.kind not in _TYPES):
            raise EngineError(_other(m, f"it has a '{tensor.name}' of {tensor.kind}"))
    for name, (is_input, kinds, shape) in expected.items():
        if name not in found and name in _OPTIONAL:
            continue
        if name not in found:
            raise EngineError(_other(m, f"it has no '{name}'"))
        tensor = found[name]
        same = len(tensor.shape) == len(shape) and all(
            want == -1 or got == want for got, want in zip(tensor.shape, shape, strict=True)
        )
        if not same or tensor.kind not in kinds or tensor.is_input != is_input:
            raise EngineError(
                _other(
                    m,
                    f"its {name} is {tensor.kind} {_size(tensor.shape)}, not "
                    f"{' or '.join(kinds)} {_size(shape)}",
                )
            )


def _expected(m: Manifest) -> dict[str, tuple[bool, tuple[str, ...], tuple[int, ...]]]:
    """Return (input or not, types, shape) by name."""
    return {
        IMAGE: (True, _LABELS, (-1, m.height, m.width, 3)),
        "prototypes": (True, _NUMBERS, (m.slots, m.embedding_size)),
        "prototype_radius": (True, _NUMBERS, (m.slots,)),
        "prototype_valid": (True, _NUMBERS, (m.slots,)),
        "anomaly_threshold": (True, _NUMBERS, (1,)),
        "known": (False, _LABELS, (-1, m.height, m.width)),
        "anomaly": (False, _SCORES, (-1, m.height, m.width)),
        "open_set": (False, _LABELS, (-1, m.height, m.width)),
        "direction": (False, _SCORES, (-1, 2, *m.grid)),
        "embedding": (False, _SCORES, (-1, m.embedding_size, *m.grid)),
        "anomaly_u8": (False, _LABELS, (-1, m.height, m.width)),
        "anomaly_f16": (False, ("HALF",), (-1, m.height, m.width)),
    }


def _other(m: Manifest, why: str) -> str:
    return (
        f"the TensorRT engine is not of model '{m.name}': {why}; build it again with 'owseg build'"
    )


def _size(shape: tuple[int, ...]) -> str:
    return "x".join("B" if size == -1 else str(size) for size in shape)


class Buffer:
    """Memory of one tensor on the GPU, and page-locked memory beside it from its first use.

    Args:
        cuda: reserves it.
        tensor: what it is for.
        batch: length of a dimension of -1.

    Raises:
        EngineError: out of GPU memory.
    """

    def __init__(self, cuda: Cuda, tensor: Tensor, batch: int) -> None:
        self.tensor = tensor
        self._cuda = cuda
        self._shape = tuple(batch if size == -1 else size for size in tensor.shape)
        self._bytes = math.prod(self._shape) * tensor.dtype.itemsize
        self._pinned: UInt8Array | None = None
        self.address = cuda.malloc(self._bytes)

    @property
    def host(self) -> npt.NDArray[Any]:
        """The page-locked memory as an array of the whole batch."""
        if self._pinned is None:
            self._pinned = self._cuda.pinned(self._bytes)
        return self._pinned.view(self.tensor.dtype).reshape(self._shape)

    def upload(self, stream: Any, count: int | None = None) -> int:
        """Copy the first items of the batch, or all, to the GPU; returns the bytes."""
        part = self._part(count)
        self._cuda.upload(self.address, part, stream)
        return part.nbytes

    def download(self, stream: Any, count: int) -> int:
        """Copy the first items of the batch from the GPU; returns the bytes."""
        part = self._part(count)
        self._cuda.download(part, self.address, stream)
        return part.nbytes

    def _part(self, count: int | None) -> UInt8Array:
        array = self.host if count is None else self.host[:count]
        return array.reshape(-1).view(np.uint8)

    def free(self) -> None:
        """Give the memory back."""
        pinned, self._pinned = self._pinned, None
        try:
            if pinned is not None:
                self._cuda.free_pinned(pinned)
        finally:
            self._cuda.free(self.address)
