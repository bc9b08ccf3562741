"""Engines that are damaged, or of another GPU, TensorRT or model, and requests that do not fit."""

from __future__ import annotations

import gc
from dataclasses import replace

import numpy as np
import pytest

from owseg.bundle import Bundle
from owseg.engines import PrototypeSlots
from owseg.engines.tensorrt import TensorRTEngine, open_cached
from owseg.engines.tensorrt.cuda import Cuda
from owseg.engines.tensorrt.runtime import find_tensorrt
from owseg.engines.tensorrt.tensors import check_tensors
from owseg.errors import EngineError


def open_plan(tiny, plan):
    return TensorRTEngine(tiny, plan, find_tensorrt(), Cuda())


def test_a_truncated_engine(nvidia, build, tiny, cache):
    nvidia()
    plan = cache.read(build().entry)
    for size in (0, 5, len(plan) // 2, len(plan) - 1):
        with pytest.raises(EngineError, match=r"cannot load the engine of model 'tiny' .*--force"):
            open_plan(tiny, plan[:size])


def test_an_engine_of_another_tensorrt_or_gpu(nvidia, build, tiny, cache):
    nvidia(version="10.3.0")
    plan = cache.read(build().entry)
    fake = nvidia(version="10.4.0")
    with pytest.raises(EngineError, match=r"expecting library version 10\.4\.0 got 10\.3\.0"):
        open_plan(tiny, plan)
    assert fake.cuda.leaks() == {}
    nvidia(version="10.3.0", capability=[8, 7])
    with pytest.raises(EngineError, match="generated on an incompatible device"):
        open_plan(tiny, plan)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"height": 12}, "its image is UINT8 Bx24x32x3, not UINT8 Bx12x32x3"),
        ({"slots": 5}, "its prototypes is FLOAT 4x3, not FLOAT 5x3"),
        ({"stride": 8}, "its direction is FLOAT Bx2x6x8, not FLOAT or HALF Bx2x3x4"),
    ],
)
def test_an_engine_of_another_model(nvidia, build, tiny, cache, change, says):
    fake = nvidia()
    plan = cache.read(build().entry)
    other = Bundle(path=tiny.path, manifest=replace(tiny.manifest, **change))
    with pytest.raises(EngineError, match=f"is not of model 'tiny': {says}; build it again"):
        open_plan(other, plan)
    gc.collect()
    assert fake.cuda.leaks() == {}


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("known", {"is_input": True}),
        ("image", {"is_input": False}),
        ("known", {"kind": "FLOAT"}),
        ("prototypes", {"kind": "HALF"}),
        ("anomaly", {"shape": (-1, 24, 32, 1)}),
    ],
)
def test_a_tensor_that_is_not_as_promised(nvidia, build, tiny, cache, name, change):
    nvidia()
    build()
    with open_cached(tiny, cache) as engine:
        found = {key: buffer.tensor for key, buffer in engine._buffers.items()}
    found["anomaly"] = replace(found["anomaly"], kind="HALF")  # as good
    check_tensors(found, tiny.manifest)
    found[name] = replace(found[name], **change)
    with pytest.raises(EngineError, match=f"is not of model 'tiny': its {name} is "):
        check_tensors(found, tiny.manifest)


def test_an_engine_without_an_output(nvidia, build, write_bundle, tiny, cache, tmp_path):
    nvidia()
    path = write_bundle(tmp_path / "less.onnx", outputs={"embedding": None})
    less = Bundle(path=path, manifest=tiny.manifest)
    plan = cache.read(build(less).entry)
    with pytest.raises(EngineError, match="is not of model 'tiny': it has no 'embedding'"):
        open_plan(tiny, plan)


def test_a_tensor_that_nobody_expects(nvidia, build, tiny, cache):
    nvidia()
    build()
    with open_cached(tiny, cache) as engine:
        found = {key: buffer.tensor for key, buffer in engine._buffers.items()}
    found["more"] = replace(found["anomaly"], name="more")
    check_tensors(found, tiny.manifest)
    found["more"] = replace(found["more"], kind="INT64")
    with pytest.raises(EngineError, match="is not of model 'tiny': it has a 'more' of INT64; bui"):
        check_tensors(found, tiny.manifest)
    found["more"] = replace(found["anomaly"], name="more", is_input=True)
    with pytest.raises(EngineError, match="it has a 'more' of FLOAT"):
        check_tensors(found, tiny.manifest)


def test_a_runtime_that_cannot_start(nvidia, build, tiny, cache):
    fake = nvidia()
    build()
    fake.setup.fail["Runtime"] = "CUDA initialization failure with error: 999"
    with pytest.raises(EngineError, match=r"10\.3\.0 cannot start \(CUDA initialization failure"):
        open_cached(tiny, cache)
    assert fake.cuda.leaks() == {}


@pytest.mark.parametrize("damage", [b"", b"damaged"])
def test_an_older_engine_stands_in_for_a_damaged_one(nvidia, build, tiny, cache, damage):
    nvidia()
    build()
    newer = build(precision="fp16").entry
    newer.path.write_bytes(damage)
    with open_cached(tiny, cache) as engine:
        assert engine.name == "tensorrt"
    for entry in cache.entries():
        entry.path.write_bytes(b"")
    with pytest.raises(EngineError, match=rf"{newer.path.name} is truncated"):
        open_cached(tiny, cache)


def test_engines_are_of_one_number_of_multiprocessors(nvidia, build, tiny, cache):
    nvidia(gpu="Orin", capability=[8, 7], multiprocessors=16)
    build()
    nvidia(gpu="Orin", capability=[8, 7], multiprocessors=8)
    with pytest.raises(EngineError, match=r"is for multiprocessors 16 \(here 8\); build one"):
        open_cached(tiny, cache)


# Requests ----------------------------------------------------------------------------------------


def test_images_of_another_size_are_refused(nvidia, engine_on):
    nvidia()
    engine = engine_on()
    slots = PrototypeSlots.empty(engine.manifest)
    with pytest.raises(EngineError, match=r"takes \(B, 24, 32, 3\) images, got \(1, 48, 64, 3\)"):
        engine.infer(np.zeros((1, 48, 64, 3), np.uint8), slots, 0.5)
    with pytest.raises(EngineError, match="no output 'x'"):
        engine.infer(np.zeros((1, 24, 32, 3), np.uint8), slots, 0.5, ("x",))
