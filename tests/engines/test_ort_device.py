"""Bound buffers: the same results as a plain run, and what is copied when."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest

from owseg.bundle import OUTPUTS, load_bundle
from owseg.engines import PrototypeSlots
from owseg.engines.ort_device import DeviceRunner

RNG = np.random.default_rng(3)


def feed_of(manifest, batch=1, threshold=0.5):
    slots = PrototypeSlots.empty(manifest)
    slots.vectors[:] = RNG.random(slots.vectors.shape)
    slots.radius[:] = 0.1
    slots.valid[:2] = 1
    return {
        "image": RNG.integers(0, 256, (batch, manifest.height, manifest.width, 3), dtype=np.uint8),
        "prototypes": slots.vectors,
        "prototype_radius": slots.radius,
        "prototype_valid": slots.valid,
        "anomaly_threshold": np.array([threshold], np.float32),
    }


@pytest.fixture
def session(tiny_bundle):
    return onnxruntime.InferenceSession(str(tiny_bundle), providers=["CPUExecutionProvider"])


def test_the_same_as_a_plain_run_for_changing_requests(session, tiny_manifest):
    runner = DeviceRunner(session, "cpu")
    for batch, threshold in ((1, 0.5), (2, 0.5), (1, 0.2), (1, 0.2), (2, 0.9)):
        feed = feed_of(tiny_manifest, batch, threshold)
        found, _ = runner.run(OUTPUTS, feed)
        for name, want in zip(OUTPUTS, session.run(list(OUTPUTS), feed), strict=True):
            np.testing.assert_array_equal(found[name], want, err_msg=name)


def test_each_changed_input_alone_is_noticed(session, tiny_manifest):
    runner = DeviceRunner(session, "cpu")
    feed, other = feed_of(tiny_manifest), feed_of(tiny_manifest, threshold=0.3)
    other["prototype_radius"] = other["prototype_radius"] * 4
    other["prototype_valid"] = np.ones_like(other["prototype_valid"])
    runner.run(OUTPUTS, feed)
    for name in feed:
        feed[name] = other[name]
        found, _ = runner.run(("known", "open_set"), feed)
        want = session.run(["known", "open_set"], feed)
        np.testing.assert_array_equal(found["known"], want[0], err_msg=name)
        np.testing.assert_array_equal(found["open_set"], want[1], err_msg=name)


def test_an_input_that_is_changed_in_place_is_noticed(session, tiny_manifest):
    runner = DeviceRunner(session, "cpu")
    feed = feed_of(tiny_manifest)
    before = runner.run(("known",), feed)[0]["known"]
    feed["prototype_valid"][:] = 0
    after = runner.run(("known",), feed)[0]["known"]
    np.testing.assert_array_equal(after, session.run(["known"], feed)[0])
    assert (before != after).any()


def test_results_are_not_overwritten_by_the_next_run(session, tiny_manifest):
    runner = DeviceRunner(session, "cpu")
    first, _ = runner.run(OUTPUTS, feed_of(tiny_manifest))
    kept = {name: array.copy() for name, array in first.items()}
    runner.run(OUTPUTS, feed_of(tiny_manifest))
    for name in OUTPUTS:
        np.testing.assert_array_equal(first[name], kept[name])


# What is called, on a runtime that only takes notes -----------------------------------------------


class FakeValue:
    def __init__(self, log, array):
        self.log, self.array = log, array

    def update_inplace(self, array):
        self.log.append(("upload", array.shape))

    def numpy(self):
        self.log.append(("download", self.array.shape))
        return self.array


def fake_runtime(monkeypatch, manifest):
    log = []

    def value(array, device, index):
        log.append(("buffer", array.shape, device, index))
        return FakeValue(log, array)

    module = SimpleNamespace(
        OrtValue=SimpleNamespace(
            ortvalue_from_numpy=value,
            ortvalue_from_shape_and_type=lambda shape, kind, device, index: value(
                np.zeros(shape, kind), device, index
            ),
        ),
        RunOptions=lambda: SimpleNamespace(
            add_run_config_entry=lambda key, text: log.append((key, text))
        ),
    )
    monkeypatch.setitem(sys.modules, "onnxruntime", module)
    feed = feed_of(manifest)
    binding = SimpleNamespace(
        bind_ortvalue_input=lambda name, value: log.append(("in", name)),
        bind_ortvalue_output=lambda name, value: log.append(("out", name)),
    )
    outputs = [
        SimpleNamespace(name="known", type="tensor(uint8)", shape=["B", 24, 32]),
        SimpleNamespace(name="anomaly", type="tensor(float)", shape=["B", 24, 32]),
    ]
    session = SimpleNamespace(
        io_binding=lambda: binding,
        get_inputs=lambda: [SimpleNamespace(name=name) for name in feed],
        get_outputs=lambda: outputs,
        run_with_iobinding=lambda binding, options: log.append(("run",)),
    )
    return session, feed, log


@pytest.mark.parametrize("graph", [True, False])
def test_buffers_stay_and_only_what_is_needed_is_copied(monkeypatch, tiny_manifest, graph):
    session, feed, log = fake_runtime(monkeypatch, tiny_manifest)
    runner = DeviceRunner(session, "cuda", cuda_graph=graph)
    arrays, timings = runner.run(("known",), feed)
    assert arrays["known"].dtype == np.uint8
    assert list(timings) == ["copy in", "graph", "copy out"]
    assert all(value >= 0 for value in timings.values())
    assert (("gpu_graph_id", "1") in log) == graph
    assert [entry[2:] for entry in log if entry[0] == "buffer"] == [("cuda", 0)] * 7
    assert log[-2:] == [("run",), ("download", (1, 24, 32))]
    log.clear()
    runner.run(("anomaly",), feed)
    assert log == [("upload", feed["image"].shape), ("run",), ("download", (1, 24, 32))]
    log.clear()
    runner.run((), feed | {"prototype_valid": np.zeros(4, np.float32)})
    assert log == [("upload", feed["image"].shape), ("upload", (4,)), ("run",)]


def test_another_batch_has_buffers_and_a_captured_graph_of_its_own(monkeypatch, tiny_manifest):
    session, feed, log = fake_runtime(monkeypatch, tiny_manifest)
    runner = DeviceRunner(session, "cuda", cuda_graph=True)
    runner.run(("known",), feed)
    pair = feed | {"image": np.concatenate([feed["image"]] * 2)}
    assert runner.run(("known",), pair)[0]["known"].shape == (2, 24, 32)
    assert ("gpu_graph_id", "2") in log
    log.clear()
    runner.run(("known",), feed)
    assert not [entry for entry in log if entry[0] == "buffer"]


def test_a_whole_bundle_on_the_device(tiny_bundle):
    bundle = load_bundle(tiny_bundle)
    session = onnxruntime.InferenceSession(str(tiny_bundle), providers=["CPUExecutionProvider"])
    found, _ = DeviceRunner(session, "cpu").run(OUTPUTS, feed_of(bundle.manifest, 3))
    assert {name: a.shape for name, a in found.items()} == {
        "known": (3, 24, 32),
        "anomaly": (3, 24, 32),
        "open_set": (3, 24, 32),
        "direction": (3, 2, 6, 8),
        "embedding": (3, 3, 6, 8),
    }


def test_a_copy_that_failed_is_made_again(session, tiny_manifest):
    runner = DeviceRunner(session, "cpu")
    feed, other = feed_of(tiny_manifest), feed_of(tiny_manifest, threshold=0.3)
    other["prototypes"] = other["prototypes"] * 0.5
    runner.run(OUTPUTS, feed)
    (bound,) = runner._bound.values()
    whole = bound.inputs["prototypes"]

    def refuse(array):
        raise RuntimeError("the device is gone")

    bound.inputs["prototypes"] = SimpleNamespace(update_inplace=refuse)
    with pytest.raises(RuntimeError, match="gone"):
        runner.run(OUTPUTS, other)
    bound.inputs["prototypes"] = whole
    found, _ = runner.run(OUTPUTS, other)
    for name, want in zip(OUTPUTS, session.run(list(OUTPUTS), other), strict=True):
        np.testing.assert_array_equal(found[name], want, err_msg=name)
