"""Engines: one way to run a graph, several runtimes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from owseg.bundle import load_bundle
from owseg.engines.base import Engine, PrototypeSlots
from owseg.engines.choice import open_auto, open_tensorrt, open_with_fallback
from owseg.engines.fake import FakeEngine, fake_manifest
from owseg.engines.onnxruntime import OnnxRuntimeEngine
from owseg.errors import UsageError

__all__ = [
    "ENGINES",
    "Engine",
    "FakeEngine",
    "OnnxRuntimeEngine",
    "PrototypeSlots",
    "fake_manifest",
    "open_engine",
]


def _onnxruntime(model: str | Path, device: str) -> Engine:
    return OnnxRuntimeEngine(load_bundle(model), device)


def _fake(model: str | Path, device: str) -> Engine:
    return FakeEngine()


ENGINES: dict[str, Callable[[str | Path, str], Engine]] = {
    "onnxruntime": _onnxruntime,
    "tensorrt": open_tensorrt,
    "auto": open_auto,
    "fake": _fake,
}
"""Engines by name: (model path, device) -> engine."""

BUILT = ("tensorrt", "auto")
"""Engines that have to be built before they run, and that something else can stand in for."""


def open_engine(
    model: str | Path,
    engine: str = "onnxruntime",
    device: str = "auto",
    *,
    fallback: bool = False,
    heads: str = "auto",
) -> Engine:
    """Load a model bundle into an engine.

    "tensorrt" is an engine that 'owseg build' has made; "auto" is that where it fits, else
    "onnxruntime".

    Args:
        model: path of the bundle.
        engine: name in `ENGINES`.
        device: "auto", "cpu" or "cuda".
        fallback: of "tensorrt" and "auto": serve on ONNX Runtime while an engine is built in
            the background, and whenever it cannot be used; the engine's `notice` says so.
        heads: of "onnxruntime": who computes labels and scores, a name in
            `owseg.engines.onnxruntime.HEADS`.

    Raises:
        UsageError: no engine has this name, or it has no choice of heads.
        BundleError: the bundle cannot be used.
        MissingDependencyError: a package that it needs is not installed.
        EngineError: the engine cannot run it here.
    """
    if engine not in ENGINES:
        raise UsageError(f"no engine '{engine}'; there are {', '.join(ENGINES)}")
    if heads != "auto":
        if engine != "onnxruntime":
            raise UsageError(f"the engine '{engine}' has no choice of heads; use onnxruntime")
        return OnnxRuntimeEngine(load_bundle(model), device, heads=heads)
    if fallback and engine in BUILT:
        return open_with_fallback(model, device, needed=engine == "tensorrt")
    return ENGINES[engine](model, device)
