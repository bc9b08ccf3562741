"""Why no images arrive: each cause, and the line that mends it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from owseg_ros.hosts.base import Endpoint, QosMismatch
from owseg_ros.hosts.log import Log
from owseg_ros.hosts.qos import LATCHED, LATEST, SENSOR_DATA
from owseg_ros.watchdog import COMPRESSED, RAW, ImageWatchdog, why_no_images

STRING = "std_msgs/msg/String"


class Graph:
    def __init__(self):
        self.ends = []
        self.others = ["/camera"]

    def add(self, topic, message_type=RAW, qos=LATEST, node="/camera"):
        self.ends.append(Endpoint(node, topic, message_type, qos))

    def publishers(self, topic):
        return [end for end in self.ends if end.topic == topic]

    def topics(self):
        return {end.topic: (end.message_type,) for end in self.ends}

    def nodes(self):
        return ["/perception", *self.others]


@pytest.fixture
def graph():
    return Graph()


@pytest.fixture
def lines():
    return []


@pytest.fixture
def host(graph, lines):
    """Give what the watchdog needs of a host; tests may remap."""
    remaps = {}
    return SimpleNamespace(
        full_name="/perception",
        graph=graph,
        remaps=remaps,
        resolve=lambda name: remaps.get(name, name if name.startswith("/") else f"/{name}"),
        log=Log(lambda level, line: lines.append((level, line))),
    )


def waiting(topic="/image", message_type=RAW, qos=SENSOR_DATA, received=0):
    return SimpleNamespace(topic=topic, message_type=message_type, qos=qos, received=received)


def test_nobody_publishes_anything(host, graph):
    graph.others = []
    reason = why_no_images(waiting(), host, "image")
    assert reason.startswith("nobody publishes /image, nor images on any other topic; start the")
    assert "ROS_DOMAIN_ID and RMW_IMPLEMENTATION (no other node is in sight)" in reason
    graph.others = ["/a"]
    assert "(1 other node is in sight)" in why_no_images(waiting(), host, "image")
    graph.others = ["/a", "/b"]
    assert "(2 other nodes are in sight)" in why_no_images(waiting(), host, "image")


def test_images_are_elsewhere(host, graph):
    graph.add("/rear/depth")
    graph.add("/camera/image_raw")
    graph.add("/chatter", STRING)
    assert why_no_images(waiting(), host, "image") == (
        "nobody publishes /image; images are on /camera/image_raw, /rear/depth: "
        "add --ros-args -r image:=/camera/image_raw"
    )


def test_only_a_few_topics_are_listed(host, graph):
    for number in range(6):
        graph.add(f"/image{number}")
    reason = why_no_images(waiting(), host, "image")
    assert "images are on /image0, /image1, /image2, /image3, ...: add" in reason


def test_our_own_pictures_are_no_input(host, graph):
    graph.add("/overlay", node="/perception")
    graph.add("/elsewhere/segmentation/mask", node="/elsewhere/perception")
    graph.add("/debug/image", node="/perception")
    assert "nor images on any other topic" in why_no_images(waiting(), host, "image")


def test_images_are_elsewhere_and_compressed(host, graph):
    graph.add("/cam/image_raw/compressed", COMPRESSED)
    reason = why_no_images(waiting(), host, "image")
    assert reason.endswith("add --ros-args -r image:=/cam/image_raw -p image_transport:=compressed")
    graph.add("/odd/jpeg", COMPRESSED)
    graph.ends.pop(0)
    reason = why_no_images(waiting(), host, "front/image")
    assert reason.endswith(
        "add --ros-args -r front/image/compressed:=/odd/jpeg -p image_transport:=compressed"
    )


def test_a_topic_of_the_same_type_comes_first(host, graph):
    graph.add("/images", COMPRESSED)
    graph.add("/zed/left")
    reason = why_no_images(waiting(), host, "image")
    assert reason.endswith(": add --ros-args -r image:=/zed/left")


def test_raw_images_where_compressed_ones_are_asked_for(host, graph):
    graph.add("/image")
    asked = waiting("/image/compressed", COMPRESSED)
    reason = why_no_images(asked, host, "image")
    assert reason.endswith("images are on /image: add --ros-args -p image_transport:=raw")


def test_a_topic_of_the_wrong_type(host, graph):
    graph.add("/image", COMPRESSED)
    assert why_no_images(waiting(), host, "image") == (
        f"/image carries {COMPRESSED}, not {RAW}: add --ros-args "
        "-r image/compressed:=/image -p image_transport:=compressed"
    )


def test_a_remapping_to_the_compressed_topic(host, graph):
    host.remaps["image"] = "/cam/image_raw/compressed"
    graph.add("/cam/image_raw/compressed", COMPRESSED)
    reason = why_no_images(waiting("/cam/image_raw/compressed"), host, "image")
    assert reason.endswith("add --ros-args -r image:=/cam/image_raw -p image_transport:=compressed")


def test_a_topic_that_is_no_image(host, graph):
    graph.add("/image", STRING)
    assert why_no_images(waiting(), host, "image") == (
        f"/image carries {STRING}, not {RAW}; remap 'image' to a topic with images"
    )
    graph.add("/other")
    reason = why_no_images(waiting(), host, "image")
    assert reason == f"/image carries {STRING}, not {RAW}: add --ros-args -r image:=/other"


def test_qos_keeps_them_apart(host, graph):
    graph.add("/image", qos=SENSOR_DATA)
    reason = why_no_images(waiting(qos=LATCHED), host, "image")
    assert "it offers best_effort and volatile, we ask for reliable and transient_local" in reason
    assert "set qos_overrides./image.subscription.reliability: best_effort" in reason


def test_one_publisher_that_fits_is_enough_to_say_that_it_is_silent(host, graph):
    graph.add("/image", qos=SENSOR_DATA, node="/quick")
    graph.add("/image", qos=LATEST, node="/sure")
    reason = why_no_images(waiting(qos=LATEST), host, "image")
    assert reason.startswith("/sure publishes /image, but nothing arrives; is its source running")
    assert "large images" not in reason


def test_a_silent_publisher_may_send_what_gets_lost(host, graph):
    graph.add("/image", node="")
    reason = why_no_images(waiting(), host, "image")
    assert reason.startswith("an unnamed node publishes /image")
    assert "-p qos_overrides./image.subscription.reliability:=reliable" in reason


# When it is said ---------------------------------------------------------------------------------


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def watchdog(host, clock):
    return ImageWatchdog(host, "image", lambda: 5.0, clock)


def test_each_cause_is_said_once(watchdog, clock, graph, lines):
    clock.now = 4.9
    assert watchdog.look(waiting()) == ""
    assert lines == []
    clock.now = 5.0
    assert watchdog.look(waiting()).startswith("nobody publishes /image, nor")
    for clock.now in range(6, 100):
        assert watchdog.look(waiting())
    assert len(lines) == 1
    assert lines[0][0] == "WARN"
    assert lines[0][1].startswith("no images: nobody publishes /image, nor")
    graph.add("/cam")
    watchdog.look(waiting())
    graph.ends.clear()
    watchdog.look(waiting())
    assert len(lines) == 2
    assert "-r image:=/cam" in lines[1][1]


def test_images_end_the_silence_until_the_next(watchdog, clock, lines):
    clock.now = 6.0
    assert watchdog.look(waiting())
    clock.now = 7.0
    assert watchdog.look(waiting(received=1)) == ""
    clock.now = 11.9
    assert watchdog.look(waiting(received=1)) == ""
    clock.now = 12.0
    assert watchdog.look(waiting(received=1))
    assert len(lines) == 2


def test_a_mismatch_is_said_at_once_and_not_again(watchdog, clock, graph, lines):
    graph.add("/image", qos=SENSOR_DATA)
    asked = waiting(qos=LATEST)
    text = why_no_images(asked, watchdog._host, "image")
    watchdog.mismatch(QosMismatch("/image", "subscription", ("reliability",), graph.ends[0], text))
    assert [line for _, line in lines] == [f"no images: {text}"]
    clock.now = 9.0
    assert watchdog.look(asked) == text
    assert len(lines) == 1
