"""ONNX Runtime: CPU anywhere, CUDA where its package and a GPU are."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from threading import Lock
from typing import Any

import numpy as np

from owseg.bundle import OUTPUTS, Bundle
from owseg.engines.base import COMPACT, BaseEngine, Outputs, PrototypeSlots
from owseg.engines.compact import on_host
from owseg.engines.heads.fused import MAPS, FusedHeads
from owseg.engines.heads.proof import prove
from owseg.engines.heads.spec import head_spec
from owseg.engines.ort_cuda import NO_CUDA, made_for_cuda
from owseg.engines.ort_device import DeviceRunner
from owseg.engines.ort_sessions import NETWORK, PROVIDERS, Sessions
from owseg.errors import EngineError, MissingDependencyError, UsageError
from owseg.types import FloatArray, UInt8Array

DEVICES = ("auto", *PROVIDERS)

HEADS = ("auto", "graph", "fused")
"""Who turns the embedding into labels and scores: the graph, or the fused heads on the CPU."""


class OnnxRuntimeEngine(BaseEngine):
    """Runs a bundle with ONNX Runtime.

    On a CPU it runs the network up to its embedding, and the fused heads do the rest. Before
    their first use they have to agree with the graph on a picture; frames whose embedding is not
    finite are left to the graph.

    Args:
        bundle: a checked bundle.
        device: "cpu", "cuda", or "auto": CUDA when it is there.
        threads: threads for one operator and for the fused heads; 0 = one per core.
        heads: "graph", "fused", or "auto": fused where they can be used, on a CPU.
        cuda_graph: on CUDA, capture the graph once and replay it with one launch.
        cut: run only what the outputs that are asked for need, in sessions that each hold the
            weights; None = on a CPU.

    Attributes:
        device: where it runs.
        threads: threads in use.
        timings_ms: milliseconds of the stages of the latest call: "network" and "heads" with the
            fused heads, else "graph"; on CUDA also "copy in" and "copy out".
        note: why the graph's heads are in use though "auto" was asked for; "" = no reason.

    Raises:
        EngineError: the device is not available, the graph cannot be loaded, or the fused heads
            cannot be used with this model.
        UsageError: unknown heads, or fused ones on a GPU.
        MissingDependencyError: fused heads without numba.
    """

    name = "onnxruntime"

    def __init__(
        self,
        bundle: Bundle,
        device: str = "auto",
        threads: int = 0,
        heads: str = "auto",
        cuda_graph: bool = False,
        cut: bool | None = None,
    ) -> None:
        if heads not in HEADS:
            raise UsageError(f"no heads '{heads}'; there are {', '.join(HEADS)}")
        self.manifest = bundle.manifest
        self.device = _choose_device(device)
        self.threads = threads or len(os.sched_getaffinity(0))
        self.note = ""
        self.timings_ms: dict[str, float] = {}
        self._wanted = heads
        self._proven = False
        self._lock = Lock()
        self._runners: dict[int, DeviceRunner] = {}
        try:
            self._open(bundle, cuda_graph, cut)
        except EngineError as error:
            if self.device != "cuda" or device != "auto":
                raise
            self.device, self.notice = "cpu", str(error)
            self._open(bundle, cuda_graph, cut)
        super().__init__(bundle.manifest, bundle.space)

    def _open(self, bundle: Bundle, cuda_graph: bool, cut: bool | None) -> None:
        """Choose the heads and open the first session on the device.

        Raises:
            EngineError: the session cannot be opened, or not on this device.
        """
        self._fused = self._choose_heads(self._wanted)
        self._cuda_graph = cuda_graph and self.device == "cuda"
        sessions = Sessions(
            bundle,
            self.device,
            self.threads,
            cut=self.device == "cpu" if cut is None else cut,
            cuda_graph=self._cuda_graph,
        )
        try:
            sessions.get(OUTPUTS if self._fused is None else ("embedding",))
        except BaseException:
            if self._fused is not None:
                self._fused.close()
            raise
        self._sessions: Sessions | None = sessions

    @property
    def heads(self) -> str:
        """Who computes labels and scores: "graph" or "fused"."""
        return "graph" if self._fused is None else "fused"

    def infer(
        self,
        images: UInt8Array,
        prototypes: PrototypeSlots,
        threshold: float,
        outputs: Sequence[str] = OUTPUTS[:3],
    ) -> Outputs:
        """Run the graph on a batch; see `Engine.infer`."""
        self.check_inputs(images, prototypes, threshold, outputs)
        if self.device == "cpu" and not set(COMPACT).isdisjoint(outputs):
            return on_host(outputs, lambda plain: self.infer(images, prototypes, threshold, plain))
        maps = [name for name in outputs if name in MAPS]
        if self._fused is not None and maps:
            self._prove_once()
        if self._fused is None or not maps:
            return self._run(outputs, images, prototypes, threshold)
        others = {*outputs}.difference(maps) | {"embedding"}
        started = time.perf_counter()
        arrays = self._run(sorted(others), images, prototypes, threshold)
        between = time.perf_counter()
        embedding: FloatArray = arrays["embedding"]  # type: ignore[assignment]
        found = self._fused.run(embedding, prototypes, threshold, maps)
        if found is None:
            return self._run(outputs, images, prototypes, threshold)
        ended = time.perf_counter()
        self.timings_ms = {
            "network": (between - started) * 1e3,
            "heads": (ended - between) * 1e3,
        }
        arrays.update(found)
        return {name: arrays[name] for name in outputs}

    def close(self) -> None:
        """Free the sessions and end the threads of the heads."""
        self._sessions = None
        self._runners.clear()
        if self._fused is not None:
            self._fused.close()

    def _run(
        self,
        outputs: Sequence[str],
        images: UInt8Array,
        prototypes: PrototypeSlots,
        threshold: float,
    ) -> Outputs:
        """Run the graph, or as much of it as the outputs need."""
        if self._sessions is None:
            raise EngineError("the engine is closed")
        session = self._sessions.get(outputs)
        feed = _feed(images, prototypes, threshold)
        if self.device == "cpu" and set(NETWORK).issuperset(outputs):
            feed = {"image": images}
        return self._fetch(session, outputs, feed)

    def _fetch(self, session: Any, outputs: Sequence[str], feed: dict[str, Any]) -> Outputs:
        try:
            if self.device == "cuda":
                return self._on_device(session, outputs, feed)
            started = time.perf_counter()
            arrays = session.run(list(outputs), feed)
            self.timings_ms = {"graph": (time.perf_counter() - started) * 1e3}
        except Exception as error:
            reason = str(error).splitlines()[0][:200]
            raise EngineError(f"ONNX Runtime failed on '{self.manifest.name}': {reason}") from error
        return dict(zip(outputs, arrays, strict=True))

    def _embed(self, images: UInt8Array) -> FloatArray:
        """Run the network alone."""
        none = PrototypeSlots.empty(self.manifest)
        embedding: FloatArray = self._run(("embedding",), images, none, 1.0)["embedding"]  # type: ignore[assignment]
        return embedding

    def _heads_of_graph(
        self,
        images: UInt8Array,
        embedding: FloatArray,
        prototypes: PrototypeSlots,
        threshold: float,
    ) -> Outputs:
        """Run what follows the embedding, without a second network in memory."""
        assert self._sessions is not None
        session = self._sessions.heads()
        feed = {"embedding": embedding, **_feed(images, prototypes, threshold)}
        return self._fetch(
            session, MAPS, {node.name: feed[node.name] for node in session.get_inputs()}
        )

    def _on_device(self, session: Any, outputs: Sequence[str], feed: dict[str, Any]) -> Outputs:
        with self._lock:
            runner = self._runners.setdefault(
                id(session), DeviceRunner(session, self.device, cuda_graph=self._cuda_graph)
            )
        arrays, self.timings_ms = runner.run(outputs, feed)
        return arrays

    def _choose_heads(self, wanted: str) -> FusedHeads | None:
        """Return the fused heads, or None where those of the graph are in use."""
        if wanted == "graph" or (wanted == "auto" and self.device != "cpu"):
            return None
        if self.device != "cpu":
            raise UsageError("the fused heads run on a CPU; on a GPU use the heads graph")
        size = (self.manifest.height, self.manifest.width)
        try:
            return FusedHeads(head_spec(self.manifest), size, self.threads)
        except (EngineError, MissingDependencyError) as error:
            if wanted == "fused":
                raise
            self.note = str(error)
            return None

    def _prove_once(self) -> None:
        """Compare the fused heads with the graph; leave them where they differ.

        Raises:
            EngineError: they differ, and fused heads were asked for.
        """
        with self._lock:
            if self._proven or self._fused is None or self._sessions is None:
                return
            gap = prove(self.manifest, self._embed, self._heads_of_graph, self._fused)
            self._proven = not gap
            if not gap:
                return
            self.note = f"the fused heads differ from the graph of '{self.manifest.name}': {gap}"
            if self._wanted == "fused":
                raise EngineError(f"{self.note}; use the heads graph, or export the model again")
            self._fused.close()
            self._fused = None


def _feed(images: UInt8Array, prototypes: PrototypeSlots, threshold: float) -> dict[str, Any]:
    """Return the inputs of the graph by name."""
    return {
        "image": images,
        "prototypes": prototypes.vectors,
        "prototype_radius": prototypes.radius,
        "prototype_valid": prototypes.valid,
        "anomaly_threshold": np.array([threshold], np.float32),
    }


def _choose_device(device: str) -> str:
    if device not in DEVICES:
        raise EngineError(f"no device '{device}'; there are {', '.join(DEVICES)}")
    has_cuda = made_for_cuda()
    if device == "cuda" and not has_cuda:
        raise EngineError(NO_CUDA)
    return "cuda" if device != "cpu" and has_cuda else "cpu"
