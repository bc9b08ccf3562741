"""The few lines of protobuf against the real thing, and on damaged bytes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from owseg.engines.onnx_file.model import (
    Node,
    external_files,
    int_attribute,
    ints_attribute,
    node_of,
    opset,
)
from owseg.engines.onnx_file.protobuf import fields, integers
from owseg.errors import BundleError

onnx = pytest.importorskip("onnx", reason="graphs are made with the package onnx")
helper, numpy_helper = onnx.helper, onnx.numpy_helper


@given(st.integers(-(2**63), 2**63 - 1))
def test_integers_survive(value):
    attribute = onnx.AttributeProto.FromString(int_attribute("axis", value))
    assert (attribute.name, attribute.i) == ("axis", value)
    node = Node(op="X", inputs=(), outputs=(), attributes={"axis": int_attribute("a", value)})
    assert node.integer("axis") == value


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=5))
def test_lists_of_integers_survive(values):
    attribute = onnx.AttributeProto.FromString(ints_attribute("axes", values))
    assert attribute == helper.make_attribute("axes", values, attr_type=7) or not values
    assert list(attribute.ints) == values
    packed = onnx.TensorProto(dims=values).SerializeToString()
    assert integers(f.value for f in fields(packed) if f.number == 1) == values


def test_nodes_are_read_and_written():
    proto = helper.make_node(
        "Concat", ["a", "", "ü"], ["out"], name="n", axis=-1, alpha=0.5, words=["x", "y"]
    )
    node = node_of(proto.SerializeToString())
    assert (node.op, node.inputs, node.outputs, node.name) == (
        "Concat",
        ("a", "", "ü"),
        ("out",),
        "n",
    )
    assert node.integer("axis") == -1
    assert node.integer("alpha") is None
    assert node.integer("nothing") is None
    rewritten = Node(
        op=node.op,
        inputs=node.inputs,
        outputs=node.outputs,
        name=node.name,
        attributes=node.attributes,
    )
    assert onnx.NodeProto.FromString(rewritten.encode()) == proto
    assert node.encode() == proto.SerializeToString()


def model(**more):
    weights = numpy_helper.from_array(np.arange(6, dtype=np.float32).reshape(2, 3), "w")
    graph = helper.make_graph([helper.make_node("Relu", ["w"], ["y"])], "g", [], [], [weights])
    return helper.make_model(graph, **more)


def test_fields_put_together_are_the_message():
    message = model(doc_string="words").SerializeToString()
    assert b"".join(field.raw for field in fields(message)) == message


def test_the_opset_is_that_of_onnx_itself():
    imports = [helper.make_opsetid("com.microsoft", 1), helper.make_opsetid("", 18)]
    assert opset(model(opset_imports=imports).SerializeToString()) == 18
    assert opset(onnx.ModelProto().SerializeToString()) == 0
    assert opset(onnx.ModelProto(opset_import=[onnx.OperatorSetIdProto()]).SerializeToString()) == 0


def test_files_with_weights_are_found(tmp_path):
    assert external_files(model().SerializeToString()) == ()
    path = tmp_path / "m.onnx"
    onnx.save(model(), str(path), save_as_external_data=True, location="w.bin", size_threshold=0)
    assert external_files(path.read_bytes()) == ("w.bin",)


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_a_truncated_file_says_so(cut):
    message = model().SerializeToString()
    with pytest.raises(BundleError, match="truncated"):
        list(fields(message[:-cut]))


@pytest.mark.parametrize("message", [b"\x0f", b"\xff" * 20, b"\x0a", b"\x09\x01"])
def test_damaged_bytes_say_so(message):
    with pytest.raises(BundleError, match=r"damaged|truncated"):
        list(fields(message))
