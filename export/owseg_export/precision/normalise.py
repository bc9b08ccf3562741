"""The normalisation of the image as one node that stays where it is.

Written as a division, a subtraction and another division, ONNX Runtime moves it behind the
change to interleaved channels that integer convolutions want, where it costs as much as a large
convolution. One scale and one shift for each channel, as a batch normalisation, are not moved.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

_NAME = "normalise"
_CHANNELS = 3


def fold_normalisation(network: onnx.ModelProto) -> bool:
    """Replace the arithmetic in front of the first convolution by one node, in place.

    Args:
        network: a network whose image is (B, H, W, 3).

    Returns:
        Whether there was such arithmetic, with constants for each channel, and nothing else
        reads what lies between its steps.
    """
    graph: Any = network.graph
    makers = {name: node for node in graph.node for name in node.output}
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    first = next(node for node in graph.node if node.op_type == "Conv")
    readers = Counter(name for node in graph.node for name in node.input)
    readers.update(value.name for value in graph.output)
    chain: list[Any] = []
    source = first.input[0]
    while (node := makers.get(source)) is not None and _constant(node, constants) is not None:
        if chain and readers[source] > 1:
            return False
        chain.append(node)
        source = node.input[0]
    if not chain or not _is_planar(source, makers):
        return False
    scale, shift = np.ones(_CHANNELS), np.zeros(_CHANNELS)
    for node in reversed(chain):
        value = _constant(node, constants)
        assert value is not None
        scale, shift = _apply(node.op_type, value, scale, shift)
    _replace(graph, chain, source, scale, shift)
    return True


def _constant(node: Any, constants: dict[str, np.ndarray]) -> np.ndarray | None:
    """Return the constant operand of a node, one value for each channel; None = it has none."""
    if node.op_type not in ("Add", "Sub", "Mul", "Div") or node.input[1] not in constants:
        return None
    value = constants[node.input[1]]
    planar = value.size == 1 or value.shape[-3:] == (_CHANNELS, 1, 1)
    if not planar or value.size not in (1, _CHANNELS):
        return None
    return np.broadcast_to(value.reshape(-1).astype(np.float64), _CHANNELS)


def _is_planar(name: str, makers: dict[str, Any]) -> bool:
    """Whether a value is the image with its channels first: cast and transposed only."""
    kinds = []
    while (node := makers.get(name)) is not None:
        kinds.append(node.op_type)
        name = node.input[0]
    return sorted(kinds) == ["Cast", "Transpose"]


def _apply(
    kind: str, value: np.ndarray, scale: np.ndarray, shift: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    if kind == "Add":
        return scale, shift + value
    if kind == "Sub":
        return scale, shift - value
    if kind == "Mul":
        return scale * value, shift * value
    return scale / value, shift / value


def _replace(
    graph: Any, chain: list[Any], source: str, scale: np.ndarray, shift: np.ndarray
) -> None:
    parts = {"scale": scale, "shift": shift, "mean": np.zeros(_CHANNELS), "var": np.ones(_CHANNELS)}
    for name, value in parts.items():
        tensor = numpy_helper.from_array(value.astype(np.float32), f"{_NAME}_{name}")
        graph.initializer.append(tensor)
    place = list(graph.node).index(chain[-1])
    node = helper.make_node(
        "BatchNormalization",
        [source, *(f"{_NAME}_{name}" for name in parts)],
        [chain[0].output[0]],
        name=_NAME,
        epsilon=0.0,
    )
    for old in chain:
        graph.node.remove(old)
    graph.node.insert(place, node)
    read = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)
