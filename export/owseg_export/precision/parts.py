"""The network of a bundle taken apart from its heads, and both put together again.

The network is all that a convolution, the embedding or the direction depends on. Behind it lie
distances, scores and decisions, which stay float32 whatever the network computes in.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from owseg.errors import BundleError

RESULTS = ("embedding", "direction")


def unpack_weights(model: onnx.ModelProto) -> None:
    """Turn initializers that are stored as float16 with a Cast behind into float32, in place."""
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    kept = []
    for node in model.graph.node:
        source = stored.get(node.input[0]) if node.op_type == "Cast" else None
        if source is None or source.data_type != onnx.TensorProto.FLOAT16:
            kept.append(node)
            continue
        values = numpy_helper.to_array(source).astype(np.float32)
        source.CopyFrom(numpy_helper.from_array(values, node.output[0]))
    del model.graph.node[:]
    model.graph.node.extend(kept)


def network_nodes(graph: Any) -> set[str]:
    """Return the nodes of the network, by the name of their first output."""
    makers = {name: node for node in graph.node for name in node.output}
    waiting = [*RESULTS, *(n.output[0] for n in graph.node if n.op_type == "Conv")]
    found: set[str] = set()
    while waiting:
        node = makers.get(waiting.pop())
        if node is not None and node.output[0] not in found:
            found.add(node.output[0])
            waiting += node.input
    return found


def take_network(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the network as a model of its own.

    Its outputs are the values that the heads, or the bundle, take from it.

    Raises:
        BundleError: it has no convolution.
    """
    inferred = onnx.shape_inference.infer_shapes(model)
    graph, inside = inferred.graph, network_nodes(inferred.graph)
    nodes = [node for node in graph.node if node.output[0] in inside]
    if not any(node.op_type == "Conv" for node in nodes):
        raise BundleError("the network of the bundle has no convolution; there is nothing to do")
    made = [name for node in nodes for name in node.output if name]
    wanted = {i for n in graph.node if n.output[0] not in inside for i in n.input}
    wanted |= {value.name for value in graph.output}
    types = {value.name: value for value in (*graph.value_info, *graph.output)}
    read = {name for node in nodes for name in node.input}
    part = helper.make_graph(
        nodes,
        "network",
        [value for value in graph.input if value.name in read],
        [types[name] for name in made if name in wanted],
        [tensor for tensor in graph.initializer if tensor.name in read],
        value_info=[types[name] for name in made if name in types],
    )
    return helper.make_model(
        part, opset_imports=list(model.opset_import), ir_version=model.ir_version
    )


def replace_network(model: onnx.ModelProto, network: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with another network of the same outputs."""
    inside = network_nodes(model.graph)
    heads = [node for node in model.graph.node if node.output[0] not in inside]
    needed = {name for node in heads for name in node.input}
    read = needed | {name for node in network.graph.node for name in node.input}
    own = [tensor for tensor in network.graph.initializer if tensor.name in read]
    names = {tensor.name for tensor in own}
    shared = [t for t in model.graph.initializer if t.name in needed and t.name not in names]
    graph = helper.make_graph(
        [*network.graph.node, *heads],
        model.graph.name,
        list(model.graph.input),
        list(model.graph.output),
        [*own, *shared],
    )
    result = helper.make_model(
        graph,
        opset_imports=_opsets(model, network),
        ir_version=max(model.ir_version, network.ir_version),
        producer_name=model.producer_name,
        producer_version=model.producer_version,
    )
    result.metadata_props.extend(model.metadata_props)
    return result


def last_convolutions(graph: Any) -> list[str]:
    """Return the names of the convolutions behind which no other one comes.

    They make embedding, direction and the embeddings of later heads: what distances are
    measured in.
    """
    followers = _followers(graph)
    names = []
    for node in graph.node:
        if node.op_type == "Conv":
            behind = _behind(node.output, followers)
            if not any(other.op_type == "Conv" for other in behind):
                names.append(node.name)
    return names


def _followers(graph: Any) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            found.setdefault(name, []).append(node)
    return found


def _behind(names: Iterable[str], followers: dict[str, list[Any]]) -> list[Any]:
    waiting, seen, nodes = list(names), set(), []
    while waiting:
        for node in followers.get(waiting.pop(), ()):
            if node.output[0] not in seen:
                seen.add(node.output[0])
                nodes.append(node)
                waiting += node.output
    return nodes


def _opsets(*models: onnx.ModelProto) -> Sequence[Any]:
    versions: dict[str, int] = {}
    for model in models:
        for entry in model.opset_import:
            versions[entry.domain] = max(versions.get(entry.domain, 0), entry.version)
    return [helper.make_opsetid(domain, version) for domain, version in versions.items()]
