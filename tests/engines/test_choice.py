"""Engines by name on machines with and without TensorRT, and what stands in for them."""

from __future__ import annotations

import os
import signal
import threading
import time

import numpy as np
import pytest

from owseg.bundle import OUTPUTS
from owseg.engines import ENGINES, OnnxRuntimeEngine, PrototypeSlots, open_engine
from owseg.engines.background import build_in_background
from owseg.engines.switching import SwitchingEngine
from owseg.errors import EngineError, MissingDependencyError, OutputError

NOTHING = {"flavour": ""}


@pytest.fixture
def wait():
    """Give a function that waits until something is so."""

    def until(condition):
        deadline = time.monotonic() + 60
        while not condition() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert condition()

    return until


def run(engine, pictures):
    slots = PrototypeSlots.empty(engine.manifest)
    return engine.infer(pictures(engine.manifest), slots, 0.5, OUTPUTS)


def test_the_names():
    assert tuple(ENGINES) == ("onnxruntime", "tensorrt", "auto", "fake")


# Without a stand-in ------------------------------------------------------------------------------


def test_tensorrt_loads_what_was_built(nvidia, build, tiny, pictures):
    nvidia()
    build()
    with open_engine(tiny.path, "tensorrt") as engine, OnnxRuntimeEngine(tiny, "cpu") as other:
        assert (engine.name, engine.device) == ("tensorrt", "cuda")
        assert (engine.space, engine.manifest.name) == (tiny.space, "tiny")
        for name, array in run(other, pictures).items():
            np.testing.assert_array_equal(run(engine, pictures)[name], array)


def test_tensorrt_that_is_not_built_says_how(nvidia, tiny, cache):
    nvidia()
    says = f"no TensorRT engine of model 'tiny' is in {cache.folder}; build one with 'owseg build"
    with pytest.raises(EngineError, match=says):
        open_engine(tiny.path, "tensorrt")


@pytest.mark.parametrize(
    ("there", "says"),
    [
        ({"gpu": "NVIDIA Orin"}, "is for the GPU NVIDIA Orin (here NVIDIA Fake 3060)"),
        ({"version": "8.6.1"}, "is for TensorRT 8.6.1 (here 10.3.0)"),
        (
            {"gpu": "X", "capability": [8, 7]},
            "is for the GPU X (here NVIDIA Fake 3060), compute capability 8.7 (here 8.6)",
        ),
    ],
)
def test_an_engine_of_another_machine_says_which_part_differs(nvidia, build, tiny, there, says):
    nvidia(**there)
    build()
    nvidia()
    with pytest.raises(EngineError) as failure:
        open_engine(tiny.path, "tensorrt")
    assert says in str(failure.value)
    assert str(failure.value).endswith(f"build one with 'owseg build {tiny.path}'")


def test_a_truncated_engine_is_not_loaded(nvidia, build, tiny):
    nvidia()
    path = build().entry.path
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(EngineError, match=r"the engine file .* is truncated .*; build it again"):
        open_engine(tiny.path, "tensorrt")


def test_engines_of_tensorrt_for_rtx_run_on_every_gpu_of_their_capability(nvidia, build, tiny):
    rtx = {"flavour": "tensorrt_rtx", "version": "1.7.1"}
    nvidia(**rtx, capability=[], cuda="")
    build(targets=("SM89",))
    nvidia(**rtx, capability=[8, 9], gpu="NVIDIA RTX 4090")
    with pytest.raises(EngineError, match="incompatible device"):  # the fake is built for none
        open_engine(tiny.path, "tensorrt")
    nvidia(**rtx, capability=[8, 6])
    with pytest.raises(EngineError, match=r"is for compute capability 8\.9 \(here 8\.6\)"):
        open_engine(tiny.path, "tensorrt")


def test_tensorrt_that_is_not_installed(nvidia, tiny):
    nvidia(**NOTHING)
    with pytest.raises(MissingDependencyError, match="TensorRT is not installed"):
        open_engine(tiny.path, "tensorrt")


