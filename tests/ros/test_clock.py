"""Clocks and timers of the standalone host, with time in our hands."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from owseg_ros.hosts.standalone.clock import ClockTimer, NodeClock, TimerThread

SECOND = 10**9


class Now:
    """A group that runs jobs when it is told to."""

    def __init__(self):
        self.jobs = []

    def post(self, job):
        self.jobs.append(job)

    def run(self):
        jobs, self.jobs = self.jobs, []
        for job in jobs:
            job()


def clock_message(seconds):
    return SimpleNamespace(clock=SimpleNamespace(sec=seconds, nanosec=0))


@pytest.fixture
def sim():
    clock = NodeClock()
    clock.simulate(True)
    return clock


@pytest.fixture
def timed(sim):
    """Make a timer of ten seconds that has seen the clock at 100 s; give what drives it."""
    sim.tick(clock_message(100))
    group, calls = Now(), []
    timer = ClockTimer(10 * SECOND, sim, group, lambda: calls.append(sim.now_ns() // SECOND))

    def at(seconds, run=True):
        sim.tick(clock_message(seconds))
        timer.fire_if_due()
        if run:
            group.run()
        return list(calls)

    return SimpleNamespace(at=at, timer=timer, group=group, clock=sim)


def test_a_clock_shows_the_time_of_the_machine_or_of_the_topic():
    clock, ticks = NodeClock(), []
    clock.on_tick = lambda: ticks.append(clock.now_ns())
    assert abs(clock.now_ns() - time.time_ns()) < SECOND
    clock.tick(clock_message(5))
    assert abs(clock.now_ns() - time.time_ns()) < SECOND
    clock.simulate(True)
    assert (clock.simulated, clock.now_ns()) == (True, 0)
    clock.tick(clock_message(5))
    assert clock.now_ns() == 5 * SECOND
    clock.simulate(True)
    assert clock.now_ns() == 5 * SECOND
    clock.simulate(False)
    assert abs(clock.now_ns() - time.time_ns()) < SECOND
    assert ticks[:2] == [0, 5 * SECOND]


def test_a_timer_keeps_to_its_grid(timed):
    assert timed.at(109) == []
    assert timed.at(111) == [111]
    assert timed.at(119) == [111]
    assert timed.at(120) == [111, 120]


def test_what_was_missed_is_left_out(timed):
    assert timed.at(157) == [157]
    assert timed.at(159) == [157]
    assert timed.at(160) == [157, 160]


def test_a_slow_handler_is_not_called_twice(timed):
    timed.at(110, run=False)
    timed.at(120, run=False)
    assert timed.at(130) == [130]
    assert timed.at(140) == [130, 140]


def test_a_clock_that_jumps_back_begins_the_period_anew(timed):
    timed.at(110)
    assert timed.at(50) == [110]
    assert timed.at(59) == [110]
    assert timed.at(60) == [110, 60]


def test_the_first_tick_is_no_reason_to_fire(sim):
    group, calls = Now(), []
    timer = ClockTimer(10 * SECOND, sim, group, lambda: calls.append(1))
    for seconds, expected in ((1_700_000_000, 0), (1_700_000_009, 0), (1_700_000_010, 1)):
        sim.tick(clock_message(seconds))
        timer.fire_if_due()
        group.run()
        assert len(calls) == expected


def test_a_timer_follows_its_clock_to_the_machine_and_back(timed):
    timed.clock.simulate(False)
    timed.timer.fire_if_due()
    assert timed.group.jobs == []
    left = timed.timer.due_in_s()
    assert 9 < left <= 10
    timed.clock.simulate(True)
    assert timed.timer.due_in_s() is None
    assert timed.at(200) == []
    assert timed.at(210) == [210]


def test_a_cancelled_timer_stays_silent(timed):
    timed.at(110, run=False)
    timed.timer.cancel()
    timed.group.run()
    assert timed.at(130) == []
    assert timed.timer.due_in_s() is None


def test_the_thread_fires_timers_of_the_machine(eventually):
    thread, group, clock = TimerThread(), Now(), NodeClock()
    calls = []
    timer = ClockTimer(SECOND // 100, clock, group, lambda: calls.append(1))
    thread.add(timer)
    assert eventually(lambda: group.run() or len(calls) >= 3)
    timer.cancel()
    thread.wake()
    assert eventually(lambda: not thread._timers)
    thread.stop()
