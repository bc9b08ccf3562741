"""Scores in fewer bytes: what they are worth, from every engine, and how many bytes there are."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from owseg.bundle import OUTPUTS
from owseg.engines import FakeEngine, OnnxRuntimeEngine, PrototypeSlots, fake_manifest
from owseg.engines.base import COMPACT
from owseg.engines.compact import SCORES, add_compact, bytes_of, narrow, widen
from owseg.engines.tensorrt import open_cached

ALL = (*OUTPUTS, *COMPACT)


@pytest.fixture
def scores():
    """Give scores: all steps, their halves, and both ends."""
    steps = np.arange(256, dtype=np.float32) / np.float32(255)
    between = np.random.default_rng(0).random(2000).astype(np.float32)
    ends = np.array([0, 1, 0.5 / 255, 254.5 / 255], np.float32)
    return np.concatenate([steps, between, ends])


def test_bytes_are_rounded_to_the_nearest_step(scores):
    found = narrow("anomaly_u8", scores)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found[:256], np.arange(256))
    assert np.abs(widen(found) - scores).max() <= 0.5 / 255 + 1e-6
    np.testing.assert_array_equal(narrow("anomaly_u8", widen(found)), found)


def test_halves_are_the_nearest_float16(scores):
    found = narrow("anomaly_f16", scores)
    assert found.dtype == np.float16
    assert widen(found).dtype == np.float32
    assert np.abs(widen(found) - scores).max() <= 2**-12
    assert widen(scores) is scores


def test_the_graph_rounds_as_the_host_does(tiny_bundle, tiny_manifest, pictures, novel):
    model = add_compact(tiny_bundle.read_bytes())
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    types = {value.name: (value.type, value.shape[1:]) for value in session.get_outputs()}
    assert types["anomaly_u8"] == ("tensor(uint8)", [24, 32])
    assert types["anomaly_f16"] == ("tensor(float16)", [24, 32])
    slots = novel(tiny_manifest)
    feed = {
        "image": pictures(tiny_manifest, 2),
        "prototypes": slots.vectors,
        "prototype_radius": slots.radius,
        "prototype_valid": slots.valid,
        "anomaly_threshold": np.array([0.5], np.float32),
    }
    anomaly, byte, half = session.run(["anomaly", *COMPACT], feed)
    assert len(np.unique(byte)) > 10
    np.testing.assert_array_equal(byte, narrow("anomaly_u8", anomaly))
    np.testing.assert_array_equal(half, narrow("anomaly_f16", anomaly))


def test_the_graph_rounds_any_score_as_the_host_does(scores):
    onnx = pytest.importorskip("onnx")
    helper, shape = onnx.helper, [1, 1, scores.size]
    given, score = (
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name in ("given", "anomaly")
    )
    node = helper.make_node("Identity", ["given"], ["anomaly"])
    graph = helper.make_graph([node], "scores", [given], [score])
    opset = [helper.make_opsetid("", 18)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
    session = onnxruntime.InferenceSession(add_compact(model), providers=["CPUExecutionProvider"])
    for name, found in zip(
        COMPACT, session.run(COMPACT, {"given": scores.reshape(shape)}), strict=True
    ):
        np.testing.assert_array_equal(found[0, 0], narrow(name, scores))


def test_a_graph_is_extended_once_and_is_a_graph(tiny_bundle):
    onnx = pytest.importorskip("onnx")
    plain = tiny_bundle.read_bytes()
    model = add_compact(plain)
    onnx.checker.check_model(onnx.load_from_string(model), full_check=True)
    assert add_compact(model) == model
    names = [value.name for value in onnx.load_from_string(model).graph.output]
    assert sorted(names) == sorted(ALL)
    without = onnx.load_from_string(add_compact(plain, halves=False))
    onnx.checker.check_model(without, full_check=True)
    assert sorted(v.name for v in without.graph.output) == sorted((*OUTPUTS, "anomaly_u8"))
    less = onnx.load_from_string(plain)
    kept = [value for value in less.graph.output if value.name != "anomaly"]
    del less.graph.output[:]
    less.graph.output.extend(kept)
    assert onnx.load_from_string(add_compact(less.SerializeToString())) == less


@pytest.fixture(params=["onnxruntime", "fake", "tensorrt"])
def engine(request, tiny, cache):
    """Give an engine of each kind."""
    if request.param == "fake":
        yield FakeEngine(fake_manifest(24, 32))
        return
    if request.param == "onnxruntime":
        with OnnxRuntimeEngine(tiny, "cpu", threads=1) as opened:
            yield opened
        return
    request.getfixturevalue("nvidia")(version="10.13.0")
    request.getfixturevalue("build")()
    with open_cached(tiny, cache) as opened:
        yield opened


def test_every_engine_gives_them(engine, pictures):
    image, slots = pictures(engine.manifest, 2), PrototypeSlots.empty(engine.manifest)
    found = engine.infer(image, slots, 0.5, ALL)
    assert tuple(found) == ALL
    for name in COMPACT:
        np.testing.assert_array_equal(found[name], narrow(name, found["anomaly"]))
        alone = engine.infer(image, slots, 0.5, (name,))
        assert list(alone) == [name]
        np.testing.assert_array_equal(alone[name], found[name])
    plain = engine.infer(image, slots, 0.5, OUTPUTS)
    for name in OUTPUTS:
        np.testing.assert_array_equal(found[name], plain[name])


@pytest.mark.parametrize("version", ["8.5.2.2", "8.6.1", "10.3.0"])
def test_older_tensorrt_rounds_halves_on_the_host(nvidia, build, tiny, cache, pictures, version):
    fake = nvidia(version=version)
    build()
    slots = PrototypeSlots.empty(tiny.manifest)
    with open_cached(tiny, cache) as engine:
        found = engine.infer(pictures(tiny.manifest), slots, 0.5, ("known", *COMPACT))
        expected = bytes_of(tiny.manifest, ("known", "anomaly"))
        assert engine.copied.down == sum(expected.values())
        plain = engine.infer(pictures(tiny.manifest), slots, 0.5, ("anomaly",))["anomaly"]
        np.testing.assert_array_equal(found["anomaly_f16"], narrow("anomaly_f16", plain))
        engine.infer(pictures(tiny.manifest), slots, 0.5, ("anomaly_u8",))
        assert engine.copied.down == bytes_of(tiny.manifest, ("anomaly_u8",))["anomaly_u8"]
    assert "anomaly_f16" not in {layer.name for layer in fake.trt.BUILDS[-1][0].layers}


def test_only_their_bytes_leave_the_gpu(nvidia, build, tiny, cache, pictures):
    fake = nvidia(version="10.13.0")
    build()
    slots = PrototypeSlots.empty(tiny.manifest)
    with open_cached(tiny, cache) as engine:
        for outputs in (("known", "anomaly_u8"), ("anomaly_f16",), OUTPUTS, ALL):
            before = fake.cuda.copied["down"]
            arrays = engine.infer(pictures(tiny.manifest), slots, 0.5, outputs)
            sizes = bytes_of(tiny.manifest, outputs)
            assert sizes == {name: array.nbytes for name, array in arrays.items()}
            assert engine.copied.down == fake.cuda.copied["down"] - before == sum(sizes.values())


def test_a_street_of_two_megapixels_fits_the_budget():
    manifest = fake_manifest(1024, 2048)
    label = sum(bytes_of(manifest, ("known", SCORES["uint8"])).values())
    assert label == 2 * 1024 * 2048 <= 4.2e6
    everything = ("known", SCORES["uint8"], "open_set", "direction")
    assert sum(bytes_of(manifest, everything).values()) <= 8e6
    assert bytes_of(manifest, ("anomaly", SCORES["float16"])) == {
        "anomaly": 4 * 1024 * 2048,
        "anomaly_f16": 2 * 1024 * 2048,
    }
