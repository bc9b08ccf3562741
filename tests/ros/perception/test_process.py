"""Perception nodes as processes of their own: from start to signal, and killed in between."""

from __future__ import annotations

import os
import signal
import threading
import time

import numpy as np
import pytest

from owseg.bundle import load_bundle
from owseg.engines import OnnxRuntimeEngine
from owseg.engines.fake import FAKE_SPACE
from owseg.grouping import ClusterTracker
from owseg.outputs import DETECTIONS, IMAGES, LABELS, MASK, array_of
from owseg.pipeline import Pipeline
from owseg.types import Frame
from owseg_ros.commands import options
from owseg_ros.commands.node import start as main
from owseg_ros.perception.detections import DETECTION_ARRAY
from owseg_ros.watchdog import RAW


@pytest.fixture
def wait_for(friend, eventually):
    """Send an image again and again until the topics arrive with its stamp."""

    def send(image, stamp_ns, topics=(MASK,), prefix=""):
        sec, nanosec = divmod(stamp_ns, 10**9)

        def arrived():
            friend.send(image, stamp_ns, f"{prefix}image", wait=False)
            time.sleep(0.02)
            found = {
                topic: message
                for topic in topics
                for message in friend.of(prefix + topic)
                if (message.header.stamp.sec, message.header.stamp.nanosec) == (sec, nanosec)
            }
            return found if len(found) == len(topics) else None

        found = eventually(arrived, 30)
        assert found, friend.host.graph.topics()
        return found

    return send


def test_a_signal_before_it_listens_to_signals_ends_it_without_a_word(monkeypatch, capfd):
    def start(*_):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(options, "_run", start)
    assert main(["perception"]) == 0
    assert capfd.readouterr().err == ""
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_process_gives_what_the_offline_pipeline_gives(
    process, friend, wait_for, tiny_bundle, noise
):
    child = process(engine="onnxruntime", model=tiny_bundle, device="cpu")
    friend.listen_to_all()
    with OnnxRuntimeEngine(load_bundle(tiny_bundle), "cpu", threads=1) as engine:
        pipeline, tracker = Pipeline(engine), ClusterTracker()
        for seed in (1, 2):
            image = noise(48, 64, seed)
            found = wait_for(image, seed * 10**9 + 5, IMAGES)
            result = pipeline.process(Frame(image=image), tracker=tracker)
            for topic in IMAGES:
                data = np.asarray(found[topic].data, np.uint8).tobytes()
                assert data == array_of(topic, result).tobytes(), topic
                assert found[topic].header.frame_id == "optical"
    names = {item.class_id: item.class_name for item in friend.of(LABELS)[0].class_map}
    assert names == {0: "road", 1: "tree", 2: "sky", 255: "unknown"}
    child.send_signal(signal.SIGTERM)
    assert child.wait(10) == 0
    text = child.stderr.read()
    assert "Traceback" not in text
    assert "is ready on onnxruntime" in text


def test_a_process_finds_an_unknown_object_and_says_where(process, friend, wait_for):
    process()
    friend.listen(DETECTION_ARRAY, DETECTIONS)
    image = np.zeros((192, 256, 3), np.uint8)  # twice the size of the network
    image[40:100, 120:200, 2] = 255
    image[150:170, 20:30, 2] = 255
    message = wait_for(image, 10**9 + 5, (DETECTIONS,))[DETECTIONS]
    assert message.header.frame_id == "optical"
    found = ((item.id, item.bbox.center.position, item.bbox) for item in message.detections)
    boxes = {number: (at.x, at.y, box.size_x, box.size_y) for number, at, box in found}
    assert boxes == {"1": (160.0, 70.0, 80.0, 60.0), "2": (25.0, 160.0, 10.0, 20.0)}
    results = [result for item in message.detections for result in item.results]
    assert {(r.hypothesis.class_id, r.hypothesis.score) for r in results} == {("unknown", 1.0)}


def test_a_killed_node_comes_back_with_labels_and_classes(
    process, friend, wait_for, eventually, noise
):
    friend.listen_to_all()
    vectors = [[10 / 255, 10 / 255, *[0.0] * 8]]
    gray = np.full((24, 32, 3), 10, np.uint8)
    first = process()
    wait_for(gray, 10**9)
    friend.teach([(12, "kangaroo", vectors, 0.01)], FAKE_SPACE)
    assert eventually(lambda: set(last_mask(friend, wait_for, gray)) == {12})
    first.kill()
    first.wait(5)
    friend.got.clear()
    process()
    assert eventually(lambda: len(friend.of(LABELS)) >= 1, 20)
    assert eventually(lambda: set(last_mask(friend, wait_for, gray)) == {12})
    assert 12 in {item.class_id for item in friend.of(LABELS)[-1].class_map}


_stamps = iter(range(5, 10**6))


def last_mask(friend, wait_for, image):
    return np.asarray(wait_for(image, next(_stamps) * 10**9)[MASK].data).tolist()


def test_a_killed_subscriber_does_not_hold_up_the_node(process, friend, wait_for, new_peer, noise):
    process()
    friend.listen(RAW, MASK)
    wait_for(noise(), 10**9)
    other = new_peer("viewer")
    other.ask("subscribe", type=RAW, topic=f"/{MASK}", qos={"depth": 1})
    wait_for(noise(), 2 * 10**9)
    other.close(kill=True)
    for number in (3, 4, 5):
        wait_for(noise(), number * 10**9)


# How it ends -------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_model_loads_ends_it(kinds, ros_domain, tricks, capfd, number):
    tricks.go.clear()

    def interrupt():
        tricks.running.wait(10)
        os.kill(os.getpid(), number)
        time.sleep(0.3)
        tricks.go.set()

    before = signal.getsignal(number)
    thread = threading.Thread(target=interrupt)
    thread.start()
    assert main(["perception", "--host", kinds[0], "--ros-args", "-p", "engine:=trick"]) == 0
    thread.join()
    assert signal.getsignal(number) is before
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_node_is_made_ends_it(kinds, ros_domain, monkeypatch, capfd, number):
    def interrupt(*_):
        os.kill(os.getpid(), number)
        time.sleep(5)

    monkeypatch.setattr("owseg_ros.perception.node.Diagnostics", interrupt)
    assert main(["perception", "--host", kinds[0], "--ros-args", "-p", "engine:=fake"]) == 0
    assert "failed" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (("-p", "model:=/nowhere.onnx"), "configure failed: no model at /nowhere.onnx"),
        (("-p", "overlay_opacity:=7.0"), "perception: parameter 'overlay_opacity' must be in 0..1"),
        (("-p", "engine:=magic"), "perception: parameter 'engine' must be onnxruntime or "),
        (("--", "stray"), "owseg node perception: unrecognized arguments: -- stray; see "),
    ],
)
def test_a_node_that_cannot_start_says_why_and_ends(kinds, ros_domain, capfd, argv, text):
    assert main(["perception", "--host", kinds[0], "--ros-args", *argv]) == 2
    out = capfd.readouterr().err
    assert text in out
    assert "Traceback" not in out


def test_an_unknown_host_is_refused(capfd):
    assert main(["perception", "--host", "ros1"]) == 2
    assert "argument --host: invalid choice: 'ros1'" in capfd.readouterr().err
