"""The heads as ONNX graphs, in several forms: from the embedding to label, score and decision.

All compute the same: the nearest known prototype, the mixture of distance sum and softmax score
with fitted constants, the novel prototypes in use, and the threshold. They differ in where they
enlarge and in which operators they use.

Shape legend: N known classes, K slots, D embedding size, H, W image size, h, w grid.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

OPSET = 18
FAR = np.float32(1e9)
ZERO, HALF, ONE = np.float32(0), np.float32(0.5), np.float32(1)
OUTPUTS = ("known", "anomaly", "open_set")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One size of the problem; `slots` = 0 leaves the novel prototypes out of the graph."""

    size: tuple[int, int]
    stride: int
    classes: int
    slots: int
    prototypes: np.ndarray
    low: float
    high: float

    @property
    def grid(self) -> tuple[int, int]:
        """(h, w)."""
        return self.size[0] // self.stride, self.size[1] // self.stride


@dataclass
class Graph:
    """Nodes in the order in which they are added; names are made up."""

    nodes: list[Any] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)

    def add(self, op: str, *inputs: Any, output: str = "", **attributes: Any) -> str:
        """Append a node; inputs are names or arrays. Returns the name of its output."""
        names = [x if isinstance(x, str) else self._constant(x) for x in inputs]
        name = output or f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, names, [name], **attributes))
        return name

    def _constant(self, value: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(value)
        return name


def build(case: Case, form: str) -> bytes:
    """Return a serialized model of the heads in one of FORMS."""
    graph = Graph()
    known, novel = FORMS[form](graph, case)
    _decide(graph, case, known, novel, written_out=form != "softmax")
    shapes, types = inputs_of(case), onnx.TensorProto
    kinds = {"anomaly": types.FLOAT}
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            form,
            [helper.make_tensor_value_info(n, types.FLOAT, shape) for n, shape in shapes.items()],
            [
                helper.make_tensor_value_info(n, kinds.get(n, types.UINT8), (1, *case.size))
                for n in OUTPUTS
            ],
            [numpy_helper.from_array(value, name) for name, value in graph.constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=8,
    )
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data


def inputs_of(case: Case) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the inputs by name."""
    size, slots = case.prototypes.shape[1], case.slots
    novel = {"vectors": (slots, size), "radius": (slots,), "valid": (slots,)}
    return {"embedding": (1, size, *case.grid), **(novel if slots else {}), "threshold": (1,)}


# Distances, in four ways --------------------------------------------------------------------------


def naive(graph: Graph, case: Case) -> tuple[str, str | None]:
    """Enlarge f, subtract every prototype from every pixel: (1, K, D, H, W)."""
    f = graph.add("Unsqueeze", _resize(graph, case, "embedding"), np.array([1]))

    def distances(vectors: Any, count: int) -> str:
        shape = np.array([1, count, case.prototypes.shape[1], 1, 1])
        gap = graph.add("Sub", f, graph.add("Reshape", vectors, shape))
        return graph.add("ReduceSum", graph.add("Mul", gap, gap), np.array([2]), keepdims=0)

    return _both(case, distances)


def full_norm(graph: Graph, case: Case) -> tuple[str, str | None]:
    """Enlarge f, then |f|^2 - 2 f.m + |m|^2 with one matrix product."""
    return _products(graph, case, _lift(graph, case, _resize(graph, case, "embedding")), case.size)


def lifted(graph: Graph, case: Case) -> tuple[str, str | None]:
    """Enlarge [f, |f|^2, 1], then one matrix product: as the exported graph does."""
    small = _lift(graph, case, "embedding")
    return _products(graph, case, _resize(graph, case, small), case.size)


def low_resolution(graph: Graph, case: Case) -> tuple[str, str | None]:
    """Distances in the grid, then enlarge one channel for each prototype."""
    small = _lift(graph, case, "embedding")
    known, novel = _products(graph, case, small, case.grid)
    return _resize(graph, case, known), novel and _resize(graph, case, novel)


FORMS: dict[str, Callable[[Graph, Case], tuple[str, str | None]]] = {
    "naive": naive,
    "softmax": lifted,
    "full norm": full_norm,
    "lifted": lifted,
    "low resolution": low_resolution,
}
"""Forms by name; "softmax" is "lifted" with the operator Softmax instead of its parts."""

SHIPPED = "lifted"
"""The form of the graphs that this project exports."""


def _both(case: Case, distances: Callable[[Any, int], str]) -> tuple[str, str | None]:
    known = distances(case.prototypes, case.classes)
    return known, distances("vectors", case.slots) if case.slots else None


def _products(graph: Graph, case: Case, f: str, size: tuple[int, int]) -> tuple[str, str | None]:
    channels = case.prototypes.shape[1] + 2
    flat = graph.add("Reshape", f, np.array([1, channels, -1]))

    def distances(vectors: Any, count: int) -> str:
        norms = graph.add(
            "ReduceSum", graph.add("Mul", vectors, vectors), np.array([1]), keepdims=1
        )
        ones = np.ones((count, 1), np.float32)
        rows = graph.add("Concat", graph.add("Mul", vectors, np.float32(-2)), ones, norms, axis=1)
        product = graph.add("MatMul", rows, flat)
        return graph.add("Reshape", product, np.array([1, count, *size]))

    return _both(case, distances)


def _lift(graph: Graph, case: Case, f: str) -> str:
    norm = graph.add("ReduceSum", graph.add("Mul", f, f), np.array([1]), keepdims=1)
    return graph.add("Concat", f, norm, graph.add("Add", graph.add("Sub", norm, norm), ONE), axis=1)


def _resize(graph: Graph, case: Case, maps: str) -> str:
    scale = np.array([1, 1, case.stride, case.stride], np.float32)
    return graph.add(
        "Resize",
        maps,
        "",
        scale,
        mode="linear",
        coordinate_transformation_mode="half_pixel",
        antialias=0,
    )


# Scores and decisions -----------------------------------------------------------------------------


def _decide(graph: Graph, case: Case, known: str, novel: str | None, *, written_out: bool) -> None:
    distances = graph.add("Max", known, ZERO)
    nearest = graph.add("ReduceMin", distances, np.array([1]), keepdims=0)
    anomaly = _score(graph, case, distances, written_out=written_out)
    label = graph.add("ArgMin", distances, axis=1, keepdims=0)
    unknown = graph.add("Greater", anomaly, "threshold")
    if novel is not None:
        claimed, slot = _claims(graph, case, novel, nearest)
        label = graph.add("Where", claimed, slot, label)
        unknown = graph.add("And", unknown, graph.add("Not", claimed))
    graph.add("Cast", label, output="known", to=onnx.TensorProto.UINT8)
    graph.add("Where", unknown, np.uint8(255), "known", output="open_set")


def _score(graph: Graph, case: Case, distances: str, *, written_out: bool) -> str:
    total = graph.add("ReduceSum", distances, np.array([1]), keepdims=0)
    scaled = graph.add(
        "Div",
        graph.add("Sub", graph.add("Neg", total), np.float32(case.low)),
        np.float32(case.high - case.low),
    )
    eds = graph.add("Clip", scaled, ZERO, ONE)
    logits = graph.add("Neg", distances)
    if written_out:
        largest = graph.add("ReduceMax", logits, np.array([1]), keepdims=1)
        exponents = graph.add("Exp", graph.add("Sub", logits, largest))
        share = graph.add(
            "Reciprocal", graph.add("ReduceSum", exponents, np.array([1]), keepdims=0)
        )
    else:
        share = graph.add(
            "ReduceMax", graph.add("Softmax", logits, axis=1), np.array([1]), keepdims=0
        )
    mmsp = graph.add("Sub", ONE, share)
    gate = graph.add("Mul", graph.add("Sub", eds, np.float32(0.8)), np.float32(20))
    alpha = graph.add("Sigmoid", gate)
    rest = graph.add("Mul", graph.add("Sub", ONE, alpha), mmsp)
    return graph.add("Add", graph.add("Mul", alpha, eds), rest, output="anomaly")


def _claims(graph: Graph, case: Case, novel: str, nearest: str) -> tuple[str, str]:
    used = graph.add("Greater", "valid", HALF)
    reach = graph.add("Where", used, "radius", -FAR)
    reach = graph.add("Reshape", reach, np.array([1, case.slots, 1, 1]))
    within = graph.add("Where", graph.add("Less", novel, reach), novel, FAR)
    slot = graph.add("ArgMin", within, axis=1, keepdims=1)
    least = graph.add("GatherElements", within, slot, axis=1)
    first = np.array([1])
    claimed = graph.add("Less", graph.add("Squeeze", least, first), nearest)
    value = graph.add("Add", graph.add("Squeeze", slot, first), np.int64(case.classes))
    return claimed, value
