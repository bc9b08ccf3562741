"""Sessions of ONNX Runtime for one bundle: the whole graph, or cut to what is fetched.

Settings of the CPU that were measured and make no difference (memory arena, memory pattern, fixed
batch, denormals as zero, bound buffers) are left alone. The optimisation level stays at the
highest, the default, which is a quarter faster than the one below. Threads do not wait busily
for the next run: what follows a run, the heads first of all, needs the cores.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from threading import Lock
from typing import Any

from owseg.bundle import Bundle
from owseg.engines.compact import add_compact
from owseg.engines.onnx_file.cut import cut
from owseg.errors import BundleError, EngineError

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}

NETWORK = ("direction", "embedding")
"""Outputs of the network itself, before the heads."""

MAPS = ("known", "anomaly", "open_set")
"""Outputs of the heads."""


def unusable(device: str) -> str:
    """Say that a device cannot be used that the package of ONNX Runtime is made for."""
    return (
        f"ONNX Runtime cannot use {device.upper()} here, though it is made for it: the driver, or "
        "the CUDA or cuDNN that it wants, is missing; install them, or use the device cpu"
    )


class Sessions:
    """Opens sessions when they are first needed, and keeps them.

    Args:
        bundle: a checked bundle.
        device: "cpu" or "cuda".
        threads: threads for one operator.
        cut: leave out what the outputs do not need; each set of outputs has a session of its own.
        cuda_graph: capture the graph on the GPU and replay it.
    """

    def __init__(
        self,
        bundle: Bundle,
        device: str,
        threads: int,
        *,
        cut: bool = True,
        cuda_graph: bool = False,
    ) -> None:
        self._bundle = bundle
        self._device = device
        self._threads = threads
        self._cut = cut
        self._cuda_graph = cuda_graph
        self._open: dict[frozenset[str], Any] = {}
        self._lock = Lock()

    def get(self, outputs: Collection[str]) -> Any:
        """Return a session that has these outputs.

        Raises:
            EngineError: the graph cannot be loaded.
        """
        key = frozenset(outputs)
        key = key if self._cut and key <= set(NETWORK) else frozenset()
        with self._lock:
            if key not in self._open:
                self._open[key] = self._load(lambda: self._graph(key))
            return self._open[key]

    def heads(self) -> Any:
        """Return a session that takes the embedding and gives the maps.

        It is for one run, and not kept: it takes memory for what it needs, and no more in advance.

        Raises:
            EngineError: the graph cannot be loaded.
        """
        path = self._bundle.path
        return self._load(lambda: cut(path.read_bytes(), MAPS, ("embedding",)), arena=False)

    def _load(self, read: Callable[[], str | bytes], *, arena: bool = True) -> Any:
        path = self._bundle.path
        try:
            graph = read()
            session = _session(graph, self._options(arena), self._providers())
        except BundleError:
            raise
        except Exception as error:
            reason = str(error).splitlines()[0][:200]
            raise EngineError(f"ONNX Runtime cannot load {path}: {reason}") from error
        if PROVIDERS[self._device] not in session.get_providers():
            raise EngineError(unusable(self._device))
        return session

    def _graph(self, outputs: frozenset[str]) -> str | bytes:
        """Return the graph cut to outputs, or the whole one; on a GPU with compact scores."""
        if outputs:
            return cut(self._bundle.path.read_bytes(), outputs)
        if self._device == "cpu":
            return str(self._bundle.path)
        return add_compact(self._bundle.path.read_bytes())

    def _options(self, arena: bool) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = arena
        options.add_session_config_entry("session.force_spinning_stop", "1")
        return options

    def _providers(self) -> list[Any]:
        if self._device == "cpu":
            return [PROVIDERS["cpu"]]
        cuda: Any = PROVIDERS["cuda"]
        if self._cuda_graph:
            cuda = (cuda, {"enable_cuda_graph": "1"})
        return [cuda, PROVIDERS["cpu"]]


def _session(graph: str | bytes, options: Any, providers: list[Any]) -> Any:
    import onnxruntime

    return onnxruntime.InferenceSession(graph, options, providers=providers)
