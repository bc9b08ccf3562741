"""The TensorRT engine: one class for TensorRT 8.5 to 11 and for TensorRT for RTX.

It uses only calls that exist in all of them. Inputs and outputs lie in memory that is reserved
once; everything runs in the order of one stream:

    image up -> network (a CUDA graph where it can be recorded) -> outputs that are asked for down

Prototypes and threshold are copied only when they have changed. The copies lie outside of the
graph, so that a frame copies no output that nobody wants.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from owseg.bundle import OUTPUTS, Bundle
from owseg.engines.base import COMPACT, BaseEngine, Outputs, PrototypeSlots
from owseg.engines.compact import on_host
from owseg.engines.tensorrt.cuda import OUT_OF_MEMORY, Cuda
from owseg.engines.tensorrt.runtime import NO_MEMORY, TensorRT, make_log, start
from owseg.engines.tensorrt.tensors import IMAGE, Buffer, check_tensors, tensors_of
from owseg.errors import EngineError
from owseg.types import FloatArray, UInt8Array

_REBUILD = "build it again with 'owseg build --force'"

_WARM_UPS = 2
"""Runs of a batch size before its CUDA graph is recorded."""


class Copied(NamedTuple):
    """Bytes that one call copied to the GPU and from it."""

    up: int
    down: int


class TensorRTEngine(BaseEngine):
    """Runs a built engine; calls from several threads take turns.

    Args:
        bundle: the model that it was built from.
        plan: the built engine.
        trt: the TensorRT that it was built with.
        cuda: the GPU.
        graphs: whether to record CUDA graphs.

    Attributes:
        copied: bytes that the latest call copied.
        graph_problem: why the network runs without a CUDA graph; "" = with one, or not yet.

    Raises:
        EngineError: the engine is damaged, of another GPU, TensorRT or model, or does not fit
            into the memory of the GPU.
    """

    name = "tensorrt"
    device = "cuda"

    def __init__(
        self, bundle: Bundle, plan: bytes, trt: TensorRT, cuda: Cuda, *, graphs: bool = True
    ) -> None:
        super().__init__(bundle.manifest, bundle.space)
        self.copied = Copied(0, 0)
        self.graph_problem = "" if graphs else "switched off"
        self._cuda, self._title = cuda, trt.title
        self._lock = threading.Lock()
        self._cleanup: list[Callable[[], object]] = []
        self._buffers: dict[str, Buffer] = {}
        self._tensors: frozenset[str] = frozenset()
        self._fresh: set[str] = set()
        self._graph: Any = None
        self._stream: Any = None
        self._count, self._runs = 0, 0
        self._log = make_log(trt)
        self._context: Any = None
        self._owners: list[Any] = []
        try:
            self._open(trt, plan)
        except BaseException:
            self.close()
            raise

    def _open(self, trt: TensorRT, plan: bytes) -> None:
        self._cuda.use()
        runtime = start(trt, "Runtime", self._log)
        engine = runtime.deserialize_cuda_engine(plan)
        self._owners = [engine, runtime]
        if engine is None:
            raise self._failure("cannot load the engine", _REBUILD)
        tensors = tensors_of(engine)
        check_tensors(tensors, self.manifest)
        self._tensors = frozenset(tensors)
        fixed = tensors[IMAGE].shape[0]
        largest = engine.get_tensor_profile_shape(IMAGE, 0)[2][0] if fixed == -1 else fixed
        self._fixed, self._largest = fixed != -1, int(largest)
        self._stream = self._cuda.stream()
        self._cleanup.append(self._end_stream)
        for name, tensor in tensors.items():
            self._buffers[name] = buffer = Buffer(self._cuda, tensor, self._largest)
            self._cleanup.append(buffer.free)
        self._context = engine.create_execution_context()
        if self._context is None:
            raise self._failure("cannot start the engine", OUT_OF_MEMORY)
        for name, buffer in self._buffers.items():
            self._need(self._context.set_tensor_address(name, buffer.address))
        self._warm_up()

    def _warm_up(self) -> None:
        """Run black images until the network is as quick as it will be."""
        m = self.manifest
        black = np.zeros((1, m.height, m.width, 3), np.uint8)
        for _ in range(_WARM_UPS + 1):
            self.infer(black, PrototypeSlots.empty(m), 1.0)

    # Frames --------------------------------------------------------------------------------------

    def infer(
        self,
        images: UInt8Array,
        prototypes: PrototypeSlots,
        threshold: float,
        outputs: Sequence[str] = OUTPUTS[:3],
    ) -> Outputs:
        """Run the graph on a batch, in parts where it is larger than the engine was built for.

        See `Engine.infer`.
        """
        self.check_inputs(images, prototypes, threshold, outputs)
        if any(name in COMPACT and name not in self._tensors for name in outputs):
            return on_host(outputs, lambda plain: self.infer(images, prototypes, threshold, plain))
        with self._lock:
            if self._context is None:
                raise EngineError("the engine is closed")
            self._cuda.use()
            self.copied = Copied(0, 0)
            self._set("prototypes", prototypes.vectors)
            self._set("prototype_radius", prototypes.radius)
            self._set("prototype_valid", prototypes.valid)
            self._set("anomaly_threshold", np.array([threshold], np.float32))
            starts = range(0, len(images), self._largest)
            parts = [self._run(images[i : i + self._largest], outputs) for i in starts]
        if len(parts) == 1:
            return parts[0]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _set(self, name: str, value: FloatArray) -> None:
        """Copy an input to the GPU unless it is there already."""
        buffer = self._buffers[name]
        if name in self._fresh and np.array_equal(buffer.host, value):
            return
        self._fresh.discard(name)
        buffer.host[...] = value
        self._note(up=buffer.upload(self._stream))
        self._fresh.add(name)

    def _run(self, images: UInt8Array, outputs: Sequence[str]) -> Outputs:
        count = len(images)
        self._choose(self._largest if self._fixed else count)
        image = self._buffers[IMAGE]
        image.host[:count] = images
        self._note(up=image.upload(self._stream, count))
        self._execute()
        for name in outputs:
            self._note(down=self._buffers[name].download(self._stream, count))
        self._cuda.synchronize(self._stream)
        return {name: self._buffers[name].host[:count].copy() for name in outputs}

    def _choose(self, count: int) -> None:
        """Set the batch size of the network; a recorded graph holds for one size only."""
        if count == self._count:
            return
        self._drop_graph()
        self._count, self._runs = 0, 0
        shape = (count, self.manifest.height, self.manifest.width, 3)
        self._need(self._context.set_input_shape(IMAGE, shape))
        self._count = count

    def _execute(self) -> None:
        if self._graph is None and self._runs >= _WARM_UPS and not self.graph_problem:
            self._record()
        self._runs += 1
        if self._graph is not None:
            self._cuda.launch(self._graph, self._stream)
        else:
            self._need(self._context.execute_async_v3(int(self._stream)))

    def _record(self) -> None:
        """Record the network as a CUDA graph; where it cannot be, the plain way stays."""
        self._cuda.synchronize(self._stream)
        try:
            self._cuda.begin_capture(self._stream)
            accepted = self._context.execute_async_v3(int(self._stream))
            graph = self._cuda.end_capture(self._stream)
            if not accepted:
                self._cuda.forget(graph)
            self._need(accepted)
            self._graph = self._cuda.instantiate(graph)
        except EngineError as error:
            self._cuda.clear_error()
            self.graph_problem = str(error)

    def _end_stream(self) -> None:
        stream, self._stream = self._stream, None
        self._cuda.destroy_stream(stream)

    def _drop_graph(self) -> None:
        graph, self._graph = self._graph, None
        if graph is not None:
            self._cuda.destroy_graph(graph)

    def _note(self, up: int = 0, down: int = 0) -> None:
        self.copied = Copied(self.copied.up + up, self.copied.down + down)

    # Errors and the end --------------------------------------------------------------------------

    def _need(self, accepted: bool) -> None:
        if not accepted:
            raise self._failure("failed on the engine", _REBUILD)

    def _failure(self, what: str, remedy: str) -> EngineError:
        reason = self._log.reason()
        if NO_MEMORY.search(reason):
            remedy = OUT_OF_MEMORY
        return EngineError(
            f"{self._title} {what} of model '{self.manifest.name}' ({reason}); {remedy}"
        )

    def close(self) -> None:
        """Free the memory and the engine, once all that was asked of the GPU is done."""
        with self._lock:
            with contextlib.suppress(EngineError):
                self._cuda.use()
            with contextlib.suppress(EngineError):
                if self._stream is not None:  # a call that failed half-way leaves work in it
                    self._cuda.synchronize(self._stream)
            with contextlib.suppress(EngineError):
                self._drop_graph()
            self._context = None
            while self._owners:  # the context first, then the engine, then the runtime
                self._owners.pop(0)
            cleanup, self._cleanup = self._cleanup, []
            self._buffers = {}
            for step in reversed(cleanup):
                with contextlib.suppress(EngineError):
                    step()
