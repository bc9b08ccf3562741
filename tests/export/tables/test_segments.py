"""Segments at thresholds, by hand; and the part of a file that a command writes."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from owseg.datasets import Truth
from owseg.errors import InputError
from owseg_export.tables import segments
from owseg_export.tables.insert import insert
from owseg_export.tables.segments import TAUS, fit_classifiers, segment_figures

CLASSES = ("road", "sky")
OBJECTS = {"small": slice(0, 20), "large": slice(40, 60), "false": slice(80, 100)}
"""Columns of three squares; the first two are objects, the last is a false alarm."""


class Painted:
    """In the place of a network's answer: the image holds entropy and class."""

    def __init__(self, trained: Any, image: np.ndarray) -> None:
        self.entropy = (image[..., 0] / 100).astype(np.float32)
        self.known = image[..., 1].copy()

    open_set = segments.Segmented.open_set


@pytest.fixture(autouse=True)
def painted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "Segmented", Painted)


def frame(index: int = 0, small: int = 35, large: int = 65, false: int = 55) -> tuple[Any, ...]:
    """One frame: road below, sky above it, and three squares with an entropy in percent."""
    image = np.zeros((60, 120, 3), np.uint8)
    image[:30, :, 1] = 1
    known = image[..., 1].copy()
    anomaly = np.zeros((60, 120), bool)
    for name, value in (("small", small), ("large", large), ("false", false)):
        image[20:40, OBJECTS[name], 0] = value
        anomaly[20:40, OBJECTS[name]] = name != "false"
    known[anomaly] = 255
    truth = Truth(known=known, anomaly=anomaly, valid=np.ones_like(anomaly))
    return SimpleNamespace(name=f"drive{index % 2}_{index}"), image, truth


TRAINED: Any = SimpleNamespace(class_names=CLASSES)


def test_counts_and_delta_are_those_of_the_hand() -> None:
    nothing = dict.fromkeys(TAUS, "no classifier")
    found = segment_figures(TRAINED, nothing, [frame()], None)["thresholds"]
    expected = {  # found, missed, false
        "0.30": (2, 0, 1),
        "0.40": (1, 1, 1),
        "0.50": (1, 1, 1),
        "0.60": (1, 1, 0),
        "0.70": (0, 2, 0),
    }
    for tau, (hit, missed, false) in expected.items():
        before = found[tau]["before"]
        assert (before["found"], before["missed"], before["false"]) == (hit, missed, false)
        assert before["f1"] == pytest.approx(2 * hit / (2 * hit + missed + false))
        assert found[tau]["after"] is None
        assert found[tau]["why_no_meta"] == "no classifier"
    # the classes are right everywhere: the false square takes 200 pixels from each of them
    pixels = 30 * 120 - 2 * 10 * 20
    assert found["0.50"]["miou"] == 1.0
    assert found["0.50"]["before"]["delta"] == pytest.approx(200 / pixels)
    assert found["0.60"]["before"]["delta"] == 0.0
    assert json.dumps(found)


def test_known_classes_may_be_measured_elsewhere() -> None:
    nothing = dict.fromkeys(TAUS, "no classifier")
    _, image, truth = frame(false=0)
    unlabelled = Truth(
        known=np.full_like(truth.known, 255), anomaly=truth.anomaly, valid=truth.valid
    )
    sample = SimpleNamespace(name="x_1")
    given = segment_figures(TRAINED, nothing, [(sample, image, unlabelled)], [frame()])
    row = given["thresholds"]["0.50"]
    assert row["before"]["false"] == 0
    assert row["before"]["delta"] == pytest.approx(200 / (30 * 120 - 400))
    assert given["images"] == 1


def test_a_classifier_that_was_fitted_on_other_frames_drops_the_false_alarm() -> None:
    training = [frame(i, small=35 + i % 3, large=65, false=55 + i % 3) for i in range(8)]
    # false alarms of the training frames lie elsewhere in the score than objects
    fitted = fit_classifiers(TRAINED, training, "frames")
    found = segment_figures(TRAINED, fitted, [frame(1), frame(2)], None)["thresholds"]
    before, after = found["0.50"]["before"], found["0.50"]["after"]
    assert (before["false"], before["found"]) == (2, 2)
    assert (after["false"], after["found"]) == (0, 2)
    assert after["delta"] == 0.0 < before["delta"]
    assert found["0.50"]["meta"]["left_out_in_turn"] == "drives"
    assert "too few for a meta classifier" in found["0.60"]["why_no_meta"]
    assert found["0.60"]["after"] is None


def test_segments_of_a_run_are_in_the_table(done: Path) -> None:
    path = done / "tables" / "unknown_2_camvid_a" / "results.json"
    rows = json.loads(path.read_text())["rows"]
    assert [row["form"] for row in rows] == [f"{tau:.2f}" for tau in TAUS]
    text = (done / "tables" / "unknown_2_camvid_a" / "table.md").read_text()
    assert "| 8068 | 191 | 0.26 | 0.3 | 290 | 308 | 0.82 | 0.06 |" in text
    assert "on camvid train, which the network was trained on too; none of these" in text
    assert (done / "tables" / "unknown_2_camvid_a" / "table.png").stat().st_size > 10_000
    missed = [row["figures"]["before missed"]["runs"] for row in rows]
    assert all(len(runs) == 1 for runs in missed)
    assert missed == sorted(missed)  # a higher threshold misses more
    assert [row["seeds"] for row in rows] == [[0]] * len(TAUS)


# Parts of files ---------------------------------------------------------------------------------


def test_a_part_is_added_and_then_replaced(tmp_path: Path) -> None:
    path = tmp_path / "results.md"
    assert insert("one", path, "a") == "<!-- a -->\n\none\n\n<!-- end of a -->\n"
    path.write_text("# Results\n\nMore.\n")
    path.write_text(insert("one\n", path, "a"))
    path.write_text(insert("two", path, "b") + "The end.\n")
    assert insert("three", path, "a") == (
        "# Results\n\nMore.\n\n<!-- a -->\n\nthree\n\n<!-- end of a -->\n\n"
        "<!-- b -->\n\ntwo\n\n<!-- end of b -->\nThe end.\n"
    )


def test_a_part_without_an_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "results.md"
    path.write_text("<!-- a -->\nrest that must stay\n")
    with pytest.raises(InputError, match="but not '<!-- end of a -->'"):
        insert("one", path, "a")
    with pytest.raises(InputError, match="no text file"):
        insert("one", tmp_path, "a")
