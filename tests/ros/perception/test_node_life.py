"""The life of the perception node, its parameters while it runs, and its diagnostics."""

from __future__ import annotations

import time

import numpy as np
import pytest

from owseg.errors import UsageError
from owseg.outputs import IMAGES, LABELS, MASK, OVERLAY
from owseg.types import UNKNOWN_ID
from owseg_ros.hosts.base import NS_PER_S
from owseg_ros.hosts.lifecycle import State
from owseg_ros.watchdog import RAW

DIAGNOSTICS = "diagnostic_msgs/msg/DiagnosticArray"
CLOCK = "rosgraph_msgs/msg/Clock"


@pytest.fixture
def ends(eventually):
    """Check which nodes publish or subscribe to a topic; the graph knows after a moment."""

    def check(node, side, topic, names):
        look = getattr(node.host.graph, side)
        return eventually(lambda: sorted(end.node for end in look(topic)) == sorted(names))

    return check


# Life --------------------------------------------------------------------------------------------


def test_a_whole_life(perception, friend, tricks, eventually, noise, ends):
    node = perception(begin=False)
    assert node.host.lifecycle.state is State.UNCONFIGURED
    assert tricks.opened == 0
    friend.listen_to_all()
    trigger = node.host.lifecycle.trigger
    for round_ in (1, 2):
        assert trigger("configure")
        assert tricks.opened == round_
        assert len(tricks.seen) > 0
        assert ends(node, "publishers", f"/{MASK}", ["/perception"])
        assert ends(node, "subscriptions", "/image", [])
        assert trigger("activate")
        assert ends(node, "subscriptions", "/image", ["/perception"])
        friend.send(noise(), round_ * NS_PER_S)
        assert eventually(
            lambda round_=round_: [m.header.stamp.sec for m in friend.of(MASK)][-1:] == [round_]
        )
        assert trigger("deactivate")
        assert ends(node, "subscriptions", "/image", [])
        assert tricks.closed == round_ - 1
        assert trigger("activate")
        assert trigger("deactivate")
        assert trigger("cleanup")
        assert tricks.closed == round_
        for topic in (*IMAGES, LABELS):
            assert ends(node, "publishers", f"/{topic}", [])
        assert ends(node, "subscriptions", "/prototypes", [])


def test_counts_go_on_after_a_pause(perception, friend, tricks, eventually, noise):
    node = perception()
    friend.listen(RAW, MASK)
    friend.send(noise())
    assert eventually(lambda: friend.of(MASK))
    node.host.lifecycle.trigger("deactivate")
    assert node._cameras[0].tally().counts["received"] == 1
    node.host.lifecycle.trigger("activate")
    friend.send(noise())
    assert eventually(lambda: node._cameras[0].tally().counts["received"] == 2)


def test_deactivate_waits_for_the_frame_under_way(perception, friend, tricks, eventually, noise):
    node = perception()
    friend.listen(RAW, MASK)
    tricks.running.clear()
    tricks.slow_s = 0.2
    friend.send(noise())
    assert tricks.running.wait(5)
    assert node.host.lifecycle.trigger("deactivate")
    assert node._cameras[0].tally().counts["processed"] == 1


def test_a_frame_that_never_ends_does_not_hold_up_the_node(
    perception, friend, tricks, eventually, noise, monkeypatch, capfd
):
    monkeypatch.setattr("owseg_ros.perception.node._STOP_S", 0.05)
    node = perception()
    friend.listen(RAW, MASK)
    tricks.running.clear()
    tricks.go.clear()
    friend.send(noise())
    assert tricks.running.wait(5)
    assert not node.host.lifecycle.trigger("deactivate")
    assert node.host.lifecycle.state is State.ACTIVE
    assert node._cameras[0]._subscription is not None, "an active node hears images"
    assert node.host.lifecycle.trigger("shutdown")
    assert tricks.closed == 0
    text = capfd.readouterr().err
    assert "deactivate failed: the frame under way does not come to its end" in text
    assert "its engine is not freed" in text
    tricks.go.set()


def test_two_cameras_on_one_topic_are_refused(perception, tricks, capfd):
    node = perception("-p", "cameras:=[front, /front]", begin=False)
    assert not node.start()
    assert "two cameras read the same topic (/front/image, /front/image)" in capfd.readouterr().err
    assert tricks.closed == tricks.opened == 1


def test_the_end_of_the_process_frees_the_engine(start, tricks):
    from owseg_ros.perception.node import PerceptionNode

    runtime = start("--ros-args", "-p", "engine:=trick")
    node = PerceptionNode(runtime.node("perception", managed=True))
    assert node.start()
    runtime.stop()
    runtime.close()
    assert tricks.closed == 1
    assert node.host.lifecycle.state is State.FINALIZED


