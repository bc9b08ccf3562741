"""A CUDA runtime that does what it is told only when somebody waits for it.

Memory of the GPU is out of reach of the host. What is put into a stream runs in its order, and
not before the stream is waited for: who reads a result too early, or overwrites the source of a
copy too early, gets wrong numbers. Copies from and to memory that is not page-locked are noted
in `sins`, and so is everything else that a real GPU would not forgive.
"""

from __future__ import annotations

import ctypes
import enum
import itertools
import types

from fake_nvidia import SETUP

FIRST_ADDRESS = 0x7F00_0000_0000


class Error(enum.IntEnum):
    cudaSuccess = 0  # noqa: N815
    cudaErrorInvalidValue = 1  # noqa: N815
    cudaErrorMemoryAllocation = 2  # noqa: N815
    cudaErrorInsufficientDriver = 35  # noqa: N815
    cudaErrorNoDevice = 100  # noqa: N815
    cudaErrorInvalidDevice = 101  # noqa: N815
    cudaErrorIllegalAddress = 700  # noqa: N815
    cudaErrorStreamCaptureUnsupported = 900  # noqa: N815
    cudaErrorStreamCaptureInvalidated = 901  # noqa: N815


class Kind(enum.IntEnum):
    cudaMemcpyHostToHost = 0  # noqa: N815
    cudaMemcpyHostToDevice = 1  # noqa: N815
    cudaMemcpyDeviceToHost = 2  # noqa: N815


class CaptureMode(enum.IntEnum):
    cudaStreamCaptureModeGlobal = 0  # noqa: N815
    cudaStreamCaptureModeThreadLocal = 1  # noqa: N815


class Handle:
    """A stream or graph; streams turn into integers, as those of cuda-python do."""

    numbers = itertools.count(0x1000)

    def __init__(self, work=()):
        self.number = next(self.numbers)
        self.work = list(work)
        self.recording = None
        self.alive = True

    def __int__(self):
        return self.number