@pytest.mark.parametrize("fallback", [False, True])
def test_tensorrt_on_the_cpu_is_a_contradiction(nvidia, tiny, fallback):
    nvidia()
    with pytest.raises(EngineError, match="runs on a GPU only; for the cpu use onnxruntime"):
        open_engine(tiny.path, "tensorrt", "cpu", fallback=fallback)


# Auto --------------------------------------------------------------------------------------------


def test_auto_takes_tensorrt_where_it_is_built(nvidia, build, tiny):
    nvidia()
    build()
    with open_engine(tiny.path, "auto") as engine:
        assert (engine.name, engine.notice) == ("tensorrt", "")
    with open_engine(tiny.path, "auto", "cpu") as engine:
        assert engine.name == "onnxruntime"


@pytest.mark.parametrize("fallback", [False, True])
@pytest.mark.parametrize("machine", [NOTHING, {"capability": []}, {"cuda": ""}])
def test_auto_without_tensorrt_is_onnxruntime_without_a_word(nvidia, tiny, machine, fallback):
    nvidia(**machine)
    with open_engine(tiny.path, "auto", fallback=fallback) as engine:
        assert (engine.name, engine.notice, engine.degraded) == ("onnxruntime", "", False)


def test_auto_says_why_an_engine_is_not_used(nvidia, build, tiny):
    nvidia(version="8.6.1")
    build()
    nvidia()
    with open_engine(tiny.path, "auto") as engine:
        assert engine.name == "onnxruntime"
        assert "is for TensorRT 8.6.1 (here 10.3.0)" in engine.notice
        assert engine.degraded


# With a stand-in ---------------------------------------------------------------------------------


def test_with_an_engine_in_the_cache_there_is_no_waiting(nvidia, build, tiny, pictures):
    fake = nvidia()
    build()
    with open_engine(tiny.path, "tensorrt", fallback=True) as engine:
        assert (engine.name, engine.notice) == ("tensorrt", "")
        before = run(engine, pictures)
        fake.setup.fail["cudaGraphLaunch"] = (700, 0)
        after = run(engine, pictures)
        assert engine.name == "onnxruntime"
        assert "tensorrt failed: CUDA failed in cudaGraphLaunch" in engine.notice
        assert engine.degraded
        for name, array in before.items():
            np.testing.assert_allclose(after[name], array, atol=1e-6)


@pytest.mark.parametrize("engine", ["tensorrt", "auto"])
def test_it_serves_while_another_process_builds(nvidia, tiny, cache, pictures, wait, engine):
    nvidia()
    with open_engine(tiny.path, engine, fallback=True) as found:
        assert isinstance(found, SwitchingEngine)
        assert found.name == "onnxruntime"
        assert found.notice.startswith("building the TensorRT engine (no TensorRT engine of model")
        assert found.degraded is False
        before = run(found, pictures)
        wait(lambda: found._ready is not None or found.degraded)
        after = run(found, pictures)
        assert (found.name, found.notice) == ("tensorrt", "")
        for name, array in before.items():
            np.testing.assert_allclose(after[name], array, atol=1e-6)
    assert len(cache.entries()) == 1


def test_a_damaged_engine_is_built_again_meanwhile(nvidia, build, tiny, pictures, wait):
    nvidia()
    path = build().entry.path
    path.write_bytes(b"")
    with open_engine(tiny.path, "tensorrt", fallback=True) as engine:
        assert "is truncated" in engine.notice
        wait(lambda: engine._ready is not None or engine.degraded)
        run(engine, pictures)
        assert engine.name == "tensorrt"


