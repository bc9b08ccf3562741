"""A network in torch as an engine: what the runtimes are compared with."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from owseg.bundle import OUTPUTS
from owseg.engines.base import BaseEngine, Outputs, PrototypeSlots
from owseg.engines.compact import on_host
from owseg.errors import EngineError
from owseg.manifest import Manifest
from owseg.types import UInt8Array
from owseg_export.graph import GraphOutput, OpenWorldGraph

NETWORK = frozenset(("embedding", "direction"))


class TorchEngine(BaseEngine):
    """Runs the graph of an export in torch, without exporting it.

    Asked for outputs of the network only, it leaves the heads out.

    Args:
        name: what to call it.
        manifest: sizes, classes and slots.
        graph: the graph; it is moved to the device.
        device: "cpu" or "cuda".
        threads: threads on the CPU, for all of torch in this process; 0 = as it is.
        wrap: compiles a function, e.g. `torch.compile`.

    Attributes:
        timings_ms: milliseconds of the stages of the latest call: "copy in", "graph", "copy out".

    Raises:
        EngineError: the device is not there.
    """

    def __init__(
        self,
        name: str,
        manifest: Manifest,
        graph: OpenWorldGraph,
        *,
        device: str = "cpu",
        threads: int = 0,
        wrap: Callable[[Any], Any] | None = None,
    ) -> None:
        super().__init__(manifest, f"torch network of {manifest.name}")
        if device == "cuda" and not torch.cuda.is_available():
            raise EngineError("this torch has no CUDA; use the device cpu")
        if threads:
            torch.set_num_threads(threads)
        self.name = name
        self.timings_ms: dict[str, float] = {}
        self._device = torch.device(device)
        self._graph = graph.eval().to(self._device)
        self._whole: Any = self._graph.forward if wrap is None else wrap(self._graph.forward)
        self._part: Any = self._embed if wrap is None else wrap(self._embed)

    @torch.inference_mode()
    def infer(
        self,
        images: UInt8Array,
        prototypes: PrototypeSlots,
        threshold: float,
        outputs: Sequence[str] = OUTPUTS[:3],
    ) -> Outputs:
        """Run the graph on a batch; see `Engine.infer`."""
        self.check_inputs(images, prototypes, threshold, outputs)
        clock = [self._now()]
        image = torch.from_numpy(images).to(self._device)
        others = [
            torch.from_numpy(array).to(self._device)
            for array in (
                prototypes.vectors,
                prototypes.radius,
                prototypes.valid,
                np.array([threshold], np.float32),
            )
        ]
        clock.append(self._now())
        try:
            if NETWORK.issuperset(outputs):
                found = dict(zip(("embedding", "direction"), self._part(image), strict=True))
            else:
                found = GraphOutput(*self._whole(image, *others))._asdict()
        except RuntimeError as error:
            reason = str(error).splitlines()[0][:200]
            raise EngineError(f"torch failed on '{self.manifest.name}': {reason}") from error
        clock.append(self._now())
        arrays = on_host(outputs, lambda names: {name: found[name].cpu().numpy() for name in names})
        clock.append(self._now())
        stages = ("copy in", "graph", "copy out")
        laps = [(end - start) * 1e3 for start, end in itertools.pairwise(clock)]
        self.timings_ms = dict(zip(stages, laps, strict=True))
        return arrays

    def _embed(self, image: Tensor) -> tuple[Tensor, Tensor]:
        output = self._graph.network(image.float().permute(0, 3, 1, 2) / 255.0)
        return output.embedding.float(), output.direction.float()

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()
