"""Engines: one way to run a graph, several runtimes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from owseg.bundle import load_bundle
from owseg.engines.base import Engine, PrototypeSlots
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
    "fake": _fake,
}
"""Engines by name: (model path, device) -> engine."""


def open_engine(model: str | Path, engine: str = "onnxruntime", device: str = "auto") -> Engine:
    """Load a model bundle into an engine.

    Raises:
        UsageError: no engine has this name.
        BundleError: the bundle cannot be used.
        EngineError: the engine cannot run it here.
    """
    if engine not in ENGINES:
        raise UsageError(f"no engine '{engine}'; there are {', '.join(ENGINES)}")
    return ENGINES[engine](model, device)
