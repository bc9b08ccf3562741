"""What is changed for TensorRT's parsers leaves every number as it is."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from owseg.bundle import OUTPUTS, load_bundle, shipped_model
from owseg.engines import PrototypeSlots
from owseg.engines.tensorrt.adapt import adapt
from owseg.errors import BundleError, EngineError

onnx = pytest.importorskip("onnx", reason="graphs are made with the package onnx")
helper, types = onnx.helper, onnx.TensorProto
tensor = helper.make_tensor_value_info

OLD, NEW = (8, 5, 2), (10,)
RNG = np.random.default_rng(3)


def run(model, feed):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feed), strict=True))


def same_numbers(before, after, feed):
    expected, found = run(before, feed), run(after, feed)
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array, err_msg=name)
    return expected


def make(nodes, inputs, outputs, weights=(), opset=18):
    graph = helper.make_graph(
        [
            helper.make_node(op, ins, outs, name=f"n_{outs[0]}", **more)
            for op, ins, outs, more in nodes
        ],
        "g",
        inputs,
        outputs,
        [
            onnx.numpy_helper.from_array(np.asarray(value), name)
            for name, value in dict(weights).items()
        ],
    )
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, ir_version=8, opset_imports=opsets).SerializeToString()


def nodes_of(model):
    return [node.op_type for node in onnx.load_from_string(model).graph.node]


# The shipped model -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shipped():
    return shipped_model().read_bytes()


@pytest.fixture(scope="module")
def street_feed():
    """Give an image, and prototypes that claim pixels of it: made of its own embedding."""
    bundle = load_bundle(shipped_model())
    m = bundle.manifest
    slots = PrototypeSlots.empty(m)
    image = np.kron(RNG.integers(0, 256, (1, 30, 40, 3)), np.ones((1, 12, 12, 1))).astype(np.uint8)
    feed = {
        "image": image,
        "prototypes": slots.vectors,
        "prototype_radius": slots.radius,
        "prototype_valid": slots.valid,
        "anomaly_threshold": np.array([m.threshold()], np.float32),
    }
    embedding = run(str(bundle.path), feed)["embedding"]
    slots.vectors[3], slots.vectors[7] = embedding[0, :, 20, 30], embedding[0, :, 60, 90]
    slots.radius[:], slots.valid[[3, 7]] = 0.2, 1
    return feed


@pytest.mark.parametrize("release", [OLD, NEW])
def test_the_shipped_model_computes_the_same(shipped, street_feed, release):
    adapted = adapt(shipped, release)
    proto = onnx.load_from_string(adapted.model)
    onnx.checker.check_model(proto, full_check=True)
    assert proto.opset_import[0].version == (17 if release == OLD else 18)
    assert [entry.key for entry in proto.metadata_props] == ["owseg.manifest"]
    assert {t.data_type for t in proto.graph.initializer} <= {types.FLOAT, types.INT64}
    found = same_numbers(shipped, adapted.model, street_feed)
    assert set(found) == set(OUTPUTS)
    claimed = np.unique(found["known"])
    assert {10 + 3, 10 + 7} <= set(claimed.tolist())
    assert 255 in found["open_set"]


def test_what_is_changed_is_said(shipped):
    assert adapt(shipped, OLD).changes[-1] == "opset 18 translated to 17"
    assert "opset 18 translated to 17" not in adapt(shipped, NEW).changes


def test_twice_is_once(shipped):
    for release in (OLD, NEW):
        once = adapt(shipped, release)
        assert adapt(once.model, release) == (once.model, ())


# Each change -------------------------------------------------------------------------------------


def test_weights_are_widened():
    kernel = RNG.normal(size=(4, 3, 1, 1)).astype(np.float16)
    model = make(
        [
            ("Cast", ["half"], ["kernel"], {"to": types.FLOAT}),
            ("Conv", ["x", "kernel"], ["y"], {}),
            ("Cast", ["half"], ["other"], {"to": types.DOUBLE}),
            ("ReduceSum", ["other"], ["sum"], {"keepdims": 0}),
        ],
        [tensor("x", types.FLOAT, [1, 3, 5, 5])],
        [tensor("y", types.FLOAT, [1, 4, 5, 5]), tensor("sum", types.DOUBLE, [])],
        {"half": kernel},
    )
    adapted = adapt(model, NEW)
    assert adapted.changes == ("float16 weights widened",)
    assert nodes_of(adapted.model) == ["Conv", "Cast", "ReduceSum"]
    weights = {t.name: t for t in onnx.load_from_string(adapted.model).graph.initializer}
    assert set(weights) == {"half", "kernel"}  # the half is still used
    wide = onnx.numpy_helper.to_array(weights["kernel"])
    np.testing.assert_array_equal(wide, kernel.astype(np.float32))
    same_numbers(model, adapted.model, {"x": RNG.normal(size=(1, 3, 5, 5)).astype(np.float32)})


def test_the_image_is_cast_first():
    model = make(
        [
            ("Transpose", ["image"], ["planes"], {"perm": [0, 3, 1, 2]}),
            ("Cast", ["planes"], ["y"], {"to": types.FLOAT}),
        ],
        [tensor("image", types.UINT8, [1, 4, 5, 3])],
        [tensor("y", types.FLOAT, [1, 3, 4, 5])],
    )
    adapted = adapt(model, NEW)
    assert nodes_of(adapted.model) == ["Cast", "Transpose"]
    onnx.checker.check_model(onnx.load_from_string(adapted.model), full_check=True)
    same_numbers(model, adapted.model, {"image": RNG.integers(0, 256, (1, 4, 5, 3), np.uint8)})


def test_an_image_that_is_used_twice_is_left_alone():
    model = make(
        [
            ("Transpose", ["image"], ["planes"], {"perm": [0, 3, 1, 2]}),
            ("Cast", ["planes"], ["y"], {"to": types.FLOAT}),
            ("Identity", ["planes"], ["z"], {}),
        ],
        [tensor("image", types.UINT8, [1, 4, 5, 3])],
        [tensor("y", types.FLOAT, [1, 3, 4, 5]), tensor("z", types.UINT8, [1, 3, 4, 5])],
    )
    assert adapt(model, NEW) == (model, ())


def test_labels_become_bytes_by_way_of_floats():
    model = make(
        [
            ("ArgMax", ["x"], ["best"], {"axis": 1, "keepdims": 0}),
            ("Cast", ["best"], ["known"], {"to": types.UINT8}),
            ("Cast", ["x"], ["floats"], {"to": types.FLOAT}),
            ("Cast", ["floats"], ["ready"], {"to": types.UINT8}),
        ],
        [tensor("x", types.FLOAT, [1, 200, 4])],
        [tensor("known", types.UINT8, [1, 4]), tensor("ready", types.UINT8, [1, 200, 4])],
    )
    adapted = adapt(model, NEW)
    assert nodes_of(adapted.model) == ["ArgMax", "Cast", "Cast", "Cast", "Cast"]
    x = RNG.integers(0, 200, (1, 200, 4)).astype(np.float32)
    assert same_numbers(model, adapted.model, {"x": x})["known"].max() > 3


REDUCTIONS = ("Max", "Mean", "Min", "Prod", "L1", "L2", "LogSum", "LogSumExp", "SumSquare")


@pytest.mark.parametrize("name", REDUCTIONS)
def test_axes_become_attributes_below_tensorrt_10(name):
    """Else the parser of 8.5 and 8.6 would reduce over everything."""
    model = make(
        [
            (f"Reduce{name}", ["x", "axes"], ["one"], {"keepdims": 0}),
            (f"Reduce{name}", ["x", "last"], ["two"], {"keepdims": 1, "noop_with_empty_axes": 0}),
            (f"Reduce{name}", ["x"], ["all"], {"keepdims": 0}),
            ("ReduceSum", ["x", "axes"], ["sum"], {"keepdims": 0}),
        ],
        [tensor("x", types.FLOAT, [2, 3, 4])],
        [
            tensor("one", types.FLOAT, [3]),
            tensor("two", types.FLOAT, [2, 3, 1]),
            tensor("all", types.FLOAT, []),
            tensor("sum", types.FLOAT, [3]),
        ],
        {"axes": np.array([0, 2]), "last": np.array([-1])},
    )
    assert adapt(model, NEW) == (model, ())
    adapted = adapt(model, OLD)
    proto = onnx.load_from_string(adapted.model)
    onnx.checker.check_model(proto, full_check=True)
    assert [len(node.input) for node in proto.graph.node] == [1, 1, 1, 2]
    same_numbers(model, adapted.model, {"x": 1 + RNG.random((2, 3, 4), np.float32)})


def test_axes_stored_as_numbers_are_read():
    model = onnx.load_from_string(
        make(
            [("ReduceMin", ["x", "axes"], ["y"], {"keepdims": 0})],
            [tensor("x", types.FLOAT, [2, 3])],
            [tensor("y", types.FLOAT, [2])],
        )
    )
    model.graph.initializer.append(helper.make_tensor("axes", types.INT64, [1], [1]))
    source = model.SerializeToString()
    x = RNG.random((2, 3), np.float32)
    found = same_numbers(source, adapt(source, OLD).model, {"x": x})
    np.testing.assert_array_equal(found["y"], x.min(axis=1))


def test_a_resize_of_the_old_kind_stays():
    model = make(
        [
            (
                "Resize",
                ["x", "", "scales"],
                ["y"],
                {"mode": "linear", "antialias": 0, "keep_aspect_ratio_policy": "stretch"},
            )
        ],
        [tensor("x", types.FLOAT, [1, 1, 3, 3])],
        [tensor("y", types.FLOAT, [1, 1, 6, 6])],
        {"scales": np.array([1, 1, 2, 2], np.float32)},
    )
    adapted = adapt(model, OLD)
    onnx.checker.check_model(onnx.load_from_string(adapted.model), full_check=True)
    same_numbers(model, adapted.model, {"x": RNG.random((1, 1, 3, 3), np.float32)})


@pytest.mark.parametrize(
    ("op", "more"),
    [
        ("Mish", {}),
        ("Resize", {"antialias": 1, "mode": "linear"}),
        ("Resize", {"axes": [2, 3]}),
        ("Resize", {"keep_aspect_ratio_policy": "not_larger"}),
    ],
)
def test_what_only_opset_18_can_is_refused_below_tensorrt_10(op, more):
    shape = [tensor("x", types.FLOAT, [1, 1, 3, 3])]
    model = make([(op, ["x"], ["y"], more)], shape, [tensor("y", types.FLOAT, None)])
    with pytest.raises(EngineError, match=rf"node 'n_y' \({op} of opset 18\) is unknown"):
        adapt(model, OLD)
    assert adapt(model, NEW) == (model, ())


def test_axes_that_are_computed_are_refused_below_tensorrt_10():
    inputs = [tensor("x", types.FLOAT, [2, 3]), tensor("axes", types.INT64, [1])]
    model = make(
        [("ReduceMin", ["x", "axes"], ["y"], {})], inputs, [tensor("y", types.FLOAT, None)]
    )
    with pytest.raises(EngineError, match=r"node 'n_y' \(ReduceMin\) computes its axes"):
        adapt(model, OLD)


def test_a_newer_opset_is_refused_below_tensorrt_10():
    shape = [tensor("x", types.FLOAT, [2])]
    model = make([("Relu", ["x"], ["y"], {})], shape, [tensor("y", types.FLOAT, [2])], opset=19)
    with pytest.raises(EngineError, match=r"TensorRT 8\.5\.2 reads ONNX up to opset 18, .* has 19"):
        adapt(model, OLD)
    assert adapt(model, NEW) == (model, ())
    older = make([("Relu", ["x"], ["y"], {})], shape, [tensor("y", types.FLOAT, [2])], opset=17)
    assert adapt(older, OLD) == (older, ())


def test_a_damaged_file(shipped):
    with pytest.raises(BundleError, match="truncated"):
        adapt(shipped[:-100], NEW)
