"""What the perception node says of itself: figures, and the verdict on each camera."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from owseg.engines import FakeEngine, fake_manifest
from owseg.engines.fake import FAKE_SPACE
from owseg.pipeline import Pipeline
from owseg.prototypes import NovelClass, PrototypeSet
from owseg_ros.diagnostics import Level
from owseg_ros.perception.counters import Spread, Tally
from owseg_ros.perception.model import SharedModel
from owseg_ros.perception.parameters import Settings
from owseg_ros.perception.status import (
    camera_status,
    doubt_of,
    model_status,
    prototype_status,
)

NOTHING = Tally({}, {}, "", None)


def tally(error="", spreads=None, **counts):
    return Tally(counts, spreads or {}, error, None)


def status(now, before=NOTHING, elapsed_s=2.0, **more):
    return camera_status("", "/image", now, before, elapsed_s, **more)


def test_rates_are_those_since_the_last_report():
    before = tally(received=100, processed=50)
    now = tally(received=160, processed=60, replaced=45, spreads={"age": Spread(80.0, 95.5)})
    found = status(now, before)
    assert (found.name, found.level) == ("camera", Level.OK)
    assert found.message == "5.0 of 30.0 images per second"
    assert found.values["input rate (Hz)"] == 30.0
    assert found.values["output rate (Hz)"] == 5.0
    assert found.values["frames in"] == 160
    assert found.values["frames out"] == 60
    assert found.values["frames replaced by newer ones"] == 45
    assert (found.values["age p50 (ms)"], found.values["age p95 (ms)"]) == (80.0, 95.5)
    assert found.values["latency p95 (ms)"] is None
    assert found.values["last error"] == "-"


def test_the_name_of_the_camera_is_part_of_the_name():
    found = camera_status("front", "/front/image", NOTHING, NOTHING, 1.0)
    assert (found.name, found.values["topic"]) == ("camera front", "/front/image")


@pytest.mark.parametrize(
    ("now", "level", "message"),
    [
        (tally(failed=2, error="out of memory"), Level.ERROR, "2 frames failed; out of memory"),
        (tally(malformed=1, error="odd step"), Level.WARN, "1 malformed images; odd step"),
        (tally(malformed=1, failed=1, error="x"), Level.ERROR, "1 frames failed; 1 malformed"),
        (tally(unsent=3, error="old"), Level.WARN, "3 messages not sent, a subscriber is too slow"),
        (tally(too_old=4), Level.WARN, "4 images too old, see max_age_ms"),
        (tally(received=8, idle=8), Level.OK, "nobody listens; 4.0 images per second arrive"),
        (tally(received=8, idle=4, processed=4), Level.OK, "2.0 of 4.0 images per second"),
    ],
)
def test_verdicts(now, level, message):
    found = status(now)
    assert found.level is level
    assert found.message.startswith(message)


def test_counts_that_began_anew_make_no_negative_rates():
    found = status(tally(received=4, processed=2), tally(received=100, processed=50))
    assert found.values["input rate (Hz)"] == 0.0
    assert found.level is Level.OK


def test_troubles_of_the_past_do_not_count():
    now = tally(failed=2, malformed=1, processed=3, error="out of memory")
    found = status(now, now)
    assert found.level is Level.OK
    assert found.values["last error"] == "out of memory"
    assert (found.values["failed frames"], found.values["malformed images"]) == (2, 1)


def test_silence_and_doubt():
    assert status(NOTHING, silence="nobody sends").message == "no images: nobody sends"
    assert status(NOTHING, silence="nobody sends").level is Level.WARN
    assert status(tally(processed=1), doubt="odd clock").message == "odd clock"
    assert status(tally(failed=1, error="x"), doubt="odd clock").level is Level.ERROR
    idle = status(NOTHING, silence="nobody sends", active=False)
    assert (idle.level, idle.message) == (Level.OK, "not active")


def clock(now_ns=5, simulated=False):
    return SimpleNamespace(simulated=simulated, now_ns=lambda: now_ns)


def test_doubts_about_times():
    assert doubt_of(None, clock()) == ""
    assert doubt_of(50_000.0, clock()) == ""
    assert "stamped 61 s ago; with a recording: set use_sim_time" in doubt_of(61_000.0, clock())
    assert doubt_of(-900.0, clock()) == ""
    assert "in the future" in doubt_of(-1100.0, clock())
    assert "nothing publishes /clock" in doubt_of(None, clock(0, simulated=True))
    assert doubt_of(None, clock(1, simulated=True)) == ""


@pytest.fixture
def model():
    settings = Settings(threshold=0.25, opacity=0.5, lazy=True, max_age_ms=0, image_timeout_s=5)
    return SharedModel(Pipeline(FakeEngine(fake_manifest(24, 32))), settings)


def test_the_engine(model):
    found = model_status(model, "auto", "")
    assert (found.level, found.message) == (Level.OK, "fake on fake")
    assert found.values["input"] == "32x24"
    assert found.values["anomaly threshold"] == "0.25"
    assert found.values["embedding space"] == FAKE_SPACE
    assert model_status(None, "auto", "").level is Level.OK
    failed = model_status(None, "auto", "no model at x")
    assert (failed.level, failed.message) == (Level.ERROR, "no model at x")


def test_the_novel_classes(model):
    assert prototype_status(model, 0, "").message == "no novel class"
    vectors = np.zeros((2, 10), np.float32)
    classes = tuple(
        NovelClass(id=number, name=name, color=(1, 2, 3), radius=0.5, vectors=vectors)
        for number, name in ((10, "kangaroo"), (11, "sofa"))
    )
    model.pipeline.set_prototypes(PrototypeSet(space=FAKE_SPACE, version=7, classes=classes))
    found = prototype_status(model, 1, "")
    assert (found.level, found.message) == (Level.OK, "kangaroo, sofa")
    assert (found.values["version"], found.values["vectors"]) == (7, 4)
    refused = prototype_status(model, 1, "of another model")
    assert (refused.level, refused.message) == (Level.ERROR, "of another model")
    assert prototype_status(model, 2, "").level is Level.WARN
