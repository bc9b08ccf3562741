"""The network typed as float16, for TensorRT from 10.12 on and other strongly typed runtimes.

Everything from the first convolution on computes in float16. Normalisation of the image stays
float32, as do the heads; what passes in between is cast.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from owseg_export.precision.parts import replace_network, take_network

_HALF = "_half"

_ALWAYS_FLOAT = {"Resize": (1, 2)}
"""Inputs by their place that are float32 whatever the others are: regions and scales."""


def to_fp16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with a network in float16.

    Args:
        model: with float32 weights.
    """
    network = take_network(model)
    _Halves(network).convert()
    return replace_network(model, network)


class _Halves:
    """Converts one network in place."""

    def __init__(self, network: onnx.ModelProto) -> None:
        self._graph: Any = network.graph
        self._weights = {tensor.name: tensor for tensor in self._graph.initializer}
        self._types = _types(network)
        self._inside = _behind_convolutions(self._graph)
        self._made: dict[str, str] = {}
        self._nodes: list[Any] = []

    def convert(self) -> None:
        """Type the nodes, their weights, and what goes in and out."""
        outputs = {value.name for value in self._graph.output}
        for node in self._graph.node:
            if node.output[0] not in self._inside:
                self._nodes.append(node)
                continue
            for place, name in enumerate(node.input):
                if place not in _ALWAYS_FLOAT.get(node.op_type, ()):
                    node.input[place] = self._halved(name)
            _retype(node)
            self._nodes.append(node)
            for place, name in enumerate(node.output):
                if name in outputs and self._types.get(name) == TensorProto.FLOAT:
                    self._leave(node, place)
        del self._graph.node[:]
        self._graph.node.extend(self._nodes)
        del self._graph.value_info[:]

    def _halved(self, name: str) -> str:
        """Return the name of the same value in float16, which may have to be made."""
        if name in self._made:
            return self._made[name]
        if name in self._inside or self._types.get(name) != TensorProto.FLOAT:
            return name
        half = name + _HALF
        self._made[name] = half
        if name in self._weights:
            values = numpy_helper.to_array(self._weights[name])
            limit = np.finfo(np.float16).max
            stored = np.clip(values, -limit, limit).astype(np.float16)
            self._graph.initializer.append(numpy_helper.from_array(stored, half))
        else:
            self._nodes.append(_cast(name, half, TensorProto.FLOAT16))
        return half

    def _leave(self, node: Any, place: int) -> None:
        """Cast an output of the network to float32; what is inside keeps the half."""
        name = node.output[place]
        self._made[name] = node.output[place] = name + _HALF
        self._nodes.append(_cast(name + _HALF, name, TensorProto.FLOAT))


def _types(network: onnx.ModelProto) -> dict[str, int]:
    graph: Any = onnx.shape_inference.infer_shapes(network).graph
    values = (*graph.input, *graph.value_info, *graph.output)
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    return types | {tensor.name: tensor.data_type for tensor in graph.initializer}


def _behind_convolutions(graph: Any) -> set[str]:
    """Return the names of all values that depend on a convolution."""
    found: set[str] = set()
    for node in graph.node:
        if node.op_type == "Conv" or not found.isdisjoint(node.input):
            found.update(node.output)
    return found


def _retype(node: Any) -> None:
    """Turn a cast to float32 inside of the network into one to float16."""
    if node.op_type == "Cast":
        for attribute in node.attribute:
            if attribute.name == "to" and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.FLOAT16


def _cast(source: str, target: str, kind: int) -> Any:
    return helper.make_node("Cast", [source], [target], name=f"{target}_cast", to=kind)
