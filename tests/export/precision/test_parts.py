"""Taking the network out of a bundle and putting it back changes nothing."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, numpy_helper

from owseg.bundle import OUTPUTS
from owseg.errors import BundleError
from owseg_export.precision.parts import (
    last_convolutions,
    network_nodes,
    replace_network,
    take_network,
    unpack_weights,
)


@pytest.fixture
def model(exported) -> onnx.ModelProto:
    loaded = onnx.load(str(exported.path))
    unpack_weights(loaded)
    return loaded


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    data = model.SerializeToString()
    return onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])


def feed_of(exported) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    slots, size = exported.manifest.slots, exported.manifest.embedding_size
    return {
        "image": exported.frames[0][0][None],
        "prototypes": rng.normal(0, 2, (slots, size)).astype(np.float32),
        "prototype_radius": np.full(slots, 4.0, np.float32),
        "prototype_valid": np.ones(slots, np.float32),
        "anomaly_threshold": np.array([0.5], np.float32),
    }


def test_unpacked_weights_are_those_of_the_file(exported, model) -> None:
    stored = onnx.load(str(exported.path))
    assert any(t.data_type == TensorProto.FLOAT16 for t in stored.graph.initializer)
    assert all(t.data_type != TensorProto.FLOAT16 for t in model.graph.initializer)
    onnx.checker.check_model(model)
    feed = feed_of(exported)
    for a, b in zip(session(stored).run(None, feed), session(model).run(None, feed), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_network_alone_gives_its_outputs(exported, model) -> None:
    network = take_network(model)
    onnx.checker.check_model(network)
    assert [value.name for value in network.graph.input] == ["image"]
    names = {value.name for value in network.graph.output}
    assert {"embedding", "direction"} <= names
    assert names.isdisjoint(OUTPUTS[:3])
    feed = feed_of(exported)
    want = session(model).run(["embedding", "direction"], feed)
    found = session(network).run(["embedding", "direction"], {"image": feed["image"]})
    for a, b in zip(want, found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_heads_hold_no_convolution_and_the_network_no_decision(model) -> None:
    inside = network_nodes(model.graph)
    heads = [node for node in model.graph.node if node.output[0] not in inside]
    assert {"ArgMin", "Where", "Clip"} <= {node.op_type for node in heads}
    assert "Conv" not in {node.op_type for node in heads}
    assert inside.isdisjoint(OUTPUTS[:3])


def test_taken_out_and_put_back_nothing_changes(exported, model) -> None:
    again = replace_network(model, take_network(model))
    onnx.checker.check_model(again)
    assert again.metadata_props == model.metadata_props
    assert [o.name for o in again.graph.output] == list(OUTPUTS)
    feed = feed_of(exported)
    for a, b in zip(session(model).run(None, feed), session(again).run(None, feed), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_last_convolutions_make_embedding_and_direction(model) -> None:
    names = last_convolutions(model.graph)
    outputs = {node.output[0] for node in model.graph.node if node.name in names}
    assert outputs == {"embedding", "direction"}


def test_another_network_is_really_put_in(exported, model) -> None:
    network = take_network(model)
    last = next(node for node in network.graph.node if node.output[0] == "embedding")
    bias = next(t for t in network.graph.initializer if t.name == last.input[2])
    moved = numpy_helper.to_array(bias) + np.float32(1)
    bias.CopyFrom(numpy_helper.from_array(moved, bias.name))
    feed = feed_of(exported)
    found = session(replace_network(model, network)).run(["embedding"], feed)[0]
    want = session(model).run(["embedding"], feed)[0] + 1
    np.testing.assert_allclose(found, want, rtol=1e-5, atol=1e-5)


def test_a_graph_without_convolutions(tiny_bundle) -> None:
    with pytest.raises(BundleError, match="no convolution; there is nothing to do"):
        take_network(onnx.load(str(tiny_bundle)))
