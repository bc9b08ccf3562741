"""What metrics.json says of the score, and of what was fitted on top of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from owseg.calibration.table import CalibrationTable
from owseg.engines import FakeEngine, fake_manifest
from owseg.meta.run import Recorder
from owseg.pipeline import Pipeline
from owseg.replay.in_force import in_force

TABLE = CalibrationTable(method="platt", probabilities=(0.0, 0.25, 1.0), fitted_on="some images")
SCORE = {"method": "mixture", "form": "paper", "constants": {}}


def pipeline(score=SCORE, score_type="float32", **options):
    manifest = replace(fake_manifest(24, 32), calibration=TABLE, score=score)
    return Pipeline(FakeEngine(manifest), threshold=0.25, score=score_type, **options)


def test_the_plain_score():
    found = in_force(pipeline())
    assert found == {
        "model": "fake",
        "engine": "fake",
        "threshold": 0.25,
        "calibrated": False,
        "score": {"name": "mixture", "form": "paper", "type": "float32"},
        "calibration": None,
        "meta": None,
        "min_object": 0.0,
    }


def test_a_score_that_has_no_forms():
    assert in_force(pipeline({"method": "blue"}))["score"]["form"] is None


@pytest.mark.parametrize("kind", ["float16", "uint8"])
def test_the_type_of_the_score(kind):
    assert in_force(pipeline(score_type=kind))["score"]["type"] == kind


def test_the_map_that_is_laid_over_it():
    found = in_force(pipeline(calibrated=True))
    assert found["calibrated"] is True
    assert found["calibration"] == {
        "method": "platt",
        "fitted_on": "some images",
        # of 0, 0.25 and 1 as 24 bytes
        "sha256": "ec0d43c87e1844fb40b7cc9a94b6d0fa1594e7b5bcd2f58733175e80f89fe442",
    }


def test_what_judges_the_objects():
    found = in_force(pipeline(meta=Recorder(), min_object=0.01))
    assert (found["meta"], found["min_object"]) == ({"kind": "recorder"}, 0.01)
