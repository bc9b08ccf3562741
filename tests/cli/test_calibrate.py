"""`owseg calibrate`: probabilities and promises in a new bundle, and one line for each mistake."""

from __future__ import annotations

import hashlib
import json

import cv2
import numpy as np
import pytest
from rosbags.highlevel import AnyReader
from rosbags.typesys import Stores, get_typestore

from owseg.bundle import load_bundle

FRAMES = 60


@pytest.fixture(scope="module")
def camvid(tmp_path_factory):
    """Write a CamVid of noise: sky whose blue, the score, is high on cars and seldom elsewhere."""
    root = tmp_path_factory.mktemp("noise") / "CamVid"
    for folder in ("images", "labels", "splits"):
        (root / folder).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for index in range(FRAMES):
        labels = np.zeros((24, 32), np.uint8)
        labels[8:16, 8:16] = 8
        blue = np.where(
            labels == 8, rng.integers(120, 256, (24, 32)), rng.integers(0, 130, (24, 32))
        )
        image = np.zeros((24, 32, 3), np.uint8)
        image[..., 0] = blue
        cv2.imwrite(str(root / "images" / f"f{index:02}.png"), image)
        cv2.imwrite(str(root / "labels" / f"f{index:02}.png"), labels)
    names = [f"f{index:02}" for index in range(FRAMES)]
    (root / "splits" / "train.txt").write_text("\n".join(names[:40]) + "\n")
    (root / "splits" / "val.txt").write_text("\n".join(names[40:]) + "\n")
    return root


@pytest.fixture
def calibrate(camvid, tiny_bundle, tmp_path):
    """Give the arguments of a calibration of the tiny bundle into new.onnx."""

    def arguments(*more, model=tiny_bundle, out=tmp_path / "out" / "new.onnx"):
        data = ("--data", "camvid", "--root", camvid, "--split", "train")
        return ("calibrate", model, *data, "--out", out, *more)

    return arguments


def test_a_whole_round(run, calibrate, camvid, tmp_path, messages):
    promised = ("--false-alarms", 0.1, "--missed", 0.2, "--false-frames", 0.2, "--of-frame", 0.05)
    code, out, err = run(*calibrate("--map", "isotonic", *promised, "--json", "--confidence", 0.8))
    assert (code, messages(err)) == (0, [])
    figures = json.loads(out)
    names = [point["name"] for point in figures["operating_points"]]
    assert names == ["false_alarms_10", "false_frames_20", "missed_20"]
    manifest = load_bundle(tmp_path / "out" / "new.onnx").manifest
    assert [p.name for p in manifest.operating_points] == ["half", "strict", *names]
    assert manifest.default_operating_point == "half"
    assert manifest.calibration.method == "isotonic"
    assert "camvid train, 40 images" in manifest.calibration.fitted_on
    # what was promised is found by name, and holds on other frames of the same kind
    for name, limit in (("false_alarms_10", 0.1), ("missed_20", 0.2), ("false_frames_20", 0.2)):
        file = tmp_path / f"{name}.json"
        data = ("--data", "camvid", "--root", camvid, "--operating-point", name)
        model = ("--model", tmp_path / "out" / "new.onnx")
        assert run("eval", *data, *model, "--json", file, "--calibrated")[0] == 0
        found = json.loads(file.read_text())
        kind = name.rpartition("_")[0]
        if kind != "false_frames":  # those are about another share of a frame
            assert found["decisions"][kind] <= limit
        assert found["calibrated"] is True
        table = manifest.calibration
        digest = hashlib.sha256(np.array(table.probabilities, "<f8").tobytes()).hexdigest()
        assert found["calibration"] == {
            "method": "isotonic",
            "fitted_on": table.fitted_on,
            "sha256": digest,
        }
        assert found["ece"] < 0.03
    assert found["threshold"] == manifest.threshold("false_frames_20")


def test_in_words(run, calibrate, messages):
    code, out, err = run(
        *calibrate("--map", "platt", "--false-alarms", 0.05, "--in-expectation", "--max-frames", 30)
    )
    assert (code, messages(err)) == (0, [])
    assert "frames       30" in out
    assert "platt; the scores alone have an ECE of" in out
    assert "at most 5 % of a frame's normal pixels unknown, mean over frames, in expectation" in out


def test_a_point_can_become_the_default_and_be_fitted_again(run, calibrate, tmp_path):
    new = tmp_path / "out" / "new.onnx"
    more = ("--false-alarms", 0.1, "--confidence", 0.8)
    assert run(*calibrate(*more, "--default", "false_alarms_10"))[0] == 0
    first = load_bundle(new)
    assert first.manifest.default_operating_point == "false_alarms_10"
    assert first.manifest.calibration is None
    assert run(*calibrate("--map", "isotonic", model=new, out=new))[0] == 0
    assert run(*calibrate(*more, "--max-frames", 30, model=new, out=new))[0] == 0
    again = load_bundle(new).manifest
    points = [p for p in again.operating_points if p.name == "false_alarms_10"]
    assert [p.promise["frames"] for p in points] == [30]
    assert again.calibration.method == "isotonic"
    assert load_bundle(new).space == first.space


def test_replay_with_probabilities(run, calibrate, camvid, tmp_path):
    assert run(*calibrate("--map", "isotonic"))[0] == 0
    model = ("--model", tmp_path / "out" / "new.onnx", "--max-frames", 2)
    for name, more in (("plain", ()), ("calibrated", ("--calibrated",))):
        out = tmp_path / name
        assert run("replay", camvid / "images", "--out", out, *model, *more)[0] == 0
        figures = json.loads((out / "metrics.json").read_text())
        assert figures["calibrated"] is (figures["calibration"] is not None) is bool(more)
        assert figures["threshold"] == 0.5
    # what listeners are told is the threshold of what is published: 1 - probability at 0.5
    table = load_bundle(tmp_path / "out" / "new.onnx").manifest.calibration
    told = [label_threshold_in(tmp_path / name) for name in ("plain", "calibrated")]
    assert told == pytest.approx([0.5, 1.0 - table.at(0.5)], abs=1e-6)
    assert abs(told[1] - 0.5) > 0.1


def label_threshold_in(folder):
    """Return the threshold in the label message of a recording."""
    store = get_typestore(Stores.ROS2_HUMBLE)
    with AnyReader([folder / "output.mcap"], default_typestore=store) as reader:
        links = [c for c in reader.connections if c.topic.endswith("label_info")]
        connection, _, data = next(reader.messages(links))
        return reader.deserialize(data, connection.msgtype).threshold


def test_what_is_refused(fails, calibrate, camvid, tmp_path, tiny_bundle):
    fails("nothing to fit", *calibrate())
    fails("it takes", *calibrate("--false-alarms", 0.01))
    fails("must lie between 0 and 1", *calibrate("--missed", 20))
    fails("give it a --confidence", *calibrate("--false-frames", 0.1, "--in-expectation"))
    fails("not allowed with", *calibrate("--map", "platt", "--confidence", 1, "--in-expectation"))
    fails("--default tpr_95 is not", *calibrate("--map", "platt", "--default", "tpr_95"))
    fails("it is a folder", *calibrate("--map", "platt", out=tmp_path))
    fails("no model at", *calibrate("--map", "platt", model=tmp_path / "none.onnx"))
    fails("invalid choice: 'magic'", *calibrate("--map", "magic"))
    assert not (tmp_path / "out" / "new.onnx").exists()
    data = ("--data", "camvid", "--root", camvid, "--model", tiny_bundle)
    fails("has no calibration", "eval", *data, "--calibrated")
