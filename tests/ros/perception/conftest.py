"""A perception node with a camera and a listener beside it, over real DDS on one machine."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import subprocess
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

from owseg.engines import ENGINES, FakeEngine, fake_manifest
from owseg.images import encode_image
from owseg.outputs import IMAGES, LABELS
from owseg_ros.commands.node import command_line
from owseg_ros.hosts.qos import LATCHED, LATEST, QosProfile
from owseg_ros.perception.node import PerceptionNode
from owseg_ros.watchdog import COMPRESSED, RAW

LABEL_INFO = "vision_msgs/msg/LabelInfo"
DIAGNOSTICS = "diagnostic_msgs/msg/DiagnosticArray"
SET = "owseg_msgs/msg/PrototypeSet"
SECOND = 10**9
NEEDS = {"standalone": "cyclonedds", "rclpy": "rclpy"}


@pytest.fixture(scope="session", params=NEEDS)
def kinds(request):
    """Give the kind of host for the node and for those it talks with."""
    if importlib.util.find_spec(NEEDS[request.param]) is None:
        pytest.skip(f"no {NEEDS[request.param]}: ROS 2 is not sourced, or Cyclone DDS is missing")
    return (request.param, request.param)


class TrickEngine(FakeEngine):
    """The fake engine, slow or failing on demand; notes what it was asked to run."""

    def __init__(self, tricks, manifest=None):
        super().__init__(manifest)
        self.tricks = tricks

    def infer(self, images, prototypes, threshold, outputs=("known", "anomaly", "open_set")):
        tricks = self.tricks
        tricks.running.set()
        tricks.threads.add(threading.get_ident())
        tricks.seen.append(int(images[0, 0, 0, 1]))
        if tricks.slow_s:
            time.sleep(tricks.slow_s)
        assert tricks.go.wait(10)
        if tricks.error is not None:
            raise tricks.error
        return super().infer(images, prototypes, threshold, outputs)

    def close(self):
        self.tricks.closed += 1


@pytest.fixture
def tricks(monkeypatch):
    """Put the engine "trick" into the table; what this gives tells it what to do.

    seen: green value of the first pixel of each image that was run.
    """
    state = SimpleNamespace(
        slow_s=0.0,
        error=None,
        manifest=fake_manifest(24, 32),
        seen=[],
        threads=set(),
        opened=0,
        closed=0,
        go=threading.Event(),
        running=threading.Event(),
    )
    state.go.set()

    def make(model, device):
        state.opened += 1
        return TrickEngine(state, state.manifest)

    monkeypatch.setitem(ENGINES, "trick", make)
    return state


class Friend:
    """The other nodes of a test: cameras, a prototype server, and whoever listens.

    Args:
        host: of the node that plays them.
    """

    def __init__(self, host):
        self.host = host
        self.got = []
        self.publishers = {}
        self.subscriptions = {}

    def make(self, message_type, **fields):
        return self.host.messages.make(message_type, **fields)

    def header(self, stamp_ns, frame_id="optical"):
        sec, nanosec = divmod(stamp_ns, SECOND)
        stamp = self.make("builtin_interfaces/msg/Time", sec=sec, nanosec=nanosec)
        return self.make("std_msgs/msg/Header", stamp=stamp, frame_id=frame_id)

    def listen(self, message_type, topic, qos=LATEST):
        """Keep (topic, message) of all that comes, in its order."""
        self.subscriptions[topic] = self.host.subscription(
            message_type, topic, lambda message: self.got.append((topic, message)), qos
        )

    def listen_to_all(self, prefix=""):
        self.listen(LABEL_INFO, prefix + LABELS, LATCHED)
        for topic in IMAGES:
            self.listen(RAW, prefix + topic)

    def of(self, topic):
        return [message for name, message in self.got if name == topic]

    def publish(self, message_type, topic, message, qos=LATEST, wait=True):
        """Publish; first wait until somebody hears it."""
        publisher = self.publishers.get(topic)
        if publisher is None:
            publisher = self.publishers[topic] = self.host.publisher(message_type, topic, qos)
        deadline = time.monotonic() + 10
        while wait and not publisher.subscribers and time.monotonic() < deadline:
            time.sleep(0.002)
        assert publisher.subscribers or not wait, f"nobody hears {topic}"
        publisher.publish(message)

    def send(self, array, stamp_ns=SECOND, topic="image", wait=True, **changes):
        """Publish an array as a raw image."""
        fields = encode_image(array)._asdict() | changes
        message = self.make(RAW, header=self.header(stamp_ns), **fields)
        self.publish(RAW, topic, message, wait=wait)

    def send_compressed(self, data, stamp_ns=SECOND, topic="image/compressed"):
        fields = {"format": "jpeg", "data": data}
        message = self.make(COMPRESSED, header=self.header(stamp_ns), **fields)
        self.publish(COMPRESSED, topic, message)

    def teach(self, classes, space, version=1, topic="prototypes"):
        """Publish a set: classes are (id, name, vectors, radius)."""
        items = [
            self.make(
                "owseg_msgs/msg/Prototype",
                id=number,
                name=name,
                color=np.array([9, 8, 7], np.uint8),
                radius=radius,
                size=len(vectors[0]),
                vectors=np.asarray(vectors, np.float32).reshape(-1),
            )
            for number, name, vectors, radius in classes
        ]
        message = self.make(SET, space=space, version=version, classes=items)
        self.publish(SET, topic, message, LATCHED)

    def status(self, name):
        """Return the latest status with this name as a dict of its values."""
        for message in reversed(self.of("/diagnostics")):
            for status in message.status:
                if status.name == name:
                    level = status.level
                    level = level[0] if isinstance(level, bytes) else int(level)
                    values = {pair.key: pair.value for pair in status.values}
                    return SimpleNamespace(level=level, message=status.message, values=values)
        return None


@pytest.fixture
def friend(runtime, eventually):
    """Everybody but the perception node."""
    return Friend(runtime.node("friend"))


@pytest.fixture
def perception(start, kinds):
    """Open a perception node: (*arguments after --ros-args, start=True, **parameters)."""
    nodes = []

    def open_one(*argv, begin=True, **parameters):
        values = {"engine": "trick", **parameters}
        words = [word for key, value in values.items() for word in ("-p", f"{key}:={value}")]
        runtime = start("--ros-args", *words, *argv)
        node = PerceptionNode(runtime.node("perception", managed=True))
        nodes.append(node)
        if begin:
            assert node.start()
        return node

    return open_one


@pytest.fixture
def process(kinds, ros_domain):
    """Start perception nodes as processes of their own; they are killed after the test."""
    with contextlib.ExitStack() as stack:

        def start_one(*argv, **parameters):
            values = {"engine": "fake", **parameters}
            words = [word for key, value in values.items() for word in ("-p", f"{key}:={value}")]
            command = [*command_line("perception"), "--host", kinds[0], "--ros-args"]
            child = subprocess.Popen(
                [*command, *words, *argv],
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
            stack.callback(child.stderr.close)
            stack.callback(child.wait, 10)
            stack.callback(child.kill)
            return child

        yield start_one


@pytest.fixture(scope="session")
def noise():
    """Make a random image: (height, width, seed) -> (H, W, 3) uint8."""

    def make(height=24, width=32, seed=0):
        return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)

    return make


@pytest.fixture(scope="session")
def best_effort():
    return QosProfile(reliability="best_effort", depth=1)
