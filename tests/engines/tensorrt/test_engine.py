"""The TensorRT engine on fakes of 8.5, 10.3 and 11: numbers, order of copies, memory, errors."""

from __future__ import annotations

import gc
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from owseg.bundle import OUTPUTS, load_bundle
from owseg.engines import OnnxRuntimeEngine, PrototypeSlots
from owseg.engines.tensorrt import TensorRTEngine, open_cached
from owseg.engines.tensorrt.cuda import Cuda
from owseg.engines.tensorrt.runtime import find_tensorrt
from owseg.errors import EngineError

MACHINES = {
    "8.5": {"version": "8.5.2.2", "cuda": "cuda.cudart"},
    "8.6": {"version": "8.6.1"},
    "10.3": {"version": "10.3.0"},
    "10.13": {"version": "10.13.3.9"},
    "11": {"version": "11.4.0.106"},
    "rtx": {"version": "1.7.1.116", "flavour": "tensorrt_rtx"},
}
PIXELS = 24 * 32


@pytest.fixture(params=MACHINES)
def machine(nvidia, request):
    """Put in each TensorRT in turn."""
    return nvidia(**MACHINES[request.param])


@pytest.fixture(scope="module")
def reference(tiny):
    with OnnxRuntimeEngine(tiny, "cpu", threads=1, heads="graph") as engine:
        yield engine


def same(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array, err_msg=name)


# Numbers -----------------------------------------------------------------------------------------


def test_it_computes_the_graph(machine, engine_on, reference, pictures, novel):
    engine, m = engine_on(), reference.manifest
    assert (engine.name, engine.device) == ("tensorrt", "cuda")
    for seed, threshold in enumerate((0.0, 0.4, 1.0, 0.4)):
        request = (pictures(m, 1, seed), novel(m, seed), threshold, OUTPUTS)
        same(engine.infer(*request), reference.infer(*request))
    assert machine.cuda.sins == []


def test_prototypes_changed_in_place_count(machine, engine_on, reference, pictures, novel):
    engine, m = engine_on(), reference.manifest
    image, slots = pictures(m), novel(m)
    before = engine.infer(image, slots, 0.5)
    slots.vectors[0] = image[0, 0, 0] / np.float32(255)
    after = engine.infer(image, slots, 0.5)
    same(after, reference.infer(image, slots, 0.5))
    assert (before["known"] != after["known"]).any()


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_any_number_of_images(machine, engine_on, reference, pictures, novel, batch):
    engine, m = engine_on(batch=batch), reference.manifest
    for count in (1, 5, 2, 3, 3, 3, 1):
        request = (pictures(m, count, count), novel(m), 0.4, OUTPUTS)
        same(engine.infer(*request), reference.infer(*request))
    assert machine.cuda.sins == []


def test_a_fixed_batch(nvidia, build, cache, reference, pictures, novel, write_bundle, tmp_path):
    """The last part of a request is filled up."""
    fake = nvidia()
    onnx = pytest.importorskip("onnx")
    byte, number = onnx.TensorProto.UINT8, onnx.TensorProto.FLOAT
    path = write_bundle(
        tmp_path / "fixed.onnx",
        inputs={"image": (byte, [2, 24, 32, 3])},
        outputs={
            "known": (byte, [2, 24, 32]),
            "anomaly": (number, [2, 24, 32]),
            "open_set": (byte, [2, 24, 32]),
            "direction": (number, [2, 2, 6, 8]),
            "embedding": (number, [2, 3, 6, 8]),
        },
    )
    bundle = load_bundle(path)
    assert build(bundle, batch=2).entry.key.inputs == "2x24x32x3"
    with open_cached(bundle, cache) as engine:
        m = engine.manifest
        for count in (1, 2, 3):
            request = (pictures(m, count, count), novel(m), 0.4, OUTPUTS)
            same(engine.infer(*request), reference.infer(*request))
    assert fake.cuda.sins == []


def test_results_stay_when_the_next_frame_comes(machine, engine_on, pictures, novel, reference):
    engine, m = engine_on(), reference.manifest
    first = engine.infer(pictures(m, 1, 1), novel(m), 0.5, OUTPUTS)
    kept = {name: array.copy() for name, array in first.items()}
    engine.infer(pictures(m, 1, 2), novel(m), 0.2, OUTPUTS)
    same(first, kept)


def test_threads_take_turns(nvidia, engine_on, reference, pictures, novel):
    fake = nvidia()
    engine, m = engine_on(), reference.manifest
    requests = [(pictures(m, 1, s), novel(m, s), 0.1 * s, OUTPUTS[:3]) for s in range(4)]
    wrong = []
    copy = fake.cuda.cudaMemcpyAsync

    def slow_copy(*arguments):
        time.sleep(0.001)  # in which another thread may run
        return copy(*arguments)

    fake.cuda.cudaMemcpyAsync = slow_copy

    def work(request):
        expected = reference.infer(*request)
        for _ in range(5):
            found = engine.infer(*request)
            wrong.extend(n for n in found if not np.array_equal(found[n], expected[n]))

    threads = [threading.Thread(target=work, args=(request,)) for request in requests]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert fake.cuda.sins == []


