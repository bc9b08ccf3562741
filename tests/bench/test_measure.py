"""Measuring: who runs when, which stages are told apart, percentiles."""

from __future__ import annotations

import time

import numpy as np
import pytest

from owseg.bench import Contestant, measure
from owseg.bench.measure import WARM_UP
from owseg.engines import FakeEngine, fake_manifest

SIZE = (24, 32)


class TimedEngine(FakeEngine):
    """Sleeps for a while, and tells what it was asked for."""

    def __init__(self, log, name, seconds=0.0, network=0.0, timings=None):
        super().__init__(fake_manifest(*SIZE))
        self.log, self.title, self.seconds, self.network = log, name, seconds, network
        if timings is not None:
            self.timings_ms = timings

    def infer(self, images, prototypes, threshold, outputs=("known", "anomaly", "open_set")):
        part = tuple(outputs) == ("embedding",)
        self.log.append((self.title, "network" if part else "whole", int(images[0, 0, 0, 0])))
        time.sleep(self.network if part else self.seconds)
        return super().infer(images, prototypes, threshold, outputs)


def contestant(log, name, splits=False, **more):
    engine = TimedEngine(log, name, **more)
    return Contestant(name=name, precision="fp32", engine=engine, splits=splits)


def images(manifest):
    assert (manifest.height, manifest.width) == SIZE
    return [np.full((*SIZE, 3), value, np.uint8) for value in (1, 2)]


def counted(log):
    """Drop the warm-up of each contestant."""
    return log[len({name for name, _, _ in log}) * WARM_UP :]


def test_contestants_take_turns_with_the_same_images():
    log = []
    rows = measure([contestant(log, "a"), contestant(log, "b")], images, frames=3)
    assert log[: 2 * WARM_UP] == [("a", "whole", i) for i in (1, 2, 1)] + [
        ("b", "whole", i) for i in (1, 2, 1)
    ]
    assert counted(log) == [(name, "whole", i) for i in (1, 2, 1) for name in "ab"]
    assert [row.engine for row in rows] == ["a", "b"]
    assert [len(row.total_ms) for row in rows] == [3, 3]


@pytest.mark.parametrize(
    ("grouping", "score", "sizes"),
    [
        ("components", "float32", {"known": 768, "anomaly": 3072, "open_set": 768}),
        ("components", "uint8", {"known": 768, "anomaly_u8": 768, "open_set": 768}),
        (
            "super_bpd",
            "float16",
            {"known": 768, "anomaly_f16": 1536, "open_set": 768, "direction": 384},
        ),
    ],
)
def test_bytes_are_those_of_the_outputs(grouping, score, sizes):
    found = {}

    class Spy(TimedEngine):
        def infer(self, *request):
            arrays = super().infer(*request)
            found.update({name: array.nbytes for name, array in arrays.items()})
            return arrays

    engine = Spy([], "a")
    one = Contestant(name="a", precision="fp32", engine=engine, splits=False)
    (row,) = measure([one], images, frames=1, grouping=grouping, score=score)
    assert row.outputs_bytes == found == sizes
    assert row.as_dict()["copied_from_gpu_bytes"] == 0
    engine.device = "cuda"
    (row,) = measure([one], images, frames=1, grouping=grouping, score=score)
    assert row.as_dict()["copied_from_gpu_bytes"] == sum(sizes.values())


def test_an_engine_that_tells_its_stages():
    log = []
    timings = {"network": 5.0, "heads": 2.0}
    row = measure([contestant(log, "a", timings=timings)], images, frames=4)[0]
    assert row.stages_ms["network"] == 5.0
    assert row.stages_ms["heads"] == 2.0
    assert row.stages_ms["grouping"] >= 0
    assert not row.derived
    assert not [entry for entry in log if entry[1] == "network"]


def test_heads_are_what_the_graph_takes_beyond_the_network():
    log = []
    it = contestant(log, "a", splits=True, seconds=0.03, network=0.02)
    row = measure([it], images, frames=3)[0]
    assert row.derived
    assert row.stages_ms["network"] >= 20
    assert 2 < row.stages_ms["heads"] < 25
    assert [kind for _, kind, _ in log[-2:]] == ["whole", "network"]
    assert min(row.total_ms) >= 30


def test_an_engine_that_tells_its_graph_is_split_by_it():
    engine = contestant([], "a", splits=True)

    def infer(images, prototypes, threshold, outputs=("known", "anomaly", "open_set")):
        part = tuple(outputs) == ("embedding",)
        engine.engine.timings_ms = {"copy in": 1.0, "graph": 4.0 if part else 9.0, "copy out": 2.0}
        return FakeEngine.infer(engine.engine, images, prototypes, threshold, outputs)

    engine.engine.infer = infer
    row = measure([engine], images, frames=3)[0]
    stages = {name: row.stages_ms[name] for name in ("copy in", "network", "heads", "copy out")}
    assert stages == {"copy in": 1.0, "network": 4.0, "heads": 5.0, "copy out": 2.0}


def test_heads_never_take_less_than_nothing():
    it = contestant([], "a", splits=True, seconds=0.0, network=0.01)
    assert measure([it], images, frames=2)[0].stages_ms["heads"] == 0.0


def test_seconds_end_the_run_but_not_before_everyone_had_a_turn():
    log, done = [], []
    slow = [contestant(log, name, seconds=0.02) for name in "ab"]
    rows = measure(slow, images, seconds=1e-6, progress=done.append)
    assert [len(row.total_ms) for row in rows] == [1, 1]
    assert done == [1]
    rows = measure(slow, images, seconds=0.3, frames=2)
    assert [len(row.total_ms) for row in rows] == [2, 2]


def test_a_grouping_is_chosen():
    with pytest.raises(Exception, match="no grouping 'x'"):
        measure([contestant([], "a")], images, frames=1, grouping="x")


def test_percentiles_and_frames_per_second(figures):
    row = figures(total_ms=tuple(float(i) for i in range(1, 101)))
    assert row.percentile(50) == pytest.approx(50.5)
    assert row.percentile(95) == pytest.approx(95.05)
    assert row.percentile(99) == pytest.approx(99.01)
    assert row.fps == pytest.approx(1000 / 50.5)
    told = row.as_dict()
    assert told["frames"] == 100
    assert told["latency_ms"] == {
        "mean": 50.5,
        "p50": pytest.approx(50.5),
        "p95": pytest.approx(95.05),
        "p99": pytest.approx(99.01),
    }
    assert (told["height"], told["width"]) == (360, 480)
