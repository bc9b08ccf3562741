"""Changing the engine between two frames, forth and back, with frames lost never."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from owseg.engines import FakeEngine, PrototypeSlots, fake_manifest
from owseg.engines.switching import SwitchingEngine
from owseg.errors import EngineError
from owseg.pipeline import Pipeline
from owseg.types import Frame

MANIFEST = fake_manifest(24, 32)
SLOTS = PrototypeSlots.empty(MANIFEST)
IMAGE = np.full((1, 24, 32, 3), 7, np.uint8)


class Horse(FakeEngine):
    """A fake engine with a name, that counts and fails on demand."""

    def __init__(self, name, device="cpu", error=None):
        super().__init__(MANIFEST)
        self.name, self.device, self.error = name, device, error
        self.runs = self.closed = 0

    def infer(self, *request, **more):
        self.runs += 1
        assert not self.closed
        if self.error is not None:
            raise self.error
        return super().infer(*request, **more)

    def close(self):
        self.closed += 1


class Stable:
    """Opens plain engines, and keeps them; devices in `broken` cannot be opened."""

    def __init__(self, *broken, error=None):
        self.broken, self.error, self.opened = broken, error, []

    def __call__(self, device):
        if device in self.broken:
            raise EngineError(f"no {device} here")
        self.opened.append(Horse("plain", device, self.error))
        return self.opened[-1]


@pytest.fixture
def wait():
    """Give a function that waits until something is so."""

    def until(condition):
        deadline = time.monotonic() + 10
        while not condition() and time.monotonic() < deadline:
            time.sleep(0.002)
        assert condition()

    return until


def run(engine):
    return engine.infer(IMAGE, SLOTS, 0.5)["known"]


def test_it_serves_until_the_better_one_is_ready(wait):
    stable, fast = Stable(), Horse("fast", "cuda")
    go = threading.Event()

    def make(tell, stop):
        tell("40 %")
        assert go.wait(10)
        return fast

    with SwitchingEngine(stable) as engine:
        engine.replace_with(make, "building")
        wait(lambda: engine.notice == "building: 40 %")
        assert engine.degraded is False
        run(engine)
        assert (engine.name, engine.device) == ("plain", "auto")
        go.set()
        wait(lambda: engine._ready is not None)
        assert engine.name == "plain"  # it changes between two frames, not beside one
        assert stable.opened[0].closed == 0
        run(engine)
        assert (engine.name, engine.device, engine.notice) == ("fast", "cuda", "")
        assert (stable.opened[0].runs, stable.opened[0].closed) == (1, 1)
        assert fast.runs == 1
    assert fast.closed == 1


@pytest.mark.parametrize("error", [EngineError("no kernel"), OSError("no such program")])
def test_where_it_cannot_be_made_the_plain_one_stays(wait, error):
    def make(tell, stop):
        raise error

    with SwitchingEngine(Stable()) as engine:
        engine.replace_with(make, "building")
        wait(lambda: engine.degraded)
        assert engine.notice == ("no kernel" if isinstance(error, EngineError) else repr(error))
        run(engine)
        assert engine.name == "plain"


def test_a_better_one_that_fails_gives_its_frame_to_the_plain_one():
    stable, fast = Stable(), Horse("fast", "cuda")
    with SwitchingEngine(stable, fast) as engine:
        assert (engine.name, engine.notice, stable.opened) == ("fast", "", [])
        expected = run(engine)
        fast.error = EngineError("illegal address")
        np.testing.assert_array_equal(run(engine), expected)
        assert (engine.name, engine.device) == ("plain", "auto")
        assert engine.notice == "fast failed: illegal address"
        assert engine.degraded is True
        assert fast.closed == 1
        run(engine)
        assert len(stable.opened) == 1
        assert stable.opened[0].runs == 2
    assert stable.opened[0].closed == 1


def test_an_error_of_any_kind_counts():
    fast = Horse("fast", error=RuntimeError("of a library"))
    with SwitchingEngine(Stable(), fast) as engine:
        run(engine)
        assert engine.notice == "fast failed: RuntimeError('of a library')"


def test_where_the_gpu_is_lost_the_cpu_serves():
    stable = Stable("auto")
    with SwitchingEngine(stable, Horse("fast", error=EngineError("lost"))) as engine:
        run(engine)
        assert (engine.name, engine.device) == ("plain", "cpu")


def test_where_nothing_works_the_reason_is_that_of_the_better_one():
    with SwitchingEngine(Stable("auto", "cpu"), Horse("fast", error=EngineError("lost"))) as engine:
        for _ in range(2):
            with pytest.raises(EngineError, match=r"^lost$"):
                run(engine)


def test_plain_ones_that_fail_too_are_closed():
    stable = Stable(error=EngineError("too"))
    with SwitchingEngine(stable, Horse("fast", error=EngineError("lost"))) as engine:
        with pytest.raises(EngineError, match=r"^lost$"):
            run(engine)
        assert [plain.closed for plain in stable.opened] == [1, 1]
        stable.error = None
        run(engine)
        assert (engine.name, engine.notice) == ("plain", "fast failed: lost")


def test_plain_ones_that_fail_in_any_way_are_closed_and_leave_the_reason():
    stable = Stable(error=RuntimeError("of a library"))
    with SwitchingEngine(stable, Horse("fast", error=EngineError("lost"))) as engine:
        with pytest.raises(EngineError, match=r"^lost$"):
            run(engine)
        assert [plain.closed for plain in stable.opened] == [1, 1]


def test_a_plain_one_that_does_not_close_costs_no_frame(wait, monkeypatch):
    stable, fast = Stable(), Horse("fast")
    with SwitchingEngine(stable) as engine:
        run(engine)
        monkeypatch.setattr(stable.opened[0], "close", lambda: 1 / 0)
        engine.replace_with(lambda tell, stop: fast, "building")
        wait(lambda: engine._ready is fast)
        run(engine)
        assert (engine.name, engine.notice, fast.runs) == ("fast", "", 1)


def test_an_error_of_the_plain_one_is_its_own():
    stable = Stable(error=EngineError("plainly wrong"))
    with SwitchingEngine(stable) as engine:
        with pytest.raises(EngineError, match="plainly wrong"):
            run(engine)
        assert len(stable.opened) == 1


def test_a_bad_request_is_no_failure_of_the_engine():
    fast = Horse("fast")
    with SwitchingEngine(Stable(), fast) as engine:
        with pytest.raises(EngineError, match="takes"):
            engine.infer(IMAGE[:, :5], SLOTS, 0.5)
        with pytest.raises(EngineError, match="threshold"):
            engine.infer(IMAGE, SLOTS, 7.0)
        assert (engine.name, fast.runs) == ("fast", 0)


# The end -----------------------------------------------------------------------------------------


def test_the_end_stops_what_is_being_made():
    stable, stopped = Stable(), []

    def make(tell, stop):
        assert stop.wait(10)
        stopped.append(True)
        raise EngineError("stopped")

    engine = SwitchingEngine(stable)
    engine.replace_with(make, "building")
    engine.close()
    assert stopped == [True]
    assert stable.opened[0].closed == 1
    with pytest.raises(EngineError, match="the engine is closed"):
        run(engine)
    engine.close()


def test_what_is_ready_too_late_is_closed():
    fast = Horse("fast")

    def make(tell, stop):
        assert stop.wait(10)
        return fast

    engine = SwitchingEngine(Stable())
    engine.replace_with(make, "building")
    engine.close()
    assert (fast.closed, fast.runs) == (1, 0)


def test_what_is_ready_but_was_never_used_is_closed(wait):
    fast = Horse("fast")
    engine = SwitchingEngine(Stable())
    engine.replace_with(lambda tell, stop: fast, "building")
    wait(lambda: engine._ready is fast)
    engine.close()
    assert (fast.closed, fast.runs) == (1, 0)


# In use ------------------------------------------------------------------------------------------


def test_frames_in_threads_survive_changes_both_ways(wait):
    stable, fast = Stable(), Horse("fast")
    results, failures = [], []
    with SwitchingEngine(stable) as engine:
        done = threading.Event()

        def work():
            while not done.is_set():
                try:
                    results.append(run(engine))
                except Exception as error:
                    failures.append(error)

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        wait(lambda: len(results) > 5)
        engine.replace_with(lambda tell, stop: fast, "building")
        wait(lambda: fast.runs > 5)
        fast.error = EngineError("lost")
        wait(lambda: engine.name == "plain")
        count = len(results)
        wait(lambda: len(results) > count + 5)
        done.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert all(np.array_equal(result, results[0]) for result in results)


def test_a_pipeline_says_which_engine_it_has(wait):
    fast = Horse("fast")
    with SwitchingEngine(Stable()) as engine:
        pipeline = Pipeline(engine)
        pipeline.process(Frame(image=IMAGE[0]))
        assert pipeline.engine.name == "plain"
        engine.replace_with(lambda tell, stop: fast, "building")
        wait(lambda: engine._ready is fast)
        pipeline.process(Frame(image=IMAGE[0]))
        assert pipeline.engine.name == "fast"
