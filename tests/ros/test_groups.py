"""Groups and mailboxes: order, failures, the newest item wins; log lines now and then."""

from __future__ import annotations

import threading

import pytest

from owseg.errors import UsageError
from owseg_ros.hosts.groups import Group, Mailbox
from owseg_ros.hosts.log import Log


@pytest.fixture
def lines():
    return []


@pytest.fixture
def group(lines):
    made = Group("test", Log(lambda level, text: lines.append((level, text))))
    made.start()
    yield made
    made.stop()


def test_jobs_run_in_order_one_at_a_time(group):
    done, running = [], []
    for number in range(50):

        def job(number=number):
            running.append(number)
            assert len(running) == 1
            done.append(number)
            running.remove(number)

        group.post(job)
    assert group.flush()
    assert done == list(range(50))


def test_a_failing_job_is_logged_and_the_next_one_runs(group, lines):
    done = []
    group.post(lambda: 1 / 0)
    group.post(lambda: done.append(1))
    assert group.flush()
    assert done == [1]
    ((level, text),) = lines
    assert level == "ERROR"
    assert "ZeroDivisionError" in text


def test_call_waits_for_the_result_in_the_thread_of_the_group(group):
    assert group.call(threading.get_ident) != threading.get_ident()
    assert group.call(lambda: group.call(lambda: group.is_current)) is True
    with pytest.raises(KeyError, match="x"):
        group.call(lambda: {}["x"])
    with pytest.raises(TimeoutError, match="mine"):
        group.call(_time_out)


def _time_out():
    raise TimeoutError("mine")


def test_call_runs_here_when_the_group_does_not():
    idle = Group("idle", Log(print))
    assert idle.call(threading.get_ident) == threading.get_ident()


def test_call_runs_here_when_the_group_stops_before_it_came_to_it():
    stopped = threading.Event()
    group = Group("stopping", Log(print))
    thread = threading.Thread(target=group.run, args=(stopped.is_set,))
    thread.start()
    begun, go, ran = threading.Event(), threading.Event(), []
    group.post(lambda: begun.set() or go.wait(5))
    begun.wait(5)
    caller = threading.Thread(target=lambda: ran.append(group.call(threading.get_ident)))
    caller.start()
    stopped.set()
    while group._jobs.qsize() == 0:
        pass
    go.set()
    thread.join(5)
    caller.join(5)
    assert ran == [caller.ident]


def test_a_group_cannot_wait_for_itself(group):
    with pytest.raises(UsageError, match="cannot wait for its own group"):
        group.call(group.flush)


def test_flush_says_when_it_took_too_long(group):
    go = threading.Event()
    group.post(lambda: go.wait(5))
    assert group.flush(0.01) is False
    go.set()
    assert group.flush() is True


@pytest.mark.parametrize(
    ("depth", "handled", "dropped"),
    [(1, [0, 9], 8), (3, [0, 7, 8, 9], 6), (9, list(range(10)), 0), (0, list(range(10)), 0)],
)
def test_the_newest_items_wait(group, depth, handled, dropped):
    begun, go, got = threading.Event(), threading.Event(), []

    def handle(item):
        got.append(item)
        begun.set()
        go.wait(5)

    box = Mailbox(depth, group, handle)
    box.put(0)
    begun.wait(5)
    for item in range(1, 10):
        box.put(item)
    go.set()
    assert group.flush()
    assert got == handled
    assert (box.received, box.dropped) == (10, dropped)


def test_a_closed_mailbox_forgets(group):
    go, got = threading.Event(), []
    group.post(lambda: go.wait(5))
    box = Mailbox(5, group, got.append)
    box.put(1)
    box.close()
    box.put(2)
    go.set()
    assert group.flush()
    assert (got, box.received) == ([], 1)


def test_a_line_is_said_now_and_then():
    now, said = [0.0], []
    log = Log(lambda level, text: said.append(f"{level} {text}"), lambda: now[0])
    for second in range(7):
        now[0] = second
        log.warning(f"drops: {second}", every_s=3.0, key="drops")
        log.error("same", every_s=5.0)
    log.debug("d")
    log.info("i")
    log.fatal("f")
    assert [line for line in said if "drops" in line] == [
        "WARN drops: 0",
        "WARN drops: 3",
        "WARN drops: 6",
    ]
    assert said.count("ERROR same") == 2
    assert said[-3:] == ["DEBUG d", "INFO i", "FATAL f"]
