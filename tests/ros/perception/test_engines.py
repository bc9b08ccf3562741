"""TensorRT in the perception node: what stands in for it, what is said of it, building only."""

from __future__ import annotations

import threading

import pytest

from owseg.engines import FakeEngine, choice, fake_manifest
from owseg.engines.switching import SwitchingEngine
from owseg.errors import EngineError
from owseg.outputs import MASK
from owseg.pipeline import Pipeline
from owseg_ros.commands.node import start
from owseg_ros.diagnostics import Level
from owseg_ros.hosts.base import NS_PER_S
from owseg_ros.perception import node as program
from owseg_ros.perception.model import SharedModel
from owseg_ros.perception.parameters import Settings
from owseg_ros.perception.status import model_status
from owseg_ros.watchdog import RAW

DIAGNOSTICS = "diagnostic_msgs/msg/DiagnosticArray"
NO_GPU = "there is no usable NVIDIA GPU (none); install its driver, or use the engine onnxruntime"


@pytest.fixture
def no_gpu(monkeypatch):
    def refuse():
        raise EngineError(NO_GPU)

    monkeypatch.setattr(choice, "check_usable", refuse)


def test_the_engine_status_has_its_notice():
    settings = Settings(threshold=0.25, opacity=0.5, lazy=True, max_age_ms=0, image_timeout_s=5)
    engine = SwitchingEngine(lambda device: FakeEngine(fake_manifest(24, 32)))
    model = SharedModel(Pipeline(engine), settings)
    engine.say("building the TensorRT engine: 40 %", degraded=False)
    found = model_status(model, "auto", "")
    assert (found.level, found.message) == (
        Level.OK,
        "fake on fake: building the TensorRT engine: 40 %",
    )
    engine.say("no kernel", degraded=True)
    found = model_status(model, "auto", "")
    assert (found.level, found.message) == (Level.WARN, "fake on fake: no kernel")


def test_onnxruntime_stands_in_and_diagnostics_say_so(
    perception, friend, eventually, noise, no_gpu, tiny_bundle
):
    friend.listen(DIAGNOSTICS, "/diagnostics")
    friend.listen(RAW, MASK)
    perception(engine="tensorrt", model=tiny_bundle)
    friend.send(noise(), NS_PER_S)
    assert eventually(lambda: friend.of(MASK))

    def with_a_model():
        """Return the latest report unless it is from before the model was loaded."""
        found = friend.status("perception: engine")
        return found if found and found.values else None

    found = eventually(with_a_model)
    assert found.level == Level.WARN
    assert found.message == f"tiny on onnxruntime: {NO_GPU}"
    assert found.values["engine"] == "onnxruntime"


def test_where_nothing_may_stand_in_the_node_does_not_start(
    kinds, ros_domain, capfd, no_gpu, monkeypatch, tiny_bundle
):
    def refuse(bundle, cache):
        raise EngineError(NO_GPU)

    monkeypatch.setattr(choice, "open_cached", refuse)
    words = ("engine:=tensorrt", "fallback:=false", f"model:={tiny_bundle}")
    argv = [part for word in words for part in ("-p", word)]
    assert start(["perception", "--host", kinds[0], "--ros-args", *argv]) == 2
    assert f"configure failed: {NO_GPU}" in capfd.readouterr().err


# Building only -----------------------------------------------------------------------------------


@pytest.fixture
def builds(monkeypatch):
    """Note the models that are built, and say something of them."""
    found = []

    def build(model, tell, stop):
        assert isinstance(stop, threading.Event)
        tell("building tiny: 40 %")
        found.append(model)

    monkeypatch.setattr(program, "build_in_background", build)
    return found


def test_build_only_builds_and_ends(kinds, ros_domain, capfd, builds, tiny_bundle):
    argv = ["-p", "build_only:=true", "-p", f"model:={tiny_bundle}"]
    assert start(["perception", "--host", kinds[0], "--ros-args", *argv]) == 0
    assert builds == [tiny_bundle]
    err = capfd.readouterr().err
    assert "building tiny: 40 %" in err
    assert "the TensorRT engine is in the cache" in err
    assert "active on" not in err


def test_a_build_that_fails_ends_with_its_reason(
    kinds, ros_domain, capfd, monkeypatch, tiny_bundle
):
    def fail(model, tell, stop):
        raise EngineError("the TensorRT engine could not be built: no kernel")

    monkeypatch.setattr(program, "build_in_background", fail)
    assert start(["perception", "--host", kinds[0], "--ros-args", "-p", "build_only:=true"]) == 2
    err = capfd.readouterr().err
    assert "perception: the TensorRT engine could not be built: no kernel" in err
    assert "Traceback" not in err
