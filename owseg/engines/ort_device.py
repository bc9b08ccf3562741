"""Runs a session of ONNX Runtime on a device, with buffers that stay where they are.

Inputs and outputs live on the device and are bound once for each batch size: what changes is
copied there, what is asked for is copied back. Fixed addresses are also what a CUDA graph needs,
which replays the whole graph with one launch.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from owseg.engines.base import Outputs

Array = npt.NDArray[np.generic]

_NOTHING: Array = np.empty(0, np.float32)

_KINDS = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32, "tensor(float16)": np.float16}
"""Types of outputs in numpy, in the words of ONNX Runtime."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bound:
    """Buffers for one batch size.

    Attributes:
        binding: what the session runs with.
        inputs: buffers on the device by name.
        outputs: buffers on the device by name.
        last: what the inputs hold, but for the image.
        options: options of a run.
    """

    binding: Any
    inputs: dict[str, Any]
    outputs: dict[str, Any]
    options: Any
    last: dict[str, Array] = field(default_factory=dict)


class DeviceRunner:
    """Runs one session; several threads take turns.

    Args:
        session: an `onnxruntime.InferenceSession`.
        device: "cuda" or "cpu", where the buffers are.
        cuda_graph: whether the session captures CUDA graphs.
    """

    def __init__(self, session: Any, device: str, *, cuda_graph: bool = False) -> None:
        self._session = session
        self._device = device
        self._cuda_graph = cuda_graph
        self._bound: dict[int, _Bound] = {}
        self._lock = Lock()

    def run(
        self, outputs: Sequence[str], feed: Mapping[str, Array]
    ) -> tuple[Outputs, dict[str, float]]:
        """Copy what changed to the device, run, and copy the outputs that are asked for back.

        Returns:
            The outputs, and milliseconds of "copy in", "graph" and "copy out".
        """
        with self._lock:
            batch = len(feed["image"])
            clock = [time.perf_counter()]
            bound = self._bound.get(batch)
            if bound is None:
                bound = self._bound[batch] = self._bind(feed)
            else:
                _update(bound, feed)
            clock.append(time.perf_counter())
            self._session.run_with_iobinding(bound.binding, bound.options)
            clock.append(time.perf_counter())
            arrays = {name: self._fetched(bound.outputs[name]) for name in outputs}
            clock.append(time.perf_counter())
        stages = ("copy in", "graph", "copy out")
        laps = (end - start for start, end in itertools.pairwise(clock))
        return arrays, {name: lap * 1e3 for name, lap in zip(stages, laps, strict=True)}

    def _fetched(self, value: Any) -> Array:
        """Return an output as an array of its own; on a CPU it shares the buffer, so copy it."""
        array: Array = value.numpy()
        return array.copy() if self._device == "cpu" else array

    def _bind(self, feed: Mapping[str, Array]) -> _Bound:
        import onnxruntime

        batch = len(feed["image"])
        binding = self._session.io_binding()
        inputs, outputs = {}, {}
        for node in self._session.get_inputs():
            array = np.ascontiguousarray(feed[node.name])
            inputs[node.name] = onnxruntime.OrtValue.ortvalue_from_numpy(array, self._device, 0)
            binding.bind_ortvalue_input(node.name, inputs[node.name])
        for node in self._session.get_outputs():
            shape = (batch, *node.shape[1:])
            outputs[node.name] = onnxruntime.OrtValue.ortvalue_from_shape_and_type(
                shape, _KINDS[node.type], self._device, 0
            )
            binding.bind_ortvalue_output(node.name, outputs[node.name])
        options = onnxruntime.RunOptions()
        if self._cuda_graph:  # one captured graph for each batch size
            options.add_run_config_entry("gpu_graph_id", str(batch))
        last = {name: np.array(feed[name]) for name in inputs if name != "image"}
        return _Bound(binding=binding, inputs=inputs, outputs=outputs, options=options, last=last)


def _update(bound: _Bound, feed: Mapping[str, Array]) -> None:
    """Copy the image, and of the others what has changed."""
    for name, value in bound.inputs.items():
        array = np.ascontiguousarray(feed[name])
        if name not in bound.last:
            value.update_inplace(array)
        elif not np.array_equal(bound.last[name], array):
            bound.last[name] = _NOTHING  # as long as it is not known to be there
            value.update_inplace(array)
            bound.last[name] = array.copy()
