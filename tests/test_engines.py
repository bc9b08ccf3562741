"""Engines: exact values of both against numpy, and what they refuse."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from owseg.bundle import OUTPUTS, load_bundle
from owseg.engines import (
    ENGINES,
    FakeEngine,
    OnnxRuntimeEngine,
    PrototypeSlots,
    fake_manifest,
    open_engine,
)
from owseg.errors import BundleError, EngineError, UsageError

RNG = np.random.default_rng(5)


@pytest.fixture(scope="module")
def tiny_engine(tiny_bundle):
    with OnnxRuntimeEngine(load_bundle(tiny_bundle), "cpu", threads=1) as engine:
        yield engine


@pytest.fixture(params=["onnxruntime", "fake"])
def engine(request):
    """Give each engine in turn."""
    if request.param == "fake":
        return FakeEngine(fake_manifest(24, 32, ("road", "tree", "sky"), slots=4))
    return request.getfixturevalue("tiny_engine")


def pictures(manifest, batch=2):
    return RNG.integers(0, 256, (batch, manifest.height, manifest.width, 3), dtype=np.uint8)


def slots_of(manifest, *rows):
    """Fill slots from (slot, vector, radius)."""
    slots = PrototypeSlots.empty(manifest)
    for slot, vector, radius in rows:
        slots.vectors[slot] = vector
        slots.radius[slot] = radius
        slots.valid[slot] = 1
    return slots


# ONNX Runtime against numpy ---------------------------------------------------------------------


def expected_outputs(image, slots, threshold, stride):
    """Compute one picture pixel by pixel, as the tiny graph is meant."""
    height, width = image.shape[:2]
    known, open_set = np.zeros((2, height, width), np.uint8)
    for y in range(height):
        for x in range(width):
            color = image[y, x].astype(np.float64) / 255
            best = int(np.argmax(image[y, x]))
            distances = [
                (sum((color - vector) ** 2), slot)
                for slot, vector in enumerate(slots.vectors.astype(np.float64))
                if slots.valid[slot]
            ]
            claims = sorted((d, s) for d, s in distances if d < slots.radius[s])
            known[y, x] = 3 + claims[0][1] if claims else best
            unknown = color[2] > threshold and not claims
            open_set[y, x] = 255 if unknown else known[y, x]
    cells = image[::stride, ::stride].transpose(2, 0, 1) / np.float32(255)
    return {
        "known": known,
        "anomaly": image[..., 2] / np.float32(255),
        "open_set": open_set,
        "direction": cells[:2] - np.float32(0.5),
        "embedding": cells,
    }


NOVEL = [(0, (0.1, 0.9, 0.5), 0.05), (3, (0.9, 0.2, 0.8), 0.08), (2, (0.8, 0.2, 0.8), 0.05)]


@pytest.mark.parametrize("rows", [(), NOVEL[:1], NOVEL], ids=["none", "one", "three"])
@pytest.mark.parametrize("threshold", [0.0, 0.37, 1.0])
def test_onnxruntime_computes_the_graph(tiny_engine, rows, threshold):
    manifest = tiny_engine.manifest
    slots = slots_of(manifest, *rows)
    images = pictures(manifest)
    found = tiny_engine.infer(images, slots, threshold, OUTPUTS)
    for index, image in enumerate(images):
        want = expected_outputs(image, slots, threshold, manifest.stride)
        for name in OUTPUTS:
            np.testing.assert_allclose(found[name][index], want[name], atol=1e-6, err_msg=name)
    novel = np.unique(found["known"][found["known"] >= 3])
    assert novel.tolist() == sorted(3 + slot for slot, _, _ in rows)


def test_an_invalid_slot_claims_nothing(tiny_engine):
    manifest = tiny_engine.manifest
    slots = slots_of(manifest, (1, (0.5, 0.5, 0.5), 100.0))
    images = pictures(manifest, 1)
    assert (tiny_engine.infer(images, slots, 0.5)["known"] == 4).all()
    off = replace(slots, valid=np.zeros(4, np.float32))
    assert (tiny_engine.infer(images, off, 0.5)["known"] < 3).all()


def test_the_engine_says_where_it_runs(tiny_engine):
    assert (tiny_engine.name, tiny_engine.device) == ("onnxruntime", "cpu")


# The fake engine by hand ------------------------------------------------------------------------


def test_fake_engine_by_hand():
    manifest = fake_manifest(6, 8, ("a", "b", "c"), slots=2)
    image = np.zeros((1, 6, 8, 3), np.uint8)
    image[0, :, :, 0] = [0, 85, 86, 170, 171, 200, 254, 255]  # red: class = red * 3 // 256
    image[0, 0, :, 2] = [0, 127, 128, 255, 51, 102, 153, 204]  # blue of the first row
    image[0, 4, 4, :2] = (51, 102)
    found = FakeEngine(manifest).infer(image, PrototypeSlots.empty(manifest), 0.5, OUTPUTS)
    assert found["known"][0, 1].tolist() == [0, 0, 1, 1, 2, 2, 2, 2]
    first = np.array([0, 127, 128, 255, 51, 102, 153, 204], np.float32) / 255
    assert found["anomaly"].dtype == np.float32
    np.testing.assert_array_equal(found["anomaly"][0, 0], first)
    assert not found["anomaly"][0, 1:].any()
    assert found["open_set"][0, 0].tolist() == [0, 0, 255, 255, 2, 2, 255, 255]
    np.testing.assert_array_equal(found["open_set"][0, 1:], found["known"][0, 1:])
    assert found["embedding"].shape == (1, 3, 2, 2)
    np.testing.assert_allclose(found["embedding"][0, :2, 1, 1], [0.2, 0.4], rtol=1e-6)
    np.testing.assert_allclose(found["embedding"][0, :2, 0, 1], [171 / 255, 0], rtol=1e-6)
    assert not found["embedding"][0, 2].any()
    assert found["direction"].shape == (1, 2, 2, 2)
    assert not found["direction"].any()


def test_fake_engine_with_a_novel_prototype():
    manifest = fake_manifest(6, 8, ("a", "b", "c"), slots=2)
    image = np.full((1, 6, 8, 3), (0, 0, 255), np.uint8)
    image[0, :4, 4:, 0] = 255
    # slot 1 is at squared distance 0.01 of the cell in the upper right, slot 0 at 0.04
    slots = slots_of(manifest, (0, (0.8, 0, 0), 0.05), (1, (0.9, 0, 0), 0.05))
    found = FakeEngine(manifest).infer(image, slots, 0.5)
    want = np.zeros((6, 8), np.uint8)
    want[:4, 4:] = 4
    np.testing.assert_array_equal(found["known"][0], want)
    np.testing.assert_array_equal(found["open_set"][0], np.where(want == 4, 4, 255))


def test_fake_engine_asks_the_nearest_prototype_that_reaches():
    manifest = fake_manifest(4, 4, ("a", "b", "c"), slots=2)
    image = np.full((1, 4, 4, 3), (255, 0, 0), np.uint8)
    slots = slots_of(manifest, (0, (0.9, 0, 0), 0.005), (1, (0.5, 0, 0), 9.0))
    found = FakeEngine(manifest).infer(image, slots, 0.5)
    assert set(found["known"].ravel()) == {4}


def test_fake_manifest_is_camvid_without_cars():
    manifest = fake_manifest()
    assert len(manifest.classes) == 10
    assert "car" not in manifest.class_names
    with pytest.raises(EngineError, match="at least 4x4"):
        fake_manifest(3, 8)


# What both keep -----------------------------------------------------------------------------------


def test_outputs_have_the_shapes_of_the_contract(engine):
    m = engine.manifest
    found = engine.infer(pictures(m, 3), PrototypeSlots.empty(m), 0.5, OUTPUTS)
    shapes = {
        "known": ((3, 24, 32), np.uint8),
        "anomaly": ((3, 24, 32), np.float32),
        "open_set": ((3, 24, 32), np.uint8),
        "direction": ((3, 2, 6, 8), np.float32),
        "embedding": ((3, m.embedding_size, 6, 8), np.float32),
    }
    assert {name: (a.shape, a.dtype) for name, a in found.items()} == {
        name: (shape, np.dtype(dtype)) for name, (shape, dtype) in shapes.items()
    }


@pytest.mark.parametrize("names", [("anomaly",), ("open_set", "known"), OUTPUTS[::-1]])
def test_only_the_outputs_asked_for_are_returned(engine, names):
    m = engine.manifest
    images, slots = pictures(m), PrototypeSlots.empty(m)
    whole = engine.infer(images, slots, 0.5, OUTPUTS)
    found = engine.infer(images, slots, 0.5, names)
    assert tuple(found) == names
    for name in names:
        np.testing.assert_array_equal(found[name], whole[name])


def test_by_default_the_three_maps_are_returned(engine):
    m = engine.manifest
    assert tuple(engine.infer(pictures(m), PrototypeSlots.empty(m), 0.5)) == OUTPUTS[:3]


def test_open_set_is_strictly_above_the_threshold(engine):
    m = engine.manifest
    images, slots = pictures(m), PrototypeSlots.empty(m)
    found = engine.infer(images, slots, 51 / 255)
    np.testing.assert_array_equal(found["open_set"] == 255, images[..., 2] > 51)
    assert not (engine.infer(images, slots, 1.0)["open_set"] == 255).any()


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((24, 32, 3), np.uint8),
        ((1, 32, 24, 3), np.uint8),
        ((1, 24, 32, 4), np.uint8),
        ((1, 3, 24, 32), np.uint8),
        ((0, 24, 32, 3), np.uint8),
        ((1, 24, 32, 3), np.float32),
    ],
)
def test_wrong_images_are_refused(engine, shape, dtype):
    with pytest.raises(EngineError, match="takes"):
        engine.infer(np.zeros(shape, dtype), PrototypeSlots.empty(engine.manifest), 0.5)


@pytest.mark.parametrize("threshold", [-0.01, 1.01, float("nan")])
def test_a_threshold_out_of_range_is_refused(engine, threshold):
    m = engine.manifest
    with pytest.raises(EngineError, match=r"threshold must be in 0\.\.1"):
        engine.infer(pictures(m), PrototypeSlots.empty(m), threshold)


@pytest.mark.parametrize(("names", "says"), [(("x",), "no output 'x'"), ((), "no output is asked")])
def test_unknown_outputs_are_refused(engine, names, says):
    m = engine.manifest
    with pytest.raises(EngineError, match=f"{says}.*; there are known, anomaly"):
        engine.infer(pictures(m), PrototypeSlots.empty(m), 0.5, names)


@pytest.mark.parametrize(
    "change",
    [
        {"vectors": np.zeros((5, 3), np.float32)},
        {"vectors": np.zeros((4, 2), np.float32)},
        {"vectors": np.zeros((4, 3), np.float64)},
        {"radius": np.zeros(3, np.float32)},
        {"radius": np.zeros((4, 1), np.float32)},
        {"valid": np.zeros(5, np.float32)},
        {"valid": np.zeros(4, np.bool_)},
        {"vectors": np.full((4, 3), np.nan, np.float32)},
        {"radius": np.full(4, np.inf, np.float32)},
        {"valid": np.full(4, np.nan, np.float32)},
    ],
)
def test_wrong_prototype_slots_are_refused(engine, change):
    slots = replace(PrototypeSlots.empty(engine.manifest), **change)
    with pytest.raises(EngineError, match=f"prototype {next(iter(change))}"):
        slots.check(engine.manifest)
    with pytest.raises(EngineError, match="prototype"):
        engine.infer(pictures(engine.manifest), slots, 0.5)


def test_empty_slots_fit(engine):
    PrototypeSlots.empty(engine.manifest).check(engine.manifest)


# Opening and closing ------------------------------------------------------------------------------


def test_a_closed_engine_says_so(tiny_bundle):
    with open_engine(tiny_bundle, device="cpu") as engine:
        images, slots = pictures(engine.manifest), PrototypeSlots.empty(engine.manifest)
        engine.infer(images, slots, 0.5)
    with pytest.raises(EngineError, match="the engine is closed"):
        engine.infer(images, slots, 0.5)
    engine.close()


def test_open_engine_by_name(tiny_bundle, tmp_path):
    assert open_engine(tiny_bundle).name == "onnxruntime"
    assert open_engine(tmp_path / "nothing.onnx", "fake").name == "fake"
    with pytest.raises(UsageError, match=f"no engine 'x'; there are {', '.join(ENGINES)}"):
        open_engine(tiny_bundle, "x")
    with pytest.raises(BundleError, match="no model at"):
        open_engine(tmp_path / "nothing.onnx")


def test_unknown_device(tiny_bundle):
    with pytest.raises(EngineError, match="no device 'tpu'; there are auto, cpu, cuda"):
        open_engine(tiny_bundle, device="tpu")


def fake_onnxruntime(monkeypatch, providers, usable=None):
    """Replace onnxruntime by one that only tells its providers and notes what is opened.

    Of the providers it really has those that are usable, or all; it drops the others silently.
    """
    opened = []

    def session(path, options, providers):
        names = [name for name in providers if usable is None or name in usable]
        opened.append(providers)
        return SimpleNamespace(run=lambda names, feed: 1 / 0, get_providers=lambda: names)

    def options():
        return SimpleNamespace(add_session_config_entry=lambda key, value: None)

    module = SimpleNamespace(
        get_available_providers=lambda: providers, SessionOptions=options, InferenceSession=session
    )
    monkeypatch.setitem(sys.modules, "onnxruntime", module)
    return opened


CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


@pytest.mark.parametrize(
    ("device", "providers", "want"),
    [
        ("auto", [CPU], [CPU]),
        ("auto", [CUDA, CPU], [CUDA, CPU]),
        ("cuda", [CUDA, CPU], [CUDA, CPU]),
        ("cpu", [CUDA, CPU], [CPU]),
    ],
)
def test_the_device_decides_the_provider(monkeypatch, tiny_bundle, device, providers, want):
    bundle = load_bundle(tiny_bundle)
    opened = fake_onnxruntime(monkeypatch, providers)
    engine = OnnxRuntimeEngine(bundle, device)
    assert opened == [want]
    assert engine.device == ("cuda" if CUDA in want else "cpu")


def test_cuda_that_is_not_there(monkeypatch, tiny_bundle):
    bundle = load_bundle(tiny_bundle)
    fake_onnxruntime(monkeypatch, [CPU])
    with pytest.raises(EngineError, match="has no CUDA; pip install"):
        OnnxRuntimeEngine(bundle, "cuda")


def test_cuda_that_is_installed_without_a_gpu(monkeypatch, tiny_bundle):
    bundle = load_bundle(tiny_bundle)
    opened = fake_onnxruntime(monkeypatch, [CUDA, CPU], usable=[CPU])
    with pytest.raises(EngineError, match=r"cannot use CUDA here, though .* use the device cpu"):
        OnnxRuntimeEngine(bundle, "cuda")
    opened.clear()
    engine = OnnxRuntimeEngine(bundle, "auto")
    assert opened == [[CUDA, CPU], [CPU]]
    assert engine.device == "cpu"
    assert "cannot use CUDA here" in engine.notice
    assert not engine.degraded


def test_a_failure_of_the_runtime_is_one_line(monkeypatch, tiny_bundle):
    bundle = load_bundle(tiny_bundle)
    fake_onnxruntime(monkeypatch, [CPU])
    engine = OnnxRuntimeEngine(bundle, "cpu")
    with pytest.raises(EngineError, match="ONNX Runtime failed on 'tiny': division by zero"):
        engine.infer(pictures(bundle.manifest), PrototypeSlots.empty(bundle.manifest), 0.5)


def test_a_bundle_that_vanishes_before_it_is_opened(tmp_path, tiny_bundle):
    path = tmp_path / "m.onnx"
    path.write_bytes(tiny_bundle.read_bytes())
    bundle = load_bundle(path)
    path.unlink()
    with pytest.raises(EngineError, match=r"ONNX Runtime cannot load .*m\.onnx"):
        OnnxRuntimeEngine(bundle, "cpu")
