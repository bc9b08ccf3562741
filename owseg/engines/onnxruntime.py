"""ONNX Runtime: CPU anywhere, CUDA where its package and a GPU are."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from owseg.bundle import OUTPUTS, Bundle
from owseg.engines.base import BaseEngine, Outputs, PrototypeSlots
from owseg.errors import EngineError
from owseg.types import UInt8Array

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
DEVICES = ("auto", *PROVIDERS)


class OnnxRuntimeEngine(BaseEngine):
    """Runs a bundle with ONNX Runtime.

    Args:
        bundle: a checked bundle.
        device: "cpu", "cuda", or "auto": CUDA when it is there.
        threads: threads for one operator; 0 = one per core.

    Raises:
        EngineError: the device is not available, or the graph cannot be loaded.
    """

    name = "onnxruntime"

    def __init__(self, bundle: Bundle, device: str = "auto", threads: int = 0) -> None:
        self.device = _choose_device(device)
        self._session: Any = _open(bundle, self.device, threads)
        super().__init__(bundle.manifest, bundle.space)

    def infer(
        self,
        images: UInt8Array,
        prototypes: PrototypeSlots,
        threshold: float,
        outputs: Sequence[str] = OUTPUTS[:3],
    ) -> Outputs:
        """Run the graph on a batch; see `Engine.infer`."""
        self.check_inputs(images, prototypes, threshold, outputs)
        if self._session is None:
            raise EngineError("the engine is closed")
        feed = {
            "image": images,
            "prototypes": prototypes.vectors,
            "prototype_radius": prototypes.radius,
            "prototype_valid": prototypes.valid,
            "anomaly_threshold": np.array([threshold], np.float32),
        }
        try:
            arrays = self._session.run(list(outputs), feed)
        except Exception as error:
            reason = str(error).splitlines()[0][:200]
            raise EngineError(f"ONNX Runtime failed on '{self.manifest.name}': {reason}") from error
        return dict(zip(outputs, arrays, strict=True))

    def close(self) -> None:
        """Free the session."""
        self._session = None


def _choose_device(device: str) -> str:
    import onnxruntime

    if device not in DEVICES:
        raise EngineError(f"no device '{device}'; there are {', '.join(DEVICES)}")
    has_cuda = PROVIDERS["cuda"] in onnxruntime.get_available_providers()
    if device == "cuda" and not has_cuda:
        raise EngineError(
            "this onnxruntime has no CUDA; pip install 'owseg_ros[gpu]', or use the device cpu"
        )
    return "cuda" if device != "cpu" and has_cuda else "cpu"


def _open(bundle: Bundle, device: str, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads or len(os.sched_getaffinity(0))
    options.inter_op_num_threads = 1
    providers = [PROVIDERS[device]] + ([PROVIDERS["cpu"]] if device == "cuda" else [])
    try:
        return onnxruntime.InferenceSession(str(bundle.path), options, providers=providers)
    except Exception as error:
        reason = str(error).splitlines()[0][:200]
        raise EngineError(f"ONNX Runtime cannot load {bundle.path}: {reason}") from error
