"""Open a model by the name of an engine, with all that may stand in for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from owseg.bundle import Bundle, load_bundle
from owseg.engines.background import Tell, build_in_background
from owseg.engines.base import Engine
from owseg.engines.cache import EngineCache
from owseg.engines.onnxruntime import OnnxRuntimeEngine
from owseg.engines.switching import SwitchingEngine
from owseg.engines.tensorrt.cached import check_usable, open_cached
from owseg.errors import EngineError, MissingDependencyError, OutputError

BUILDING = "building the TensorRT engine"


def open_tensorrt(model: str | Path, device: str) -> Engine:
    """Load the TensorRT engine of a model from the cache.

    Raises:
        BundleError: the bundle cannot be used.
        MissingDependencyError: TensorRT or cuda-python is not installed.
        EngineError: no engine fits, there is no GPU, or the CPU is asked for.
        OutputError: there is no home directory to look for engines in.
    """
    _refuse_cpu(device)
    return open_cached(load_bundle(model), EngineCache())


def open_auto(model: str | Path, device: str) -> Engine:
    """Load the TensorRT engine of a model where there is one that fits, else ONNX Runtime.

    Raises:
        BundleError: the bundle cannot be used.
        EngineError: ONNX Runtime cannot run it here.
    """
    bundle = load_bundle(model)
    if device == "cpu" or tensorrt_obstacle():
        return OnnxRuntimeEngine(bundle, device)
    try:
        return open_cached(bundle, EngineCache())
    except (EngineError, OutputError) as error:
        engine = OnnxRuntimeEngine(bundle, device)
        engine.notice, engine.degraded = str(error), True
        return engine


def open_with_fallback(model: str | Path, device: str, *, needed: bool) -> Engine:
    """Serve with TensorRT if at all possible, with ONNX Runtime until then and otherwise.

    Where no engine fits, one is built in the background.

    Args:
        model: the bundle.
        device: where it runs.
        needed: whether TensorRT was asked for by name, so that its absence is worth a notice.

    Raises:
        BundleError: the bundle cannot be used.
        EngineError: ONNX Runtime cannot run it here, or TensorRT is to run on the CPU.
    """
    if needed:
        _refuse_cpu(device)
    bundle = load_bundle(model)
    obstacle = "it is told to run on the CPU" if device == "cpu" else tensorrt_obstacle()
    if obstacle and not needed:
        return OnnxRuntimeEngine(bundle, device)
    plain = _plain(bundle)
    if obstacle:
        return _stand_in(plain, obstacle)
    try:
        cache = EngineCache()
    except OutputError as error:
        return _stand_in(plain, str(error))
    try:
        return SwitchingEngine(plain, open_cached(bundle, cache))
    except EngineError as error:
        engine = SwitchingEngine(plain)
        engine.replace_with(_maker(bundle, cache), f"{BUILDING} ({error})")
        return engine


def _stand_in(plain: Callable[[str], Engine], why: str) -> SwitchingEngine:
    """Return ONNX Runtime in place of a TensorRT engine that there cannot be."""
    engine = SwitchingEngine(plain)
    engine.say(why, degraded=True)
    return engine


def _refuse_cpu(device: str) -> None:
    if device == "cpu":
        raise EngineError("the engine tensorrt runs on a GPU only; for the cpu use onnxruntime")


def tensorrt_obstacle() -> str:
    """Say why there can be no TensorRT engine here, "" = there can."""
    try:
        check_usable()
    except (MissingDependencyError, EngineError) as error:
        return str(error)
    return ""


def _plain(bundle: Bundle) -> Callable[[str], Engine]:
    return lambda device: OnnxRuntimeEngine(bundle, device)


def _maker(bundle: Bundle, cache: EngineCache) -> Callable[[Tell, threading.Event], Engine]:
    def make(tell: Tell, stop: threading.Event) -> Engine:
        build_in_background(bundle.path, tell, stop)
        return open_cached(bundle, cache)

    return make
