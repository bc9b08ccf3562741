"""Nodes as processes, and a client that watches them."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from owseg_ros.hosts import open_runtime
from owseg_ros.hosts.qos import DEFAULT

OWSEG = "import sys; sys.path[:] = filter(None, sys.path); from owseg.cli import main; "
OWSEG += "sys.exit(main())"


class Process:
    """An `owseg` command as a process; what it says is kept."""

    def __init__(self, *arguments, env=None, stdin=None):
        self.process = subprocess.Popen(
            [sys.executable, "-c", OWSEG, *map(str, arguments)],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", **(env or {})},
        )
        self.lines = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    @property
    def output(self):
        return "\n".join(self.lines)

    def says(self, text, times=1, timeout_s=30.0):
        """Wait until a text was said so often."""
        deadline = time.monotonic() + timeout_s
        while self.output.count(text) < times and time.monotonic() < deadline:
            if self.process.poll() is not None and not self._reader.is_alive():
                break
            time.sleep(0.01)
        assert self.output.count(text) >= times, f"'{text}' was not said:\n{self.output}"

    def end(self, number=signal.SIGTERM, timeout_s=20.0):
        """End it; return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.wait(timeout_s)

    def wait(self, timeout_s=30.0):
        """Wait until it has ended; return the exit code."""
        code = self.process.wait(timeout_s)
        self._reader.join(5)
        return code

    def close(self):
        """End it kindly: the others would wait for one that was killed for some seconds."""
        try:
            self.end()
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.wait()
        self.process.stdout.close()


@pytest.fixture(scope="module")
def module_start(ros_domain):
    """Start `owseg` commands that live as long as the tests of a module."""
    with contextlib.ExitStack() as stack:
        yield lambda *arguments, **more: _start(stack, *arguments, **more)


@pytest.fixture
def owseg(ros_domain):
    """Start `owseg` commands that live as long as a test."""
    with contextlib.ExitStack() as stack:
        yield lambda *arguments, **more: _start(stack, *arguments, **more)


def _start(stack, *arguments, **more):
    process = Process(*arguments, **more)
    stack.callback(process.close)
    return process


_numbers = itertools.count()


class Client:
    """A node that calls services and keeps what topics bring."""

    def __init__(self, runtime):
        self.host = runtime.node(f"client{next(_numbers)}")
        self._clients = {}

    def call(self, kind, service, /, timeout_s=20.0, **fields):
        """Call a service of owseg_msgs; return its response."""
        client = self._clients.get(service)
        if client is None:
            client = self._clients[service] = self.host.client(f"owseg_msgs/srv/{kind}", service)
        request = self.host.messages.request(f"owseg_msgs/srv/{kind}", **fields)
        return client.call(request, timeout_s)

    def listen(self, kind, topic, qos=DEFAULT):
        """Return a list to which messages are appended."""
        inbox = []
        self.host.subscription(kind, topic, inbox.append, qos)
        return inbox


@pytest.fixture(scope="module")
def module_runtime(kinds, ros_domain):
    """Open a runtime for all tests of a module: a process has but one at a time."""
    with _running(kinds[0]) as runtime:
        yield runtime


@pytest.fixture
def client(runtime):
    """Open a client in the runtime of a test."""
    return Client(runtime)


@pytest.fixture
def open_client(kinds, ros_domain):
    """Give a context manager that opens a client with a runtime of its own."""

    @contextlib.contextmanager
    def open_one():
        with _running(kinds[0]) as runtime:
            yield Client(runtime)

    return open_one


@pytest.fixture(scope="session")
def new_client():
    """Give what makes a client in a runtime."""
    return Client


@contextlib.contextmanager
def _running(kind):
    with open_runtime(kind, []) as runtime:
        thread = threading.Thread(target=runtime.spin)
        thread.start()
        try:
            yield runtime
        finally:
            runtime.stop()
            thread.join(5)


@pytest.fixture
def quick(tmp_path):
    """Give an empty folder, in memory where there is one: stores sync their files."""
    memory = "/dev/shm"
    if not os.access(memory, os.W_OK | os.X_OK):
        yield tmp_path
        return
    from pathlib import Path
    from tempfile import TemporaryDirectory

    with TemporaryDirectory(dir=memory, prefix="owseg_") as folder:
        yield Path(folder)