class FakeCuda:
    """The functions of the module; each returns a tuple that begins with an error."""

    cudaError_t, cudaMemcpyKind, cudaStreamCaptureMode = Error, Kind, CaptureMode  # noqa: N815
    cudaStreamNonBlocking = 1  # noqa: N815

    def __init__(self):
        self.device = {}
        self.pinned = {}
        self.streams, self.graphs, self.execs = {}, {}, {}
        self.calls = []
        self.copied = {"up": 0, "down": 0}
        self.sins = []
        self.last = Error.cudaSuccess
        self._next = FIRST_ADDRESS

    # For tests -----------------------------------------------------------------------------------

    def leaks(self):
        """Say what was never given back."""
        kinds = {
            "memory": self.device,
            "pinned": self.pinned,
            "streams": self.streams,
            "graphs": self.graphs,
            "execs": self.execs,
        }
        return {name: len(things) for name, things in kinds.items() if things}

    def find(self, address, size):
        """Return (bytes, offset) of memory of the GPU; None = nobody reserved it."""
        for start, memory in self.device.items():
            if start <= address and address + size <= start + len(memory):
                return memory, address - start
        return None

    def enqueue(self, number, work):
        """Put work into a stream, or into what is being recorded of it."""
        stream = self.streams.get(int(number))
        if stream is None:
            self.sins.append(f"no stream {int(number)}")
            return Error.cudaErrorInvalidValue
        (stream.work if stream.recording is None else stream.recording).append(work)
        return Error.cudaSuccess

    def failure(self, name):
        """Return the error that a test wants of a function: (error, after so many calls)."""
        wanted = SETUP.fails(name)
        if not wanted:
            return Error.cudaSuccess
        code, after = wanted
        done = sum(call == name for call in self.calls) - 1
        return Error(code) if done >= after else Error.cudaSuccess

    def _enter(self, name):
        self.calls.append(name)
        if not SETUP.capability:
            if SETUP.cuda == "cuda.cudart":
                raise RuntimeError("Failed to dlopen libcuda.so.1")
            return Error.cudaErrorInsufficientDriver
        error = self.failure(name)
        self.last = error or self.last  # stays until somebody asks for it
        return error

    # Device --------------------------------------------------------------------------------------

    def cudaGetDeviceCount(self):  # noqa: N802
        error = self._enter("cudaGetDeviceCount")
        return (error, None if error else 1)

    def cudaSetDevice(self, device):  # noqa: N802
        error = self._enter("cudaSetDevice")
        return (error or (Error.cudaErrorInvalidDevice if device else error),)

    def cudaGetDeviceProperties(self, device):  # noqa: N802
        error = self._enter("cudaGetDeviceProperties")
        if error:
            return (error, None)
        major, minor = SETUP.capability
        name = SETUP.gpu.encode() + b"\0" * 8
        sizes = {"major": major, "minor": minor, "multiProcessorCount": SETUP.multiprocessors}
        return (error, types.SimpleNamespace(name=name, **sizes))

    def cudaMemGetInfo(self):  # noqa: N802
        error = self._enter("cudaMemGetInfo")
        return (error, None, None) if error else (error, self._free(), SETUP.memory)

    def _free(self):
        return SETUP.memory - sum(len(memory) for memory in self.device.values())

    def cudaGetErrorName(self, error):  # noqa: N802
        return (Error.cudaSuccess, error.name.encode())

    def cudaGetErrorString(self, error):  # noqa: N802
        return (Error.cudaSuccess, f"text of {int(error)}".encode())

    def cudaGetLastError(self):  # noqa: N802
        error, self.last = self.last, Error.cudaSuccess
        return (error,)

    # Memory --------------------------------------------------------------------------------------

    def cudaMalloc(self, size):  # noqa: N802
        error = self._enter("cudaMalloc")
        if not error and size > self._free():
            error = Error.cudaErrorMemoryAllocation
        if error:
            return (error, None)
        address = self._next
        self._next += size + 512
        self.device[address] = bytearray(b"\xcd" * size)
        return (error, address)

    def cudaFree(self, address):  # noqa: N802
        error = self._enter("cudaFree")
        if self.device.pop(address, None) is None:
            self.sins.append("memory that nobody has was given back")
        return (error,)

    def cudaHostAlloc(self, size, flags):  # noqa: N802
        error = self._enter("cudaHostAlloc")
        if error:
            return (error, None)
        memory = (ctypes.c_uint8 * size)(*([0xAB] * min(size, 64)))
        self.pinned[ctypes.addressof(memory)] = memory
        return (error, ctypes.addressof(memory))

    def cudaFreeHost(self, address):  # noqa: N802
        error = self._enter("cudaFreeHost")
        if self.pinned.pop(address, None) is None:
            self.sins.append("page-locked memory that nobody has was given back")
        return (error,)

    def cudaMemcpyAsync(self, to, source, size, kind, stream):  # noqa: N802
        error = self._enter("cudaMemcpyAsync")
        if error:
            return (error,)
        up = kind is Kind.cudaMemcpyHostToDevice
        host, address = (source, to) if up else (to, source)
        if not self._is_pinned(host, size):
            self.sins.append("a copy from or to memory that is not page-locked")
        place = self.find(address, size)
        if place is None or kind is Kind.cudaMemcpyHostToHost:
            self.sins.append("a copy outside of the memory of the GPU")
            return (Error.cudaErrorIllegalAddress,)
        self.copied["up" if up else "down"] += size
        memory, offset = place

        def work():
            if up:
                memory[offset : offset + size] = ctypes.string_at(host, size)
            else:
                ctypes.memmove(host, bytes(memory[offset : offset + size]), size)

        return (self.enqueue(stream, work),)

    def _is_pinned(self, address, size):
        return any(
            start <= address and address + size <= start + len(memory)
            for start, memory in self.pinned.items()
        )

    # Streams and graphs --------------------------------------------------------------------------

    def cudaStreamCreateWithFlags(self, flags):  # noqa: N802
        error = self._enter("cudaStreamCreateWithFlags")
        if error:
            return (error, None)
        stream = Handle()
        self.streams[int(stream)] = stream
        return (error, stream)

    def cudaStreamDestroy(self, stream):  # noqa: N802
        error = self._enter("cudaStreamDestroy")
        self.streams.pop(int(stream))
        if stream.work:
            self.sins.append("a stream with work in it was destroyed")
        return (error,)

    def cudaStreamSynchronize(self, stream):  # noqa: N802
        error = self._enter("cudaStreamSynchronize")
        if error:
            return (error,)
        if stream.recording is not None:
            stream.recording = None
            return (Error.cudaErrorStreamCaptureUnsupported,)
        work, stream.work = stream.work, []
        for step in work:
            step()
        return (error,)

    def cudaStreamBeginCapture(self, stream, mode):  # noqa: N802
        error = self._enter("cudaStreamBeginCapture")
        if error:
            return (error,)
        if mode is not CaptureMode.cudaStreamCaptureModeThreadLocal:
            self.sins.append("a recording that disturbs other threads")
        stream.recording = []
        return (error,)

    def cudaStreamEndCapture(self, stream):  # noqa: N802
        error = self._enter("cudaStreamEndCapture")
        recorded, stream.recording = stream.recording, None
        if error or recorded is None:
            return (error or Error.cudaErrorStreamCaptureInvalidated, None)
        graph = Handle(recorded)
        self.graphs[int(graph)] = graph
        return (error, graph)

    def cudaGraphInstantiateWithFlags(self, graph, flags):  # noqa: N802
        error = self._enter("cudaGraphInstantiateWithFlags")
        if error:
            return (error, None)
        ready = Handle(graph.work)
        self.execs[int(ready)] = ready
        return (error, ready)

    def cudaGraphDestroy(self, graph):  # noqa: N802
        error = self._enter("cudaGraphDestroy")
        self.graphs.pop(int(graph))
        return (error,)

    def cudaGraphLaunch(self, ready, stream):  # noqa: N802
        error = self._enter("cudaGraphLaunch")
        if error:
            return (error,)
        if int(ready) not in self.execs:
            self.sins.append("a graph that was given back was launched")
        for work in ready.work:
            self.enqueue(stream, work)
        return (error,)

    def cudaGraphExecDestroy(self, ready):  # noqa: N802
        error = self._enter("cudaGraphExecDestroy")
        self.execs.pop(int(ready))
        return (error,)


CUDA = FakeCuda()
