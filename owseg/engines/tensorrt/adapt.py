"""What TensorRT's parsers cannot read, or read wrongly, said in another way; the sums stay.

The adapted graph computes the same numbers. What is changed:

- float16 weights that a Cast turns back into float32 become float32 weights: the parser of
  TensorRT 8 takes no convolution whose weights come out of another node;
- a Cast right behind a uint8 input comes first: TensorRT can do nothing else with uint8;
- labels go to uint8 by way of float32: TensorRT casts no integers to uint8;
- below TensorRT 10, the axes of reductions become attributes. Its parser knows the operators
  of opset 17; of a ReduceMin of opset 18 it overlooks the axes and reduces over all of them,
  without a word.

Source: NvInferRuntimeBase.h (DataType::kUINT8); onnx-tensorrt, branches 8.5-GA and 8.6-GA,
importers Cast, Conv and ReduceMin.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from owseg.engines.onnx_file.model import (
    FLOAT,
    FLOAT16,
    GRAPH,
    INITIALIZER,
    NODE,
    OPSETS,
    RAW_DATA,
    UINT8,
    Node,
    encode_tensor,
    int_attribute,
    ints_attribute,
    node_of,
    opset,
)
from owseg.engines.onnx_file.protobuf import body, fields, integers, name_of, pack
from owseg.errors import EngineError

LAST_OLD_OPSET = 17
"""The newest opset that the parsers before TensorRT 10 know."""

_FIRST_NEW_PARSER = (10,)
_REDUCTIONS = frozenset(
    f"Reduce{name}"
    for name in ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "SumSquare")
)
_NEW_IN_18 = frozenset(
    {
        *("BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "CenterCropPad", "Col2Im"),
        *("GroupNormalization", "Mish", "OptionalGetElement", "OptionalHasElement"),
        *("Pad", "ScatterElements", "ScatterND", "Split"),
    }
)
"""Operators that are new in opset 18, or mean more there than what is translated here."""

_RESIZE_18 = ("antialias", "keep_aspect_ratio_policy")
_STRETCH = ("", "stretch")
_INT64 = 7


class Adapted(NamedTuple):
    """A graph for TensorRT.

    Attributes:
        model: the ONNX file.
        changes: what was changed, for people; () = nothing.
    """

    model: bytes
    changes: tuple[str, ...]


@dataclass
class _Graph:
    """A graph in pieces: nodes, weights by name, and all other fields as they are stored."""

    nodes: list[Node]
    weights: dict[str, bytes]
    rest: list[bytes]

    def encode(self) -> bytes:
        nodes = (pack(NODE, node.encode()) for node in self.nodes)
        weights = (pack(INITIALIZER, tensor) for tensor in self.weights.values())
        return b"".join((*nodes, *weights, *self.rest))


def adapt(model: bytes, release: tuple[int, ...]) -> Adapted:
    """Translate a model for the parser of a TensorRT.

    Args:
        model: content of an ONNX file.
        release: version of TensorRT, e.g. (8, 5, 2); of tensorrt_rtx the one that it descends
            from.

    Returns:
        The model itself where nothing has to be changed.

    Raises:
        BundleError: the file is damaged.
        EngineError: it uses operators that this parser does not know.
    """
    steps: list[Callable[[_Graph], int]] = [_widen_weights, _cast_image_first, _labels_by_float]
    texts = ["float16 weights widened", "Cast of the image moved first", "labels cast by float32"]
    found, new_opset = opset(model), 0
    if release < _FIRST_NEW_PARSER and found > LAST_OLD_OPSET:
        if found > LAST_OLD_OPSET + 1:
            raise EngineError(
                f"TensorRT {'.'.join(map(str, release))} reads ONNX up to opset "
                f"{LAST_OLD_OPSET + 1}, the model has {found}; export it with an older one, or "
                "use TensorRT 10"
            )
        steps.append(_axes_to_attributes)
        texts.append(f"opset {found} translated to {LAST_OLD_OPSET}")
        new_opset = LAST_OLD_OPSET
    parts, counts = [], [0] * len(steps)
    for number, value, raw in fields(model):
        if number == GRAPH:
            graph = _read(body(value))
            counts = [step(graph) for step in steps]
            parts.append(pack(GRAPH, graph.encode()))
        elif number == OPSETS and new_opset and not name_of(body(value), 1):
            parts.append(pack(OPSETS, pack(1, "") + pack(2, new_opset)))
        else:
            parts.append(raw)
    changes = tuple(text for text, count in zip(texts, counts, strict=True) if count)
    return Adapted(b"".join(parts) if changes or new_opset else model, changes)


def _read(message: bytes) -> _Graph:
    graph = _Graph([], {}, [])
    for number, value, raw in fields(message):
        if number == NODE:
            graph.nodes.append(node_of(body(value)))
        elif number == INITIALIZER:
            graph.weights[name_of(body(value), 8)] = body(value)
        else:
            graph.rest.append(raw)
    return graph


# Weights -----------------------------------------------------------------------------------------


def _widen_weights(graph: _Graph) -> int:
    """Turn float16 weights behind a Cast to float32 into float32 weights."""
    kept, narrow = [], []
    for node in graph.nodes:
        wide = _widened(graph, node) if node.op == "Cast" else None
        if wide is None:
            kept.append(node)
        else:
            graph.weights[node.outputs[0]] = wide
            narrow.append(node.inputs[0])
    graph.nodes = kept
    used = {name for node in kept for name in node.inputs}
    for name in set(narrow) - used:
        del graph.weights[name]
    return len(narrow)


def _widened(graph: _Graph, node: Node) -> bytes | None:
    tensor = graph.weights.get(node.inputs[0])
    if tensor is None or node.integer("to") != FLOAT:
        return None
    found = {f.number: f.value for f in fields(tensor)}
    if found.get(2) != FLOAT16 or RAW_DATA not in found:
        return None
    values = np.frombuffer(body(found[RAW_DATA]), "<f2").astype("<f4")
    shape = integers(f.value for f in fields(tensor) if f.number == 1)
    return encode_tensor(node.outputs[0], FLOAT, shape, values.tobytes())


# uint8 -------------------------------------------------------------------------------------------


def _cast_image_first(graph: _Graph) -> int:
    """Swap image -> Transpose -> Cast into image -> Cast -> Transpose."""
    count = 0
    for index, node in enumerate(graph.nodes):
        users = [n for n in graph.nodes if node.outputs and node.outputs[0] in n.inputs]
        first = node.op == "Transpose" and node.inputs == ("image",)
        if not first or [user.op for user in users] != ["Cast"]:
            continue
        cast, middle = users[0], f"{node.inputs[0]}_as_float"
        place = graph.nodes.index(cast)
        graph.nodes[place] = _edited(node, (middle,), cast.outputs)
        graph.nodes[index] = _edited(cast, node.inputs, (middle,))
        count += 1
    return count


def _labels_by_float(graph: _Graph) -> int:
    """Put a Cast to float32 before each Cast to uint8 that has none."""
    makers = {name: node for node in graph.nodes for name in node.outputs}
    nodes: list[Node] = []
    for node in graph.nodes:
        maker = makers.get(node.inputs[0]) if node.inputs else None
        ready = maker is not None and maker.op == "Cast" and maker.integer("to") == FLOAT
        if node.op == "Cast" and node.integer("to") == UINT8 and not ready:
            middle = f"{node.outputs[0]}_as_float"
            to = {"to": int_attribute("to", FLOAT)}
            nodes.append(
                Node(op="Cast", inputs=node.inputs, outputs=(middle,), name=middle, attributes=to)
            )
            node = _edited(node, (middle,), node.outputs)
        nodes.append(node)
    count = len(nodes) - len(graph.nodes)
    graph.nodes = nodes
    return count


def _edited(node: Node, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> Node:
    return replace(node, inputs=inputs, outputs=outputs, raw=b"")


# Axes --------------------------------------------------------------------------------------------


def _axes_to_attributes(graph: _Graph) -> int:
    """Say the reductions of opset 18 as those of opset 17.

    Raises:
        EngineError: there is an operator that opset 17 does not have, or axes that are computed.
    """
    for index, node in enumerate(graph.nodes):
        if node.op in _NEW_IN_18 or (node.op == "Resize" and _resizes_anew(node)):
            raise EngineError(
                f"node '{node.name}' ({node.op} of opset 18) is unknown to this TensorRT; use "
                "TensorRT 10, or export the model with an older opset"
            )
        if node.op == "Resize":
            graph.nodes[index] = _without(node, *_RESIZE_18)
        if node.op in _REDUCTIONS and len(node.inputs) > 1 and node.inputs[1]:
            graph.nodes[index] = _with_axes(graph, node)
    return 1


def _resizes_anew(node: Node) -> bool:
    """Whether a Resize of opset 18 does what that of opset 17 could not."""
    policy = name_of(node.attributes.get("keep_aspect_ratio_policy", b""), 4)
    return bool(node.integer("antialias")) or "axes" in node.attributes or policy not in _STRETCH


def _without(node: Node, *names: str) -> Node:
    kept = {key: value for key, value in node.attributes.items() if key not in names}
    return replace(node, attributes=kept, raw=b"")


def _with_axes(graph: _Graph, node: Node) -> Node:
    tensor = graph.weights.get(node.inputs[1])
    if tensor is None:
        raise EngineError(
            f"node '{node.name}' ({node.op}) computes its axes, which this TensorRT cannot; use "
            "TensorRT 10"
        )
    axes = ints_attribute("axes", _integers_of(tensor))
    bare = _without(node, "noop_with_empty_axes")
    return replace(bare, inputs=node.inputs[:1], attributes={**bare.attributes, "axes": axes})


def _integers_of(tensor: bytes) -> list[int]:
    """Return the values of an int64 tensor."""
    for number, value, _ in fields(tensor):
        if number == RAW_DATA:
            return [int(v) for v in np.frombuffer(body(value), "<i8")]
    return integers(f.value for f in fields(tensor) if f.number == _INT64)
