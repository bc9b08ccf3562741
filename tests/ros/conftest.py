"""Hosts and peers for the contract tests: real processes on a domain of their own."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from owseg_ros.hosts import open_runtime

PEER = Path(__file__).with_name("peer.py")
ALIKE = (("standalone", "standalone"), ("rclpy", "rclpy"))
MIXED = (("standalone", "rclpy"), ("rclpy", "standalone"))
PAIRS = (*ALIKE, *(MIXED if importlib.util.find_spec("rclpy") else ()))
"""The host under test, and that of its peer."""

NEEDS = {
    "standalone": ("cyclonedds", "Cyclone DDS is not installed: pip install 'owseg_ros[dds]'"),
    "rclpy": ("rclpy", "ROS 2 is not sourced"),
}


CYCLONE = "rmw_cyclonedds_cpp"


def skip_without(kind):
    module, reason = NEEDS[kind]
    if importlib.util.find_spec(module) is None:
        pytest.skip(reason)


def free_domain():
    """Find a domain that nobody on this machine uses: its first discovery port is free."""
    for domain in random.SystemRandom().sample(range(1, 100), 99):
        with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.bind(("", 7400 + 250 * domain + 10))
            return domain
    pytest.skip("no free ROS domain")


@pytest.fixture(autouse=True, scope="session")
def ros_domain():
    """Keep to one machine and to a domain of our own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROS_DOMAIN_ID", str(free_domain()))
        patch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        patch.delenv("ROS_LOCALHOST_ONLY", raising=False)
        yield int(os.environ["ROS_DOMAIN_ID"])


@pytest.fixture(autouse=True)
def same_log_level():
    """Take back a log level that a test has asked for: rclpy keeps it for the process."""
    yield
    logging = sys.modules.get("rclpy.logging")
    if logging is not None:
        logging.set_logger_level("", logging.LoggingSeverity.INFO)


class Peer:
    """A process that runs `peer.py`."""

    def __init__(self, kind, name="peer", argv=(), env=None):
        self.process = subprocess.Popen(
            [sys.executable, str(PEER), kind, name, *argv],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **(env or {})},
        )
        self.log = []
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()

    def _read_log(self):
        for line in self.process.stderr:
            self.log.append(line.rstrip("\n"))

    def ready(self):
        assert self.answer() == "ready"
        return self

    def answer(self):
        line = self.process.stdout.readline()
        assert line, "\n".join(self.log)
        answer = json.loads(line)
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def ask(self, do, **arguments):
        """Let the peer do something; return its answer."""
        self.process.stdin.write(json.dumps({"do": do, "with": arguments}) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def close(self, kill=False):
        """End the process, politely or not; a second time changes nothing."""
        if kill:
            self.process.kill()
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait(10)
        self._reader.join(5)
        self.process.stdout.close()
        self.process.stderr.close()


@pytest.fixture(scope="session", params=PAIRS, ids="-with-".join)
def kinds(request):
    """Give the kind of the host under test, and that of its peer."""
    for kind in request.param:
        skip_without(kind)
    if request.param in MIXED and os.environ.get("RMW_IMPLEMENTATION") != CYCLONE:
        pytest.skip(f"the two hosts share services only with RMW_IMPLEMENTATION={CYCLONE}")
    return request.param


@pytest.fixture(scope="session")
def shared_peer(kinds, ros_domain):
    """Start a peer that all tests of a pair share."""
    with contextlib.ExitStack() as stack:
        peer = Peer(kinds[1])
        stack.callback(peer.close)
        yield peer.ready()


@pytest.fixture
def peer(shared_peer):
    """Give the shared peer; let it forget the test afterwards."""
    yield shared_peer
    shared_peer.ask("reset")


@pytest.fixture
def new_peer(kinds, ros_domain):
    """Start peers for one test; they end with it."""
    with contextlib.ExitStack() as stack:

        def start(name="other", argv=(), env=None, kind=kinds[1]):
            peer = Peer(kind, name, argv, env)
            stack.callback(peer.close, kill=True)
            return peer.ready()

        yield start


@pytest.fixture
def start(kinds, ros_domain):
    """Open runtimes whose handlers run in a thread, for one test."""
    with contextlib.ExitStack() as stack:

        def open_one(*argv):
            runtime = stack.enter_context(open_runtime(kinds[0], argv))
            thread = threading.Thread(target=runtime.spin)
            thread.start()
            stack.callback(thread.join, 5)
            stack.callback(runtime.stop)
            return runtime

        yield open_one


@pytest.fixture
def runtime(start):
    """Open a runtime without arguments."""
    return start()


@pytest.fixture
def host(runtime):
    """Open the node under test."""
    return runtime.node("tested")


_numbers = iter(range(10**6))


@pytest.fixture
def topic():
    """Name a topic that no other test uses."""
    return f"/topic_{os.getpid()}_{next(_numbers)}"


@pytest.fixture
def eventually():
    """Wait until something holds; return what it gave."""

    def wait(fact, timeout_s=5.0):
        deadline = time.monotonic() + timeout_s
        while not (found := fact()) and time.monotonic() < deadline:
            time.sleep(0.005)
        return found

    return wait


@pytest.fixture(scope="session")
def picture():
    """Make the same random bytes as the peer does."""

    def make(size, seed):
        return np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)

    return make
