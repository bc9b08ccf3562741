"""The CUDA runtime by way of cuda-python: memory, one stream, graphs; errors as EngineError."""

from __future__ import annotations

import ctypes
import importlib
from typing import Any

import numpy as np

from owseg.errors import EngineError, MissingDependencyError
from owseg.types import UInt8Array

MODULES = ("cuda.bindings.runtime", "cuda.cudart")
"""The module of cuda-python, new and old name."""

_INSTALL = "pip install 'cuda-python>=12', of the CUDA version of your TensorRT"
_NO_GPU = "there is no usable NVIDIA GPU ({}); install its driver, or use the engine onnxruntime"
_MB = 1e6


class Cuda:
    """Calls of the CUDA runtime on one device; any thread may use it.

    Args:
        device: its number.

    Attributes:
        name: of the GPU.
        capability: its compute capability, major and minor.
        multiprocessors: their number.

    Raises:
        MissingDependencyError: cuda-python is not installed.
        EngineError: there is no GPU, or no driver that fits.
    """

    def __init__(self, device: int = 0) -> None:
        self.device = device
        self._api = _load()
        count = self._call("cudaGetDeviceCount")
        if device >= count:
            raise EngineError(f"there is no GPU number {device}; {count} can be seen here")
        self._call("cudaSetDevice", device)
        properties = self._call("cudaGetDeviceProperties", device)
        name = properties.name
        self.name = (name.decode() if isinstance(name, bytes) else str(name)).rstrip("\0")
        self.capability = (int(properties.major), int(properties.minor))
        self.multiprocessors = int(properties.multiProcessorCount)

    def use(self) -> None:
        """Make the device that of the calling thread."""
        self._call("cudaSetDevice", self.device)

    def free_bytes(self) -> tuple[int, int]:
        """Return the free and the whole memory of the GPU."""
        free, total = self._call("cudaMemGetInfo")
        return int(free), int(total)

    # Memory --------------------------------------------------------------------------------------

    def malloc(self, size: int) -> int:
        """Reserve memory of the GPU; returns its address."""
        return int(self._call("cudaMalloc", size, size=size))

    def free(self, address: int) -> None:
        """Give memory of the GPU back."""
        self._call("cudaFree", address)

    def pinned(self, size: int) -> UInt8Array:
        """Reserve page-locked memory of the host as an array of bytes."""
        address = int(self._call("cudaHostAlloc", size, 0, size=size))
        return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))

    def free_pinned(self, array: UInt8Array) -> None:
        """Give memory of `pinned` back; the array must not be used any more."""
        self._call("cudaFreeHost", array.ctypes.data)

    def upload(self, address: int, source: UInt8Array, stream: Any) -> None:
        """Copy a page-locked array to the GPU, in the order of the stream."""
        kind = self._api.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._call("cudaMemcpyAsync", address, source.ctypes.data, source.nbytes, kind, stream)

    def download(self, target: UInt8Array, address: int, stream: Any) -> None:
        """Copy memory of the GPU into a page-locked array, in the order of the stream."""
        kind = self._api.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._call("cudaMemcpyAsync", target.ctypes.data, address, target.nbytes, kind, stream)

    # Streams and graphs --------------------------------------------------------------------------

    def stream(self) -> Any:
        """Make a stream that waits for no other."""
        return self._call("cudaStreamCreateWithFlags", self._api.cudaStreamNonBlocking)

    def destroy_stream(self, stream: Any) -> None:
        """End a stream."""
        self._call("cudaStreamDestroy", stream)

    def synchronize(self, stream: Any) -> None:
        """Wait until all of a stream is done."""
        self._call("cudaStreamSynchronize", stream)

    def begin_capture(self, stream: Any) -> None:
        """Record what follows in a stream instead of doing it; other threads are not affected."""
        mode = self._api.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._call("cudaStreamBeginCapture", stream, mode)

    def end_capture(self, stream: Any) -> Any:
        """End the recording; returns a graph."""
        return self._call("cudaStreamEndCapture", stream)

    def instantiate(self, graph: Any) -> Any:
        """Make a recorded graph ready to run, and forget the recording."""
        try:
            return self._call("cudaGraphInstantiateWithFlags", graph, 0)
        finally:
            self.forget(graph)

    def forget(self, graph: Any) -> None:
        """Give a recording back."""
        self._call("cudaGraphDestroy", graph)

    def launch(self, graph: Any, stream: Any) -> None:
        """Run an instantiated graph in a stream."""
        self._call("cudaGraphLaunch", graph, stream)

    def destroy_graph(self, graph: Any) -> None:
        """Give an instantiated graph back."""
        self._call("cudaGraphExecDestroy", graph)

    def clear_error(self) -> None:
        """Forget the last error, such as that of a failed recording."""
        self._api.cudaGetLastError()

    # Calls ---------------------------------------------------------------------------------------

    def _call(self, name: str, *arguments: Any, size: int = 0) -> Any:
        """Call a function; returns its results without the error code.

        Raises:
            EngineError: it failed.
        """
        try:
            error, *results = getattr(self._api, name)(*arguments)
        except RuntimeError as failure:  # how cuda-python up to 12.6 says that there is no driver
            raise EngineError(_NO_GPU.format(" ".join(str(failure).split()))) from failure
        if error != self._api.cudaError_t.cudaSuccess:
            raise self._failure(name, error, size)
        return results[0] if len(results) == 1 else tuple(results)

    def _failure(self, name: str, error: Any, size: int) -> EngineError:
        codes = self._api.cudaError_t
        if error == codes.cudaErrorMemoryAllocation and name == "cudaHostAlloc":
            return EngineError(
                f"out of page-locked memory: {size / _MB:.1f} MB are needed; close other programs"
            )
        if error == codes.cudaErrorMemoryAllocation:
            return EngineError(f"out of GPU memory{self._shortage(size)}; {OUT_OF_MEMORY}")
        text = f"{_text(self._api.cudaGetErrorName(error))}: "
        text += _text(self._api.cudaGetErrorString(error))
        if error in (codes.cudaErrorInsufficientDriver, codes.cudaErrorNoDevice):
            return EngineError(_NO_GPU.format(text))
        return EngineError(f"CUDA failed in {name} ({text}); start again, or use onnxruntime")

    def _shortage(self, size: int) -> str:
        error, free, _ = self._api.cudaMemGetInfo()
        if error != self._api.cudaError_t.cudaSuccess or not size:
            return ""
        return f": {size / _MB:.1f} MB are needed, {free / _MB:.1f} MB are free"


OUT_OF_MEMORY = (
    "close other programs on the GPU, build with a smaller --batch or a lower --precision, or use "
    "a smaller model"
)
"""Remedy where the memory of the GPU is too small."""


def _load() -> Any:
    reasons = []
    for name in MODULES:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError:
            continue
        except Exception as error:  # its libraries do not load
            reasons.append(f" ({' '.join(str(error).split())[:160]})")
    raise MissingDependencyError(
        f"TensorRT engines need cuda-python, which cannot be imported{''.join(reasons)}: {_INSTALL}"
    )


def _text(result: Any) -> str:
    value = result[1]
    return value.decode() if isinstance(value, bytes) else str(value)
