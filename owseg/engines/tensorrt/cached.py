"""Engines by way of the cache: build what is missing, load what fits."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from owseg.bundle import Bundle
from owseg.engines.cache import EngineCache, Entry
from owseg.engines.cache_key import EngineKey, model_digest
from owseg.engines.tensorrt.build import BuildOptions, EngineBuilder, check_target
from owseg.engines.tensorrt.cuda import Cuda
from owseg.engines.tensorrt.engine import TensorRTEngine
from owseg.engines.tensorrt.progress import Report
from owseg.engines.tensorrt.runtime import FLAVOURS, TensorRT, find_tensorrt
from owseg.engines.tensorrt.trtexec import trtexec_line
from owseg.errors import (
    BundleError,
    EngineError,
    MissingDependencyError,
    OutputError,
    UsageError,
)

_ROOM_FACTOR = 6
_ROOM_EXTRA = 64 << 20
"""An engine takes at most about six times its ONNX file (float16 weights, widened, and code)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """A GPU that engines are built for.

    Attributes:
        name: of the GPU; "" = any of its compute capability.
        capability: major and minor.
        multiprocessors: their number.
    """

    name: str
    capability: tuple[int, int]
    multiprocessors: int = 0

    @property
    def target(self) -> str:
        """Its compute capability in the words of TensorRT for RTX, e.g. "SM89"."""
        return f"SM{self.capability[0]}{self.capability[1]}"


def gpu_of(target: str) -> Gpu:
    """Return the GPU that a target such as "SM89" or "SM120" stands for.

    Raises:
        UsageError: it does not look like one.
    """
    digits = target.removeprefix("SM")
    if digits == target or not digits.isdecimal() or len(digits) < 2:
        raise UsageError(f"no target '{target}'; expected the like of SM86 or SM120")
    return Gpu(name="", capability=(int(digits[:-1]), int(digits[-1])))


def key_of(
    trt: TensorRT, gpu: Gpu, digest: str, precision: str, inputs: str, workspace: int
) -> EngineKey:
    """Return the key of an engine.

    Engines of TensorRT for RTX fit any GPU of their compute capability; others only the very
    model of GPU that they were measured on.
    """
    return EngineKey(
        model=digest,
        flavour=trt.flavour,
        version=trt.version,
        gpu="" if trt.rtx else gpu.name,
        capability=".".join(map(str, gpu.capability)),
        multiprocessors=0 if trt.rtx else gpu.multiprocessors,
        precision=precision,
        inputs=inputs,
        workspace=workspace,
    )


