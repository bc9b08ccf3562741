"""From a model to a TensorRT engine: parse, choose the precision, build."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from owseg.bundle import Bundle
from owseg.engines.compact import add_compact
from owseg.engines.tensorrt.adapt import adapt
from owseg.engines.tensorrt.cuda import OUT_OF_MEMORY
from owseg.engines.tensorrt.precision import choose_precision, set_precision, typed_as
from owseg.engines.tensorrt.progress import Report, attach
from owseg.engines.tensorrt.runtime import NO_MEMORY, TensorRT, make_log, reason_of, start
from owseg.engines.tensorrt.tensors import IMAGE
from owseg.errors import EngineError, UsageError

WORKSPACE_MB = 1024
_NO_KERNEL = re.compile(r"workspace|find any implementation", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOptions:
    """The user's choices.

    Attributes:
        precision: "fp32", "fp16" or "int8"; None = what the file is typed as.
        workspace: memory that TensorRT may use for one layer, MiB.
        batch: largest number of images that run at once; the engine is quickest with it.
    """

    precision: str | None = None
    workspace: int = WORKSPACE_MB
    batch: int = 1

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        for name in ("workspace", "batch"):
            if getattr(self, name) < 1:
                raise UsageError(f"--{name} must be at least 1, got {getattr(self, name)}")


class Built(NamedTuple):
    """What a build gives.

    Attributes:
        plan: the engine.
        timing: TensorRT's measurements, for the next build; b"" = none.
        pinned: number of layers that are kept in float32.
    """

    plan: bytes
    timing: bytes
    pinned: int


class EngineBuilder:
    """A parsed model, ready to be built for one GPU or several.

    Args:
        trt: what parses and builds.
        bundle: the model.
        options: the user's choices.

    Attributes:
        precision: that it is built in.
        changes: what had to be said in another way for the parser.
        onnx: the file that was parsed.

    Raises:
        EngineError: TensorRT cannot read the model, or not build it as asked.
    """

    def __init__(self, trt: TensorRT, bundle: Bundle, options: BuildOptions) -> None:
        self._trt, self._bundle, self._options = trt, bundle, options
        self._log = make_log(trt)
        self._builder = start(trt, "Builder", self._log)
        self._network = self._builder.create_network(_network_flags(trt))
        self._parser = start(trt, "OnnxParser", self._log, self._network)
        model = add_compact(_read(bundle.path), halves=trt.strongly_typed)
        self.onnx, self.changes = adapt(model, trt.parser_release)
        self._parse()
        name = bundle.manifest.name
        self.precision = choose_precision(options.precision, typed_as(self._network), trt, name)
        self.inputs = self._inputs()

    def _parse(self) -> None:
        if self._parser.parse(self.onnx, str(self._bundle.path)):
            return
        raise EngineError(
            f"{self._trt.title} cannot read model '{self._bundle.manifest.name}': "
            f"{self._parser_error()}; use another TensorRT, or the engine onnxruntime"
        )

    def _parser_error(self) -> str:
        if not self._parser.num_errors:
            return str(self._log.reason())
        error = self._parser.get_error(0)
        named = [getattr(error, part, str)() for part in ("node_operator", "node_name")]
        place = f"node {error.node()}"
        if named[0]:
            place = f"{named[0]} '{named[1]}'"
        return f"{place}: {reason_of(error.desc()) or error.code().name}"

    def _inputs(self) -> str:
        """Return the shapes of the images, for the key.

        Raises:
            EngineError: the model has a fixed batch, and another is asked for.
        """
        shape = self._image_shape()
        batch = self._options.batch
        if shape[0] != -1 and batch != shape[0]:
            raise EngineError(
                f"model '{self._bundle.manifest.name}' has a fixed batch of {shape[0]}; leave out "
                "--batch, or export the model with a dynamic one"
            )
        rest = "x".join(map(str, shape[1:]))
        return f"{shape[0]}x{rest}" if shape[0] != -1 else f"1..{batch}x{rest}"

    def _image_shape(self) -> tuple[int, ...]:
        for index in range(self._network.num_inputs):
            tensor = self._network.get_input(index)
            if tensor.name == IMAGE:
                return tuple(int(size) for size in tensor.shape)
        raise EngineError(f"model '{self._bundle.manifest.name}' has no input '{IMAGE}'")

    def build(self, target: str | None, timing: bytes, report: Report) -> Built:
        """Build the engine; takes from a second to many minutes.

        Args:
            target: GPU that it is built for, e.g. "SM89" (tensorrt_rtx); None = the one here.
            timing: measurements of earlier builds.
            report: is told how far it has come, by TensorRT 10 and later.

        Raises:
            EngineError: TensorRT cannot build it.
            UsageError: there is no such target.
        """
        config = self._builder.create_builder_config()
        pools = self._trt.module.MemoryPoolType
        config.set_memory_pool_limit(pools.WORKSPACE, self._options.workspace << 20)
        self._add_profile(config)
        pinned = set_precision(self._trt, self._network, config, self.precision)
        if target is not None:
            _set_target(self._trt, config, target)
        if not self._trt.rtx:
            _set_timing(config, timing)
        monitor = attach(self._trt, config, report)
        plan = self._builder.build_serialized_network(self._network, config)
        if monitor is not None and monitor.stopped is not None:
            raise monitor.stopped
        if plan is None:
            raise self._failure()
        measured = b"" if self._trt.rtx else bytes(config.get_timing_cache().serialize())
        return Built(bytes(plan), measured, pinned)

    def _add_profile(self, config: Any) -> None:
        shape, batch = self._image_shape(), self._options.batch
        if shape[0] != -1:
            return
        profile = self._builder.create_optimization_profile()
        sizes = ((count, *shape[1:]) for count in (1, batch, batch))
        profile.set_shape(IMAGE, *sizes)
        if config.add_optimization_profile(profile) < 0:
            raise self._failure()

    def _failure(self) -> EngineError:
        reason = self._log.reason()
        remedy = "use another TensorRT or precision, or the engine onnxruntime"
        if _NO_KERNEL.search(reason):
            remedy = "try a larger --workspace, or use the engine onnxruntime"
        if NO_MEMORY.search(reason):
            remedy = OUT_OF_MEMORY
        name = self._bundle.manifest.name
        return EngineError(f"{self._trt.title} cannot build model '{name}' ({reason}); {remedy}")


def _network_flags(trt: TensorRT) -> int:
    """Return how a network is to be made; newer versions lack what has become the only way."""
    kinds = trt.module.NetworkDefinitionCreationFlag
    wanted = ["STRONGLY_TYPED"] if trt.strongly_typed else []
    if not trt.rtx and trt.release < (10,):
        wanted.append("EXPLICIT_BATCH")
    found = (getattr(kinds, name, None) for name in wanted)
    return sum(1 << int(kind) for kind in found if kind is not None)


def check_target(trt: TensorRT, target: str) -> None:
    """Refuse a GPU that this TensorRT does not build for.

    Raises:
        UsageError: it is none of those that it knows, or it builds only for the GPU here.
    """
    kinds = getattr(trt.module, "ComputeCapability", None)
    if kinds is None:
        raise UsageError(f"--target needs TensorRT for RTX; this is {trt.title}")
    names = [name for name in kinds.__members__ if name.startswith("SM")]
    if target not in names:
        raise UsageError(f"no target '{target}'; there are {', '.join(names)}")


def _set_target(trt: TensorRT, config: Any, target: str) -> None:
    check_target(trt, target)
    config.num_compute_capabilities = 1
    if not config.set_compute_capability(trt.module.ComputeCapability.__members__[target], 0):
        raise EngineError(f"{trt.title} does not build for {target}")


def _set_timing(config: Any, timing: bytes) -> None:
    """Start from earlier measurements, or from none where those do not fit."""
    earlier = config.create_timing_cache(timing) if timing else None
    if earlier is not None and config.set_timing_cache(earlier, False):
        return
    config.set_timing_cache(config.create_timing_cache(b""), False)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise EngineError(f"cannot read {path}: {error.strerror}") from error
