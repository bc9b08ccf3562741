"""Cutting graphs: against onnx's own extractor, what runs, and what is refused."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from owseg.bundle import OUTPUTS
from owseg.engines.onnx_file.cut import cut
from owseg.errors import BundleError

onnx = pytest.importorskip("onnx", reason="the graphs are made with the package onnx")
helper, types = onnx.helper, onnx.TensorProto


def names(items):
    return sorted(item.name for item in items)


def outputs_of(nodes):
    return [list(node.output) for node in nodes]


@pytest.mark.parametrize(
    "wanted", [("embedding",), ("embedding", "direction"), ("known",), ("anomaly",), OUTPUTS]
)
def test_the_same_nodes_as_onnx_itself_extracts(tiny_bundle, wanted):
    data = tiny_bundle.read_bytes()
    whole = onnx.load_from_string(data)
    found = onnx.load_from_string(cut(data, wanted))
    onnx.checker.check_model(found)
    inputs = [i.name for i in whole.graph.input]
    expected = onnx.utils.Extractor(whole).extract_model(inputs, list(wanted)).graph
    assert outputs_of(found.graph.node) == [
        o for o in outputs_of(whole.graph.node) if o in outputs_of(expected.node)
    ]
    assert names(found.graph.initializer) == names(expected.initializer)
    assert [o.name for o in found.graph.output] == [n for n in OUTPUTS if n in wanted]


def test_inputs_that_nothing_reads_are_left_out(tiny_bundle):
    data = tiny_bundle.read_bytes()
    assert names(onnx.load_from_string(cut(data, ["embedding"])).graph.input) == ["image"]
    assert "prototypes" in names(onnx.load_from_string(cut(data, ["known"])).graph.input)


def test_all_outputs_leave_the_file_as_it_is(tiny_bundle):
    data = tiny_bundle.read_bytes()
    assert onnx.load_from_string(cut(data, OUTPUTS)) == onnx.load_from_string(data)


def test_what_is_around_the_graph_is_kept(tiny_bundle):
    whole, found = (
        onnx.load_from_string(data)
        for data in (tiny_bundle.read_bytes(), cut(tiny_bundle.read_bytes(), ["embedding"]))
    )
    assert found.metadata_props == whole.metadata_props
    assert found.opset_import == whole.opset_import
    assert found.ir_version == whole.ir_version


def run(data, outputs, feed):
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    return session.run(list(outputs), {i.name: feed[i.name] for i in session.get_inputs()})


def value(name, kind, shape):
    return helper.make_tensor_value_info(name, kind, shape)


def branching(outer_name="outer"):
    """Build a graph whose If reads a name from around it, and a node that nothing needs."""
    branches = {
        name: helper.make_graph(
            [helper.make_node(op, [outer_name, "x"], ["branch_out"])],
            name,
            [],
            [value("branch_out", types.FLOAT, [2])],
        )
        for name, op in (("then_branch", "Add"), ("else_branch", "Sub"))
    }
    # Not in the order of a file that onnx writes, which readers need not rely on.
    nodes = [
        helper.make_node("Mul", ["x", "two"], [outer_name]),
        helper.make_node("Neg", ["x"], ["idle"]),
        helper.make_node("If", ["flag"], ["chosen"], **branches),
    ]
    graph = helper.make_graph(
        nodes,
        "branching",
        [value("x", types.FLOAT, [2]), value("flag", types.BOOL, [])],
        [value("idle", types.FLOAT, [2]), value("chosen", types.FLOAT, [2])],
        [onnx.numpy_helper.from_array(np.array([2.0], np.float32), "two")],
        value_info=[value(outer_name, types.FLOAT, [2])],
    )
    opsets = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, ir_version=8, opset_imports=opsets).SerializeToString()


@pytest.mark.parametrize("flag", [True, False])
def test_graphs_inside_of_nodes_keep_what_they_read_outside(flag):
    data = branching()
    small = cut(data, ["chosen"])
    assert outputs_of(onnx.load_from_string(small).graph.node) == [["outer"], ["chosen"]]
    feed = {"x": np.array([3, -1], np.float32), "flag": np.array(flag)}
    np.testing.assert_array_equal(run(small, ["chosen"], feed), run(data, ["chosen"], feed))


def test_a_value_that_is_an_initializer_is_kept():
    small = onnx.load_from_string(cut(branching(), ["idle"]))
    assert outputs_of(small.graph.node) == [["idle"]]
    assert names(small.graph.initializer) == []
    assert names(onnx.load_from_string(cut(branching(), ["chosen"])).graph.initializer) == ["two"]


def test_an_output_that_is_not_there(tiny_bundle):
    with pytest.raises(BundleError, match="no output 'depth'; export again"):
        cut(tiny_bundle.read_bytes(), ["embedding", "depth"])


def test_damaged_files(tiny_bundle):
    data = tiny_bundle.read_bytes()
    for length in (len(data) // 3, len(data) - 1):
        with pytest.raises(BundleError, match=r"truncated|damaged"):
            cut(data[:length], ["embedding"])


def test_an_output_can_be_given_instead(tiny_bundle, tiny_manifest):
    data = tiny_bundle.read_bytes()
    found = onnx.load_from_string(cut(data, ("known", "anomaly"), ("embedding",)))
    onnx.checker.check_model(found, full_check=True)
    inputs = {value.name: value for value in found.graph.input}
    assert "embedding" in inputs
    assert "embedding" not in {name for node in found.graph.node for name in node.output}
    feed = {
        "image": np.random.default_rng(0).integers(0, 256, (2, 24, 32, 3), dtype=np.uint8),
        "prototypes": np.zeros((tiny_manifest.slots, tiny_manifest.embedding_size), np.float32),
        "prototype_radius": np.zeros(tiny_manifest.slots, np.float32),
        "prototype_valid": np.zeros(tiny_manifest.slots, np.float32),
        "anomaly_threshold": np.array([0.5], np.float32),
    }
    options = {"providers": ["CPUExecutionProvider"]}
    names = ["embedding", "known", "anomaly"]
    whole = onnxruntime.InferenceSession(data, **options).run(names, feed)
    feed["embedding"] = whole[0]
    part = onnxruntime.InferenceSession(found.SerializeToString(), **options)
    needed = {value.name: feed[value.name] for value in part.get_inputs()}
    for found_one, wanted in zip(part.run(names[1:], needed), whole[1:], strict=True):
        np.testing.assert_array_equal(found_one, wanted)
    with pytest.raises(BundleError, match="has no output 'x'"):
        cut(data, ("known",), ("x",))