def test_autostart_may_be_left_to_a_manager(perception, tricks):
    node = perception(autostart=False)
    assert node.host.lifecycle.state is State.UNCONFIGURED
    assert tricks.opened == 0


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"engine": "onnxruntime", "model": "/nowhere.onnx"}, "no model at /nowhere.onnx"),
        ({"operating_point": "best"}, "no operating point 'best'; it has half"),
        ({"cameras": "[a, a]"}, "must hold different names"),
        ({"cameras": "['a b']"}, "no valid topic or service name"),
        ({"anomaly_threshold": -0.5}, "must be in 0..1, or -1"),
    ],
)
def test_what_cannot_be_configured_says_why(perception, tricks, given, reason, capfd, ends):
    node = perception(begin=False, **given)
    assert node.start() is False
    assert node.host.lifecycle.state is State.UNCONFIGURED
    assert tricks.opened == tricks.closed
    text = capfd.readouterr().err
    assert f"configure failed: {reason}" in text or reason in text
    assert "Traceback" not in text
    status = node.statuses()[0]
    assert (status.name, int(status.level)) == ("engine", 2)
    assert reason in status.message
    assert ends(node, "publishers", f"/{MASK}", [])


def test_a_warm_up_that_fails_closes_the_engine(perception, tricks):
    tricks.error = RuntimeError("no memory")
    node = perception(begin=False)
    assert node.start() is False
    assert (tricks.opened, tricks.closed) == (1, 1)
    tricks.error = None
    assert node.start() is True
    assert node.statuses()[0].message == "fake on fake"


# Parameters --------------------------------------------------------------------------------------


@pytest.fixture
def blue():
    """Make an image whose anomaly is 0.6 everywhere."""
    image = np.zeros((24, 32, 3), np.uint8)
    image[..., 2] = 153
    return image


@pytest.fixture
def outputs_of(friend, eventually):
    """Send an image, return the first pixel of mask and overlay."""

    def send(image):
        friend.got = [item for item in friend.got if item[0] == LABELS]
        friend.send(image, friend.host.clock.now_ns())
        assert eventually(lambda: friend.of(MASK) and friend.of(OVERLAY))
        pixels = np.asarray(friend.of(OVERLAY)[0].data)[:3].tolist()
        return int(np.asarray(friend.of(MASK)[0].data)[0]), pixels

    return send


def test_live_parameters_change_the_next_frame(perception, friend, tricks, outputs_of, blue):
    node = perception(overlay_opacity=0.0)
    friend.listen_to_all()
    change = node.host.parameters.set
    flush = node.host.lifecycle._main.flush if node.host.kind == "standalone" else time.sleep

    def settled():
        flush(0.3)

    assert outputs_of(blue) == (UNKNOWN_ID, [0, 0, 153])
    change({"anomaly_threshold": 0.7})
    settled()
    assert outputs_of(blue)[0] == 0
    change({"operating_point": "half"})
    settled()
    assert outputs_of(blue)[0] == UNKNOWN_ID
    assert node.host.parameters.get("anomaly_threshold") == -1.0
    change({"overlay_opacity": 1.0})
    settled()
    assert outputs_of(blue)[1] == [255, 64, 0]
    thresholds = [message.threshold for message in friend.of(LABELS)]
    assert thresholds == pytest.approx([0.5, 0.3, 0.5])


def test_a_new_threshold_is_told_without_images(perception, friend, tricks, eventually):
    node = perception()
    friend.listen_to_all()
    assert eventually(lambda: len(friend.of(LABELS)) == 1)
    node.host.parameters.set({"anomaly_threshold": 0.75})
    assert eventually(lambda: len(friend.of(LABELS)) == 2)
    assert friend.of(LABELS)[1].threshold == 0.25


def test_bad_changes_are_refused_with_a_reason(perception, tricks):
    node = perception()
    for changes, reason in (
        ({"anomaly_threshold": 1.5}, "must be in -1..1, got 1.5"),
        ({"anomaly_threshold": -0.5}, r"in 0\.\.1, or -1"),
        ({"operating_point": "best"}, "has no operating point 'best'; it has half"),
        ({"overlay_opacity": 2.0}, r"in 0\.\.1"),
        ({"model": "other.onnx"}, "'model' is fixed while the node is configured"),
        ({"device": "cpu"}, "'device' is fixed"),
        ({"engine": "fake"}, "'engine' is fixed"),
        ({"autostart": False}, "read-only"),
    ):
        with pytest.raises(UsageError, match=reason):
            node.host.parameters.set(changes)
    assert node._model.settings.threshold == 0.5
    node.host.lifecycle.trigger("deactivate")
    node.host.lifecycle.trigger("cleanup")
    node.host.parameters.set({"engine": "fake", "cameras": ("front",)})
    assert node.start()
    assert tricks.opened == 1
    assert [camera.topic for camera in node._cameras] == ["/front/image"]


