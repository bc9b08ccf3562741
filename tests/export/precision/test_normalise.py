"""The normalisation as one node: the same values, and only where it is what it looks like."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from owseg_export.precision.normalise import fold_normalisation
from owseg_export.precision.parts import take_network, unpack_weights

RNG = np.random.default_rng(4)


def network(steps, order=("Cast", "Transpose")) -> onnx.ModelProto:
    """Build image -> Cast, Transpose -> (operator, constant) ... -> Conv of 1x1 that copies."""
    nodes, constants, name = [], {"w": np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1)}, "image"
    for kind in order:
        more = {"to": TensorProto.FLOAT} if kind == "Cast" else {"perm": [0, 3, 1, 2]}
        nodes.append(helper.make_node(kind, [name], [kind], **more))
        name = kind
    for index, (kind, value) in enumerate(steps):
        constants[f"c{index}"] = np.asarray(value, np.float32)
        nodes.append(helper.make_node(kind, [name, f"c{index}"], [f"v{index}"]))
        name = f"v{index}"
    nodes.append(helper.make_node("Conv", [name, "w"], ["y"]))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["B", 4, 5, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["B", 3, 4, 5])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])


def run(model: onnx.ModelProto) -> np.ndarray:
    data = model.SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    image = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 3), dtype=np.uint8)
    found: np.ndarray = session.run(None, {"image": image})[0]
    return found


def channels(*values: float) -> np.ndarray:
    return np.array(values).reshape(3, 1, 1)


@pytest.mark.parametrize("order", [("Cast", "Transpose"), ("Transpose", "Cast")])
@pytest.mark.parametrize(
    "steps",
    [
        [("Div", 255), ("Sub", channels(0.4, 0.5, 0.6)), ("Div", channels(0.2, 0.3, 0.4))],
        [("Sub", channels(1, 2, 3))],
        [("Mul", channels(0.1, 0.2, 0.3)), ("Add", 5), ("Mul", 2)],
        [("Div", [7.0])],
    ],
)
def test_the_same_values_by_one_node(steps, order) -> None:
    model = network(steps, order)
    want = run(model)
    assert fold_normalisation(model)
    onnx.checker.check_model(model)
    kinds = [node.op_type for node in model.graph.node]
    assert kinds == [*order, "BatchNormalization", "Conv"]
    assert not [t.name for t in model.graph.initializer if t.name.startswith("c")]
    np.testing.assert_allclose(run(model), want, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    ("steps", "order"),
    [
        ([], ("Cast", "Transpose")),
        ([("Div", np.ones((3, 4, 5)))], ("Cast", "Transpose")),
        ([("Pow", channels(1, 2, 3))], ("Cast", "Transpose")),
    ],
)
def test_anything_else_is_left_alone(steps, order) -> None:
    model = network(steps, order)
    before = model.SerializeToString()
    assert not fold_normalisation(model)
    assert model.SerializeToString() == before


def test_what_is_not_the_image_is_left_alone() -> None:
    model = network([("Div", 255)])
    model.graph.node.insert(2, helper.make_node("Relu", ["Transpose"], ["r"]))
    model.graph.node[3].input[0] = "r"
    before = model.SerializeToString()
    assert not fold_normalisation(model)
    assert model.SerializeToString() == before


def test_an_exported_network(exported) -> None:
    model = onnx.load(str(exported.path))
    unpack_weights(model)
    part = take_network(model)
    feed = {"image": exported.frames[0][0][None]}

    def embed() -> np.ndarray:
        data = part.SerializeToString()
        session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
        found: np.ndarray = session.run(["embedding"], feed)[0]
        return found

    want = embed()
    assert fold_normalisation(part)
    np.testing.assert_allclose(embed(), want, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", ["output", "node"])
def test_steps_that_something_else_reads_stay(kind: str) -> None:
    model = network([("Div", 255), ("Sub", channels(0.4, 0.5, 0.6))])
    value = helper.make_tensor_value_info("half_way", TensorProto.FLOAT, ["B", 3, 4, 5])
    if kind == "node":
        model.graph.node.append(helper.make_node("Relu", ["v0"], ["half_way"]))
        model.graph.output.append(value)
    else:
        value.name = "v0"
        model.graph.output.append(value)
    before = run(model)
    assert not fold_normalisation(model)
    np.testing.assert_array_equal(run(model), before)
