"""The timer by the clock of the machine."""

from __future__ import annotations

import threading
import time

import pytest

from owseg_ros.hosts.groups import Group
from owseg_ros.hosts.log import Log
from owseg_ros.wall_timer import WallTimer


@pytest.fixture
def lines():
    return []


@pytest.fixture
def group(lines):
    group = Group("timed", Log(lambda level, line: lines.append(line)))
    group.start()
    yield group
    group.stop()


def test_it_calls_again_and_again_in_its_group(group, eventually):
    threads = []
    timer = WallTimer(0.005, lambda: threads.append(threading.current_thread().name), group)
    assert eventually(lambda: len(threads) >= 3)
    timer.stop()
    assert set(threads) == {"timed"}
    assert group.flush()
    count = len(threads)
    time.sleep(0.03)
    assert len(threads) == count


def test_calls_do_not_pile_up_behind_a_slow_handler(group, eventually):
    go, begun = threading.Event(), []

    def slow():
        begun.append(1)
        go.wait(5)

    timer = WallTimer(0.005, slow, group)
    assert eventually(lambda: begun)
    time.sleep(0.1)
    timer.stop()
    go.set()
    assert group.flush()
    assert len(begun) == 1


def test_a_handler_that_raises_is_called_again(group, lines, eventually):
    calls = []

    def fail():
        calls.append(1)
        raise RuntimeError("bad day")

    timer = WallTimer(0.005, fail, group)
    assert eventually(lambda: len(calls) >= 2)
    timer.stop()
    assert "bad day" in lines[0]