# What is copied ----------------------------------------------------------------------------------


def test_only_what_is_asked_for_is_copied_back(machine, engine_on, pictures):
    engine = engine_on()
    m, slots = engine.manifest, PrototypeSlots.empty(engine.manifest)
    sizes = {"known": PIXELS, "anomaly": 4 * PIXELS, "open_set": PIXELS}
    sizes |= {"direction": 4 * 2 * 6 * 8, "embedding": 4 * 3 * 6 * 8}
    for names in (("known",), OUTPUTS[:3], ("embedding", "direction"), OUTPUTS):
        before = machine.cuda.copied["down"]
        engine.infer(pictures(m), slots, 0.5, names)
        expected = sum(sizes[name] for name in names)
        assert machine.cuda.copied["down"] - before == expected
        assert engine.copied.down == expected


def test_prototypes_and_threshold_are_copied_when_they_change(machine, engine_on, pictures, novel):
    engine = engine_on()
    m, slots = engine.manifest, novel(engine.manifest)
    others = replace(slots, vectors=slots.vectors + np.float32(0.125))
    invalid = replace(others, valid=np.zeros(4, np.float32))
    wider = replace(invalid, radius=np.ones(4, np.float32))
    engine.infer(pictures(m), slots, 0.5)
    for asked, threshold, expected in (
        (slots, 0.5, 0),
        (novel(m), 0.5, 0),
        (slots, 0.25, 4),
        (others, 0.25, 4 * 4 * 3),
        (invalid, 0.25, 4 * 4),
        (wider, 0.25, 4 * 4),
        (wider, 0.25, 0),
        (slots, 0.5, 4 * 4 * 3 + 4 * 4 + 4 * 4 + 4),
    ):
        before = machine.cuda.copied["up"]
        engine.infer(pictures(m), asked, threshold)
        assert machine.cuda.copied["up"] - before == 3 * PIXELS + expected
        assert engine.copied.up == 3 * PIXELS + expected


# CUDA graphs -------------------------------------------------------------------------------------


def test_the_network_is_recorded_once_and_launched(machine, engine_on, pictures):
    engine = engine_on()
    m, slots = engine.manifest, PrototypeSlots.empty(engine.manifest)
    assert engine.graph_problem == ""
    calls = machine.cuda.calls
    assert calls.count("cudaStreamBeginCapture") == 1
    launched = calls.count("cudaGraphLaunch")
    for _ in range(3):
        engine.infer(pictures(m), slots, 0.5)
    assert calls.count("cudaGraphLaunch") == launched + 3
    assert calls.count("cudaStreamBeginCapture") == 1


def test_a_batch_of_another_size_gets_a_graph_of_its_own(nvidia, engine_on, pictures):
    fake = nvidia()
    engine = engine_on(batch=2)
    m, slots = engine.manifest, PrototypeSlots.empty(engine.manifest)
    calls = fake.cuda.calls
    for _ in range(2):
        engine.infer(pictures(m, 2), slots, 0.5)
    assert calls.count("cudaStreamBeginCapture") == 1
    assert fake.cuda.execs == {}
    engine.infer(pictures(m, 2), slots, 0.5)
    assert calls.count("cudaStreamBeginCapture") == 2
    assert len(fake.cuda.execs) == 1


@pytest.mark.parametrize(
    "fail",
    [
        {"cudaStreamBeginCapture": (900, 0)},
        {"cudaStreamEndCapture": (901, 0)},
        {"cudaGraphInstantiateWithFlags": (1, 0)},
        {"capture": "breaks"},
        {"capture": "refused"},
    ],
    ids=lambda fail: " ".join(map(str, *fail.items())),
)
def test_what_cannot_be_recorded_runs_without(nvidia, engine_on, reference, pictures, novel, fail):
    fake = nvidia(fail=fail)
    engine, m = engine_on(), reference.manifest
    assert engine.graph_problem
    request = (pictures(m), novel(m), 0.4, OUTPUTS)
    for _ in range(4):
        same(engine.infer(*request), reference.infer(*request))
    assert "cudaGraphLaunch" not in fake.cuda.calls
    assert fake.cuda.calls.count("cudaStreamBeginCapture") == 1
    assert fake.cuda.last == 0  # nobody else hears of that error
    engine.close()
    assert fake.cuda.leaks() == {}


def test_graphs_can_be_switched_off(nvidia, build, tiny, cache, pictures):
    fake = nvidia()
    entry = build().entry
    with TensorRTEngine(tiny, cache.read(entry), find_tensorrt(), Cuda(), graphs=False) as engine:
        engine.infer(pictures(tiny.manifest), PrototypeSlots.empty(tiny.manifest), 0.5)
    assert "cudaStreamBeginCapture" not in fake.cuda.calls


# Memory ------------------------------------------------------------------------------------------