def test_misspelt_parameters_are_named(perception, tricks, capfd):
    given = "qos_overrides./image.subscription.depth"
    perception("-p", f"{given}:=2", "-p", f"{given}s:=2", overlay_opasity=0.1)
    text = capfd.readouterr().err
    assert text.count("there is no parameter 'overlay_opasity'; its value is not used") == 1
    assert f"there is no parameter '{given}s'" in text
    assert f"'{given}'" not in text


def test_qos_of_outputs_may_be_overridden(perception, friend, tricks, ends):
    name = "qos_overrides./segmentation/mask.publisher.reliability"
    node = perception("-p", f"{name}:=best_effort")
    assert ends(node, "publishers", "/segmentation/mask", ["/perception"])
    assert ends(node, "publishers", "/segmentation/label_info", ["/perception"])
    (end,) = node.host.graph.publishers("/segmentation/mask")
    assert end.qos.reliability == "best_effort"
    (labels,) = node.host.graph.publishers("/segmentation/label_info")
    assert (labels.qos.reliability, labels.qos.durability) == ("reliable", "transient_local")


# Diagnostics -------------------------------------------------------------------------------------


def test_diagnostics_tell_of_engine_classes_and_camera(
    perception, friend, tricks, eventually, noise
):
    perception()
    friend.listen(DIAGNOSTICS, "/diagnostics")
    friend.listen(RAW, MASK)
    for _ in range(3):
        friend.send(noise(), friend.host.clock.now_ns())
    assert eventually(
        lambda: (
            (found := friend.status("perception: camera"))
            and found.values["frames out"] != "0"
            and found
        )
    )
    camera = friend.status("perception: camera")
    assert camera.values["topic"] == "/image"
    assert int(camera.values["frames in"]) >= int(camera.values["frames out"]) >= 1
    assert float(camera.values["age p95 (ms)"]) >= float(camera.values["age p50 (ms)"]) > 0
    assert float(camera.values["latency p50 (ms)"]) > 0
    engine = friend.status("perception: engine")
    assert (engine.level, engine.values["model"], engine.values["engine"]) == (0, "fake", "fake")
    assert friend.status("perception: prototypes").values["version"] == "0"


def test_malformed_images_and_failures_are_diagnosed(perception, friend, tricks, eventually, noise):
    perception()
    friend.listen(DIAGNOSTICS, "/diagnostics")
    friend.listen(RAW, MASK)
    friend.send(noise(), encoding="rgb9")
    assert eventually(lambda: (found := friend.status("perception: camera")) and found.level == 1)
    camera = friend.status("perception: camera")
    assert camera.message.startswith("1 malformed images; image encoding 'rgb9' is not supported")
    assert camera.values["malformed images"] == "1"
    tricks.error = RuntimeError("surprise")
    friend.send(noise())
    assert eventually(lambda: (found := friend.status("perception: camera")) and found.level == 2)
    assert "surprise" in friend.status("perception: camera").values["last error"]


def test_the_silence_of_a_camera_is_a_warning(perception, friend, tricks, eventually):
    perception("-p", "cameras:=[front]", image_timeout_s=0.1)
    friend.listen(DIAGNOSTICS, "/diagnostics")
    assert eventually(
        lambda: (found := friend.status("perception: camera front")) and found.level == 1
    )
    assert "nobody publishes /front/image" in friend.status("perception: camera front").message


def test_simulated_time_makes_the_ages(perception, friend, tricks, eventually, noise):
    node = perception(use_sim_time=True)
    friend.listen(RAW, MASK)
    friend.listen(DIAGNOSTICS, "/diagnostics")
    assert eventually(
        lambda: (
            (found := friend.status("perception: camera"))
            and "nothing publishes /clock" in found.message
        )
    )
    friend.send(noise(), 100 * NS_PER_S)
    assert eventually(lambda: friend.of(MASK))
    assert node._cameras[0].tally().last_age is None
    stamp = friend.make("builtin_interfaces/msg/Time", sec=100, nanosec=40_000_000)
    friend.publish(CLOCK, "/clock", friend.make(CLOCK, clock=stamp))
    assert eventually(lambda: node.host.clock.now_ns())
    friend.send(noise(), 100 * NS_PER_S)
    assert eventually(lambda: node._cameras[0].tally().last_age == 40.0)
