"""Cut an ONNX graph down to what some of its outputs need.

ONNX Runtime computes every node of a graph, whichever outputs are fetched. Nodes, initializers,
inputs and outputs are repeated fields of the graph, so that leaving some out is copying the
others.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from owseg.engines.onnx_file.model import (
    GRAPH,
    INITIALIZER,
    INPUT,
    NODE,
    OUTPUT,
    VALUE_INFO,
    Node,
    node_of,
)
from owseg.engines.onnx_file.protobuf import body, fields, name_of, pack
from owseg.errors import BundleError

_NAMES = {INITIALIZER: 8, INPUT: 1, OUTPUT: 1, VALUE_INFO: 1}
"""Field of the name in those fields of a graph that have one."""

_SUBGRAPHS = (6, 11)
"""Fields of an attribute that hold one graph or several."""


def cut(model: bytes, outputs: Collection[str], inputs: Collection[str] = ()) -> bytes:
    """Return a model with some of the outputs, and without what they do not need.

    Args:
        model: a serialized ONNX model with its weights inside.
        outputs: names of outputs of its graph.
        inputs: names of further outputs that are given to the new graph instead of computed.

    Raises:
        BundleError: not a serialized ONNX model, or no output has this name.
    """
    return b"".join(
        pack(GRAPH, _cut_graph(body(value), outputs, inputs)) if number == GRAPH else raw
        for number, value, raw in fields(model)
    )


def _cut_graph(graph: bytes, outputs: Collection[str], inputs: Collection[str]) -> bytes:
    parts = list(fields(graph))
    present = {
        name_of(body(f.value), _NAMES[OUTPUT]): body(f.value) for f in parts if f.number == OUTPUT
    }
    missing = sorted({*outputs, *inputs} - present.keys())
    if missing:
        raise BundleError(f"the graph has no output '{missing[0]}'; export again")
    nodes = [node_of(body(f.value)) for f in parts if f.number == NODE]
    used, needed = _reach(nodes, outputs, inputs)
    kept, index = [pack(INPUT, present[name]) for name in inputs], 0
    for number, value, raw in parts:
        if number == NODE:
            wanted = index in used
            index += 1
        elif number == OUTPUT:
            wanted = name_of(body(value), _NAMES[number]) in outputs
        else:
            wanted = number not in _NAMES or name_of(body(value), _NAMES[number]) in needed
        if wanted:
            kept.append(raw)
    return b"".join(kept)


def _reach(
    nodes: Sequence[Node], outputs: Collection[str], given: Collection[str]
) -> tuple[set[int], set[str]]:
    """Return the nodes that the outputs depend on, and all names that they read or make."""
    makers = {name: index for index, node in enumerate(nodes) for name in node.outputs}
    makers = {name: index for name, index in makers.items() if name not in given}
    used: set[int] = set()
    needed: set[str] = set()
    waiting = list(outputs)
    while waiting:
        name = waiting.pop()
        if name in needed:
            continue
        needed.add(name)
        maker = makers.get(name)
        if maker is not None and maker not in used:
            used.add(maker)
            needed.update(nodes[maker].outputs)
            waiting += _reads(nodes[maker])
    return used, needed


def _reads(node: Node) -> list[str]:
    """Return the names that a node reads, those that graphs in its attributes read included."""
    names = list(node.inputs)
    for attribute in node.attributes.values():
        for number, value, _ in fields(attribute):
            if number in _SUBGRAPHS:
                names += _reads_inside(body(value))
    return names


def _reads_inside(graph: bytes) -> list[str]:
    names = []
    for number, value, _ in fields(graph):
        if number == NODE:
            names += _reads(node_of(body(value)))
        elif number == OUTPUT:
            names.append(name_of(body(value), _NAMES[OUTPUT]))
    return names