def test_everything_is_given_back_at_the_end(machine, engine_on, pictures, novel):
    engine = engine_on(batch=2)
    engine.infer(pictures(engine.manifest, 2), novel(engine.manifest), 0.5, OUTPUTS)
    assert machine.cuda.leaks()
    engine.close()
    gc.collect()
    assert machine.cuda.leaks() == {}
    assert len(machine.engine.ALIVE) == 0
    assert machine.engine.ORDER == ["context", "engine", "runtime"]
    assert machine.cuda.sins == []
    engine.close()
    with pytest.raises(EngineError, match="the engine is closed"):
        engine.infer(pictures(engine.manifest), novel(engine.manifest), 0.5)


def test_page_locked_memory_comes_with_the_first_use(machine, engine_on, pictures, novel):
    engine = engine_on()
    before = len(machine.cuda.pinned)
    engine.infer(pictures(engine.manifest), novel(engine.manifest), 0.5)
    assert len(machine.cuda.pinned) == before
    engine.infer(pictures(engine.manifest), novel(engine.manifest), 0.5, ("embedding",))
    assert len(machine.cuda.pinned) == before + 1


@pytest.mark.parametrize("after", [0, 4, 9])
def test_out_of_gpu_memory(nvidia, build, tiny, cache, after):
    fake = nvidia()
    build()
    fake.setup.fail["cudaMalloc"] = (2, after)
    with pytest.raises(EngineError, match=r"^out of GPU memory: .* MB are needed, .* MB are free"):
        open_cached(tiny, cache)
    gc.collect()
    assert fake.cuda.leaks() == {}
    assert len(fake.engine.ALIVE) == 0


def test_a_gpu_that_is_too_small(nvidia, build, tiny, cache):
    nvidia()
    build()
    fake = nvidia(memory=4000)
    with pytest.raises(EngineError, match=r"out of GPU memory: .*; close other programs"):
        open_cached(tiny, cache)
    assert fake.cuda.leaks() == {}


def test_out_of_page_locked_memory(nvidia, build, tiny, cache):
    fake = nvidia()
    build()
    fake.setup.fail["cudaHostAlloc"] = (2, 3)
    with pytest.raises(EngineError, match=r"out of page-locked memory: .* MB are needed"):
        open_cached(tiny, cache)
    assert fake.cuda.leaks() == {}


def test_tensorrt_itself_runs_out_of_memory(nvidia, build, tiny, cache):
    fake = nvidia()
    build()
    fake.setup.fail["context"] = "[defaultAllocator] Cuda Runtime (out of memory)"
    with pytest.raises(EngineError, match=r"cannot start the engine .*; close other programs"):
        open_cached(tiny, cache)
    gc.collect()
    assert fake.cuda.leaks() == {}
    assert len(fake.engine.ALIVE) == 0


# Errors on the way -------------------------------------------------------------------------------


def test_a_run_that_tensorrt_refuses(nvidia, engine_on, pictures, novel):
    fake = nvidia(fail={"capture": "refused"})
    engine = engine_on()
    fake.setup.fail["execute"] = ("illegal memory access", 0)
    with pytest.raises(EngineError, match=r"TensorRT 10\.3\.0 failed .* of model 'tiny' \(illegal"):
        engine.infer(pictures(engine.manifest), novel(engine.manifest), 0.5)


@pytest.mark.parametrize("name", ["cudaMemcpyAsync", "cudaStreamSynchronize", "cudaGraphLaunch"])
def test_a_cuda_call_that_fails(nvidia, engine_on, pictures, novel, name):
    fake = nvidia()
    engine = engine_on()
    fake.setup.fail[name] = (700, 0)
    with pytest.raises(EngineError, match=f"CUDA failed in {name} .cudaErrorIllegalAddress: text"):
        engine.infer(pictures(engine.manifest), novel(engine.manifest), 0.5)
    engine.close()


def test_memory_is_given_back_only_when_the_gpu_is_done(nvidia, engine_on, pictures, novel):
    fake = nvidia(fail={"capture": "refused"})
    engine = engine_on()
    fake.setup.fail["execute"] = ("illegal memory access", 0)
    with pytest.raises(EngineError):
        engine.infer(pictures(engine.manifest), novel(engine.manifest), 0.5)
    assert any(stream.work for stream in fake.cuda.streams.values())
    engine.close()
    assert fake.cuda.sins == []
    assert fake.cuda.leaks() == {}


def test_after_a_failed_copy_prototypes_are_copied_again(
    nvidia, engine_on, reference, pictures, novel
):
    fake = nvidia()
    engine, m = engine_on(), reference.manifest
    fake.setup.fail["cudaMemcpyAsync"] = (700, 0)
    with pytest.raises(EngineError):
        engine.infer(pictures(m), novel(m, 5), 0.5)
    fake.setup.fail.clear()
    request = (pictures(m), novel(m, 5), 0.5, OUTPUTS)
    same(engine.infer(*request), reference.infer(*request))
