"""What is compared: each model on each engine that runs it here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from owseg.bench.peers import Peers
from owseg.bundle import Bundle, load_bundle
from owseg.engines import Engine, OnnxRuntimeEngine, open_engine
from owseg.engines.ort_cuda import cuda_obstacle
from owseg.errors import MissingDependencyError, OwsegError, UsageError

ONNXRUNTIME = ("fused", "graph", "captured")
"""ONNX Runtime with fused heads (CPU), with the heads of the graph, and that as a CUDA graph."""

TENSORRT = "tensorrt"

ON_CPU, ON_GPU = ONNXRUNTIME[:2], (TENSORRT, "captured", "graph")
"""What is worth measuring."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """One engine that has loaded one model.

    Attributes:
        name: what to call it.
        precision: of the network.
        engine: ready to run.
        splits: whether it runs the network alone when only the embedding is asked for.
    """

    name: str
    precision: str
    engine: Engine
    splits: bool

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the input."""
        return self.engine.manifest.height, self.engine.manifest.width


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """An engine that does not run a model here.

    Attributes:
        name: its name.
        model: name of the model.
        reason: one line.
    """

    name: str
    model: str
    reason: str


Opened = tuple[list[Contestant], list[Skipped]]


def open_contestants(
    models: Sequence[Path],
    names: Sequence[str],
    *,
    device: str = "auto",
    threads: int = 0,
    peers: Peers | None = None,
    checkpoint: Path | None = None,
    strict: bool = False,
    say: Callable[[str], None] | None = None,
) -> Opened:
    """Open each model on each engine.

    Args:
        models: bundles.
        names: names in ONNXRUNTIME, "tensorrt", or those of the peers.
        device: "auto", "cpu" or "cuda".
        threads: threads on the CPU; 0 = one per core.
        peers: networks in torch.
        checkpoint: weights for them; None = random ones.
        strict: an engine that does not run is an error.
        say: called with what is being opened.

    Returns:
        Those that run, and those that do not; close them with `Contestant.engine.close`.

    Raises:
        UsageError: no engine has this name.
        BundleError: a bundle cannot be used.
        OwsegError: an engine does not run, and `strict`.
    """
    known = (*ONNXRUNTIME, TENSORRT, *(peers.names() if peers else ()))
    for name in names:
        if name not in known:
            raise UsageError(f"no engine '{name}'; there are {', '.join(known)}")
    opened: list[Contestant] = []
    skipped: list[Skipped] = []
    try:
        for path in models:
            bundle = load_bundle(path)
            for name in names:
                if say is not None:
                    say(f"{bundle.manifest.name} on {name}")
                try:
                    opened.append(_open(bundle, name, device, threads, peers, checkpoint))
                except OwsegError as error:
                    if strict:
                        raise
                    skipped.append(
                        Skipped(name=name, model=bundle.manifest.name, reason=str(error))
                    )
    except BaseException:
        close_all(opened)
        raise
    return opened, skipped


def close_all(contestants: Sequence[Contestant]) -> None:
    """Close their engines."""
    for contestant in contestants:
        contestant.engine.close()


def _open(
    bundle: Bundle,
    name: str,
    device: str,
    threads: int,
    peers: Peers | None,
    checkpoint: Path | None,
) -> Contestant:
    precision = bundle.manifest.precision
    if name in ONNXRUNTIME:
        return _onnxruntime(bundle, name, device, threads)
    if name == TENSORRT:
        engine = open_engine(bundle.path, TENSORRT, device)
        return Contestant(name=name, precision=precision, engine=engine, splits=False)
    if peers is None:
        raise MissingDependencyError(f"'{name}' is not installed: pip install 'owseg_ros[train]'")
    place = device if device != "auto" else _place()
    engine = peers.open(name, bundle.manifest, checkpoint, place, threads)
    # Of every precision torch runs the float32 network that it was made from.
    return Contestant(name=name, precision="fp32", engine=engine, splits=True)


def _onnxruntime(bundle: Bundle, name: str, device: str, threads: int) -> Contestant:
    where = "cpu" if name == "fused" else device
    heads = "fused" if name == "fused" else "graph"
    captured = name == "captured"
    engine = OnnxRuntimeEngine(bundle, where, threads, heads, cuda_graph=captured, cut=True)
    if captured and engine.device != "cuda":
        engine.close()
        raise UsageError("a captured graph needs CUDA; use graph or fused")
    title = "onnxruntime" if engine.device == "cpu" else "onnxruntime cuda"
    return Contestant(
        name=f"{title}, {name}",
        precision=bundle.manifest.precision,
        engine=engine,
        splits=heads == "graph",
    )


def _place() -> str:
    """Where "auto" leads: to the same device as ONNX Runtime."""
    return "cpu" if cuda_obstacle() else "cuda"
