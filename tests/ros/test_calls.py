"""Calls that wait, on a client that needs no network."""

from __future__ import annotations

import time
from concurrent.futures import Future

import pytest

from owseg.errors import HostError
from owseg_ros.hosts.calls import BlockingCalls


class Answer(Future):
    """Notes how long somebody would wait for it."""

    waited_s = None

    def result(self, timeout=None):
        self.waited_s = timeout
        return super().result(0)


class Client(BlockingCalls):
    name = "/service"

    def __init__(self, found_after_s):
        self.found_after_s, self.future, self.deadline_s = found_after_s, Answer(), None

    def wait(self, timeout_s):
        time.sleep(min(self.found_after_s, timeout_s))
        return self.found_after_s <= timeout_s

    def send(self, request, deadline_s):
        self.deadline_s = deadline_s
        return self.future

    def hint(self):
        return "start it"


def test_what_was_spent_on_the_server_is_missing_for_the_answer():
    client, begun = Client(0.2), time.monotonic()
    client.future.set_result("done")
    assert client.call("asked", 30.0) == "done"
    assert client.deadline_s >= begun + 30.0
    assert 0.0 < client.future.waited_s <= 29.8


def test_nobody_and_no_answer_are_said_with_the_remedy():
    with pytest.raises(HostError, match="nobody offers service /service; start it"):
        Client(1.0).call("asked", 0.01)
    with pytest.raises(HostError, match=r"within 0\.5 s; start it"):
        Client(0.0).call("asked", 0.5)


def test_a_call_that_is_given_up_is_an_error_of_ours():
    client = Client(0.0)
    client.future.cancel()
    with pytest.raises(HostError, match="the call of /service was given up"):
        client.call("asked", 0.5)


def test_the_error_of_an_answer_is_passed_on():
    client = Client(0.0)
    client.future.set_exception(HostError("cut short"))
    with pytest.raises(HostError, match="cut short"):
        client.call("asked", 0.5)