@pytest.mark.parametrize(
    ("fail", "says"),
    [
        ({"build": "no kernel"}, "the TensorRT engine could not be built: TensorRT 10.3.0 cannot"),
        ({"kill": True}, "the TensorRT engine could not be built: it was ended by signal 9"),
    ],
)
def test_a_build_that_fails_leaves_onnxruntime(nvidia, tiny, cache, pictures, wait, fail, says):
    nvidia(fail=fail)
    with open_engine(tiny.path, "tensorrt", fallback=True) as engine:
        wait(lambda: engine.degraded)
        assert engine.notice.startswith(says)
        run(engine, pictures)
        assert engine.name == "onnxruntime"
    assert cache.entries() == []


@pytest.mark.parametrize(
    ("machine", "says"),
    [
        (NOTHING, "TensorRT is not installed"),
        ({"capability": []}, "there is no usable NVIDIA GPU"),
        ({"cuda": ""}, "TensorRT engines need cuda-python"),
        ({"version": "8.2.0"}, "TensorRT 8.2.0 is too old"),
    ],
)
def test_where_there_can_be_no_tensorrt_onnxruntime_serves(nvidia, tiny, pictures, machine, says):
    nvidia(**machine)
    for device in ("auto", "cuda"):
        with open_engine(tiny.path, "tensorrt", device, fallback=True) as engine:
            assert engine.notice.startswith(says)
            assert engine.degraded
            run(engine, pictures)
            assert engine.name == "onnxruntime"


@pytest.mark.parametrize("engine", ["auto", "tensorrt"])
def test_without_a_home_directory_for_engines_onnxruntime_serves(
    nvidia, tiny, pictures, homeless, engine
):
    nvidia()
    says = "there is no home directory to take .cache of; set XDG_CACHE_HOME or HOME"
    with open_engine(tiny.path, engine, "cuda", fallback=True) as found:
        assert found.notice.startswith(says)
        assert found.degraded
        run(found, pictures)
        assert found.name == "onnxruntime"
    with open_engine(tiny.path, "auto") as found:
        assert found.notice.startswith(says)
    with pytest.raises(OutputError, match=says):
        open_engine(tiny.path, "tensorrt")


def test_onnxruntime_needs_no_stand_in(tiny):
    with open_engine(tiny.path, "onnxruntime", "cpu", fallback=True) as engine:
        assert isinstance(engine, OnnxRuntimeEngine)


# The other process -------------------------------------------------------------------------------


def test_the_build_tells_how_far_it_is(nvidia, tiny, cache):
    nvidia()
    heard = []
    build_in_background(tiny.path, heard.append, threading.Event())
    assert heard[0].startswith("building tiny in fp32 for NVIDIA Fake 3060: ")
    assert any("100 %" in line for line in heard)
    assert len(cache.entries()) == 1


def test_the_build_imports_nothing_from_the_working_directory(
    nvidia, tiny, cache, monkeypatch, tmp_path
):
    nvidia()
    for name in ("owseg", "tensorrt"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(tmp_path)
    build_in_background(tiny.path, lambda text: None, threading.Event())
    assert len(cache.entries()) == 1


def test_the_build_can_be_stopped(nvidia, tiny, cache):
    nvidia(fail={"sleep": 60})
    stop, heard = threading.Event(), []

    def tell(text):
        heard.append(text)
        stop.set()

    begun = time.monotonic()
    with pytest.raises(EngineError, match="the build was stopped"):
        build_in_background(tiny.path, tell, stop)
    assert time.monotonic() - begun < 50
    assert cache.entries() == []


def test_a_node_that_is_interrupted_ends_its_build(nvidia, tiny, cache, monkeypatch):
    nvidia(fail={"sleep": 60})
    children = []

    def tell(text):
        os.kill(os.getpid(), signal.SIGINT)

    import subprocess

    real = subprocess.Popen

    def popen(*argv, **more):
        children.append(real(*argv, **more))
        return children[-1]

    monkeypatch.setattr(subprocess, "Popen", popen)
    with pytest.raises(KeyboardInterrupt):
        build_in_background(tiny.path, tell, threading.Event())
    assert children[0].wait(20) != 0