# Building ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """An engine that was asked for.

    Attributes:
        entry: where it is.
        fresh: whether it was built now; False = it was there.
        line: the equivalent call of trtexec.
        readable: whether trtexec can surely read the ONNX file in that line.
    """

    entry: Entry
    fresh: bool
    line: str
    readable: bool


def _silent(share: float, phase: str) -> None:
    """Report nothing."""


def build_cached(
    bundle: Bundle,
    options: BuildOptions,
    cache: EngineCache,
    *,
    targets: Sequence[str] = (),
    force: bool = False,
    save_onnx: Path | None = None,
    report: Report = _silent,
    announce: Callable[[TensorRT, EngineKey], None] = lambda trt, key: None,
    waiting: Callable[[], None] = lambda: None,
) -> list[Result]:
    """Build the engines of a model that are not in the cache yet.

    Args:
        bundle: the model.
        options: the user's choices.
        cache: where they are kept.
        targets: GPUs that are not here, e.g. ("SM86", "SM89"), by TensorRT for RTX; () = the
            GPU here.
        force: build also what is in the cache.
        save_onnx: where to write the graph as the parser gets it; None = nowhere.
        report: is told how far a build has come.
        announce: is told what is going to be built, before each build.
        waiting: is told that another process builds the same engine.

    Raises:
        MissingDependencyError: TensorRT or cuda-python is not installed.
        EngineError: there is no GPU, or TensorRT cannot build the model as asked.
        OutputError: the cache cannot be written.
        UsageError: an option makes no sense.
    """
    trt = find_tensorrt(("tensorrt_rtx",) if targets else tuple(FLAVOURS))
    gpus = [gpu_of(target) for target in targets] or [_gpu_to_build_on(trt)]
    for target in targets:
        check_target(trt, target)
    cache.prepare(_ROOM_FACTOR * bundle.path.stat().st_size + _ROOM_EXTRA)
    digest = _digest(bundle)
    builder = EngineBuilder(trt, bundle, options)
    _digest(bundle)  # what was parsed is still what the key says
    if save_onnx is not None:
        _save(builder.onnx, save_onnx)
    onnx = bundle.path if save_onnx is None else save_onnx
    readable = not builder.changes or save_onnx is not None
    results = []
    for gpu in gpus:
        key = key_of(trt, gpu, digest, builder.precision, builder.inputs, options.workspace)
        with cache.lock(key, waiting):
            entry = None if force else _intact(cache, key)
            if fresh := entry is None:
                announce(trt, key)
                entry = _build(builder, trt, key, gpu, cache, bundle, report)
            assert entry is not None
        line = trtexec_line(trt, key, onnx, entry.path, cache.timing_path(key))
        results.append(Result(entry=entry, fresh=fresh, line=line, readable=readable))
    return results


def _save(content: bytes, path: Path) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from error


def _build(
    builder: EngineBuilder,
    trt: TensorRT,
    key: EngineKey,
    gpu: Gpu,
    cache: EngineCache,
    bundle: Bundle,
    report: Report,
) -> Entry:
    begun = time.monotonic()
    built = builder.build(gpu.target if trt.rtx else None, cache.read_timing(key), report)
    about: dict[str, Any] = {
        "model": bundle.manifest.name,
        "file": str(bundle.path.resolve()),
        "seconds": round(time.monotonic() - begun, 1),
        "layers_kept_in_fp32": built.pinned,
        "changed_for_the_parser": list(builder.changes),
    }
    entry = cache.store(key, built.plan, time.time_ns(), about)
    if built.timing:
        cache.write_timing(key, built.timing)
    return entry


def _intact(cache: EngineCache, key: EngineKey) -> Entry | None:
    """Return the engine of a key if it is there and undamaged."""
    entry = cache.get(key)
    if entry is None:
        return None
    try:
        cache.read(entry)
    except EngineError:
        return None
    return entry


def _digest(bundle: Bundle) -> str:
    """Return the digest of a model, which has to be the one that was loaded.

    Raises:
        BundleError: the file is another one by now, or cannot be read.
    """
    digest = model_digest(bundle.path)
    if hashlib.sha256(bundle.path.read_bytes()).hexdigest() != bundle.digest:
        raise BundleError(f"{bundle.path} has changed since it was loaded; start again")
    return digest


def _gpu_to_build_on(trt: TensorRT) -> Gpu:
    """Return the GPU here.

    Raises:
        EngineError: there is none, or TensorRT for RTX does not know it.
    """
    gpu = _gpu_of(Cuda())
    if trt.rtx:
        try:
            check_target(trt, gpu.target)
        except UsageError as error:
            raise EngineError(
                f"{trt.title} does not build for the {gpu.name} here ({error}); install TensorRT "
                "itself, or use the engine onnxruntime"
            ) from error
    return gpu


def _gpu_of(cuda: Cuda) -> Gpu:
    return Gpu(name=cuda.name, capability=cuda.capability, multiprocessors=cuda.multiprocessors)


# Loading -----------------------------------------------------------------------------------------


def open_cached(bundle: Bundle, cache: EngineCache) -> TensorRTEngine:
    """Load the newest engine of a model that fits.

    Raises:
        MissingDependencyError: TensorRT or cuda-python is not installed.
        EngineError: no engine fits, and why; or those that do cannot be loaded, and why the
            newest cannot.
        BundleError: the file of the model has changed since it was loaded.
    """
    cuda = Cuda()
    digest = _digest(bundle)
    keys = [(trt, key_of(trt, _gpu_of(cuda), digest, "", "", 0)) for trt in _installed()]
    failure: EngineError | None = None
    for trt, key in keys:
        for entry in cache.fitting(key):
            try:
                return TensorRTEngine(bundle, cache.read(entry), trt, cuda)
            except EngineError as error:
                failure = failure or error
    if failure is not None:
        raise failure
    why = cache.explain(keys[0][1], bundle.manifest.name)
    raise EngineError(f"{why}; build one with 'owseg build {bundle.path}'")


def check_usable() -> None:
    """Find out whether engines can be built and run here.

    Raises:
        MissingDependencyError: TensorRT or cuda-python is not installed.
        EngineError: there is no usable GPU, or TensorRT is too old.
    """
    find_tensorrt()
    Cuda()


def _installed() -> list[TensorRT]:
    found = []
    for flavour in FLAVOURS:
        with contextlib.suppress(MissingDependencyError, EngineError):
            found.append(find_tensorrt((flavour,)))
    return found or [find_tensorrt()]  # which says that there is none
