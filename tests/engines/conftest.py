"""Fakes of NVIDIA's modules in place of the real ones, and a cache of engines for each test."""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from owseg.bundle import load_bundle
from owseg.engines import PrototypeSlots
from owseg.engines.cache import EngineCache
from owseg.engines.tensorrt import BuildOptions, build_cached, open_cached

FAKES = Path(__file__).with_name("fakes")
FAKED = ("tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings", "cuda", "fake_nvidia")


def forget_modules():
    for name in [name for name in sys.modules if name.partition(".")[0] in FAKED]:
        del sys.modules[name]


@pytest.fixture
def nvidia(monkeypatch):
    """Give a function that puts in a machine: (**fields of fake_nvidia.Setup) -> its parts.

    It holds for processes that the test starts, too. A second call puts in another machine.
    """
    real = {n: m for n, m in sys.modules.items() if n.partition(".")[0] in FAKED}
    path = os.pathsep.join(filter(None, [str(FAKES), os.environ.get("PYTHONPATH")]))
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.syspath_prepend(FAKES)

    def install(**setup):
        forget_modules()
        monkeypatch.setenv("OWSEG_FAKE_NVIDIA", json.dumps(setup))
        load = importlib.import_module
        return SimpleNamespace(
            setup=load("fake_nvidia").SETUP,
            cuda=load("fake_nvidia.cuda").CUDA,
            engine=load("fake_nvidia.engine"),
            trt=load("fake_nvidia.trt"),
        )

    yield install
    forget_modules()
    sys.modules.update(real)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Give the user's cache of engines, which is empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return EngineCache()


@pytest.fixture(scope="session")
def tiny(tiny_bundle):
    """Give the tiny bundle, loaded."""
    return load_bundle(tiny_bundle)


@pytest.fixture
def build(tiny, cache):
    """Give a function that builds the engine of the tiny bundle: (**options) -> result."""

    def build_one(bundle=tiny, *, force=False, targets=(), **options):
        found = build_cached(bundle, BuildOptions(**options), cache, force=force, targets=targets)
        return found[0]

    return build_one


@pytest.fixture
def engine_on(build, tiny, cache):
    """Give a function that builds and opens the engine of the tiny bundle: (**options)."""
    opened = []

    def open_one(**options):
        build(**options)
        opened.append(open_cached(tiny, cache))
        return opened[-1]

    yield open_one
    for engine in opened:
        engine.close()


@pytest.fixture(scope="session")
def pictures():
    """Give a function that makes random images for a manifest: (manifest, batch, seed)."""

    def make(manifest, batch=1, seed=0):
        shape = (batch, manifest.height, manifest.width, 3)
        return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)

    return make


@pytest.fixture(scope="session")
def novel():
    """Give a function that fills slots with random prototypes: (manifest, seed)."""

    def make(manifest, seed=0):
        rng = np.random.default_rng(seed)
        slots = PrototypeSlots.empty(manifest)
        slots.vectors[:2] = rng.random((2, manifest.embedding_size))
        slots.radius[:2] = 0.1
        slots.valid[:2] = 1
        return slots

    return make


@pytest.fixture(scope="session")
def model_file():
    """Give a function that writes a small graph: (path, **options of `write_model`) -> path."""
    return write_model


def write_model(path, *, half=False, quantized=False, operator="Relu", batch="B"):
    """Write a graph: convolution of the image, then the outputs of the contract."""
    onnx = pytest.importorskip("onnx", reason="graphs are made with the package onnx")
    helper, types = onnx.helper, onnx.TensorProto
    kind = types.FLOAT16 if half else types.FLOAT
    number = np.float16 if half else np.float32
    weights = {
        "kernel": np.ones((3, 3, 1, 1), number),
        "scale": np.float32(0.5),
        "zero": np.int8(0),
    }
    nodes = [
        ("Cast", ["image"], "typed", {"to": kind}),
        ("Transpose", ["typed"], "planes", {"perm": [0, 3, 1, 2]}),
    ]
    source = "planes"
    if quantized:
        nodes.append(("QuantizeLinear", ["planes", "scale", "zero"], "bytes", {}))
        nodes.append(("DequantizeLinear", ["bytes", "scale", "zero"], "floats", {}))
        source = "floats"
    nodes += [
        ("Conv", [source, "kernel"], "features", {}),
        (operator, ["features"], "relu", {}),
        ("Cast", ["relu"], "embedding", {"to": types.FLOAT}),
        ("Mul", ["embedding", "embedding"], "squares", {}),
        ("ReduceMax", ["squares"], "anomaly", {"axes": [1], "keepdims": 0}),
        ("ArgMax", ["squares"], "best", {"axis": 1, "keepdims": 0}),
        ("Cast", ["best"], "best_float", {"to": types.FLOAT}),
        ("Cast", ["best_float"], "known", {"to": types.UINT8}),
    ]
    graph = helper.make_graph(
        [helper.make_node(op, ins, [out], name=f"n_{out}", **more) for op, ins, out, more in nodes],
        "g",
        [helper.make_tensor_value_info("image", types.UINT8, [batch, 24, 32, 3])],
        [
            helper.make_tensor_value_info("known", types.UINT8, [batch, 24, 32]),
            helper.make_tensor_value_info("anomaly", types.FLOAT, [batch, 24, 32]),
            helper.make_tensor_value_info("embedding", types.FLOAT, [batch, 3, 24, 32]),
        ],
        [onnx.numpy_helper.from_array(np.asarray(v), n) for n, v in weights.items()],
    )
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    path.write_bytes(model.SerializeToString())
    return path
