"""Counts and percentiles of one camera."""

from __future__ import annotations

import threading

import pytest

from owseg_ros.perception.counters import Counters, Spread, spread


@pytest.mark.parametrize(
    ("values", "p50", "p95"),
    [
        ([], None, None),
        ([7.0], 7.0, 7.0),
        ([2.0, 1.0], 1.0, 2.0),
        ([3.0, 1.0, 2.0], 2.0, 3.0),
        (range(1, 101), 50, 95),
        (range(1, 21), 10, 19),
        (range(200, 0, -1), 100, 190),
    ],
)
def test_percentiles(values, p50, p95):
    assert spread(values) == Spread(p50, p95)


def test_what_is_counted_is_told():
    counters = Counters()
    empty = counters.tally()
    assert (empty.counts, empty.spreads, empty.last_error, empty.last_age) == ({}, {}, "", None)
    counters.count("idle")
    counters.count("idle", 2)
    counters.fail("malformed", "odd step")
    counters.measure({"decode": 1.0, "latency": 3.0})
    counters.age(12.0)
    tally = counters.tally()
    assert tally.counts == {"idle": 3, "malformed": 1}
    assert tally.spreads["latency"] == Spread(3.0, 3.0)
    assert tally.spreads["age"] == Spread(12.0, 12.0)
    assert (tally.last_error, tally.last_age) == ("odd step", 12.0)
    counters.age(None)
    assert counters.tally().last_age is None
    assert counters.tally().spreads["age"] == Spread(12.0, 12.0)


def test_only_the_latest_durations_count():
    counters = Counters()
    counters.measure({"latency": 1000.0})
    for _ in range(200):
        counters.measure({"latency": 1.0})
    assert counters.tally().spreads["latency"] == Spread(1.0, 1.0)


def test_it_may_be_read_while_it_counts():
    counters, errors, go = Counters(), [], threading.Event()

    def read():
        while not go.is_set():
            try:
                counters.tally()
            except RuntimeError as error:
                errors.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(3000):
        counters.measure({f"stage {number % 50}": 1.0})
    go.set()
    reader.join(5)
    assert errors == []
