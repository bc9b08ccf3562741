"""`owseg replay`: what it writes and prints, and bars."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from mcap.reader import make_reader

LABELS = "/ground_truth/labels"
SECOND = 10**9
RESULTS = ["metrics.json", "output.mcap", "report.html"]

# Replay ----------------------------------------------------------------------------------------


def test_replay_writes_three_files_and_says_where(run, replay, street_bag, tmp_path, messages):
    code, out, err = run(*replay(street_bag))
    assert (code, messages(err)) == (0, [])
    assert sorted(p.name for p in (tmp_path / "OUT").iterdir()) == RESULTS
    assert [line.split()[0] for line in out.splitlines()] == [
        "frames",
        "speed",
        "report",
        "recording",
    ]
    assert out.splitlines()[0].split() == ["frames", "4"]
    assert str(tmp_path / "OUT" / "report.html") in out


@pytest.mark.parametrize(
    ("score", "rounded"),
    [("float32", np.float32(100 / 255)), ("float16", np.float32(np.float16(100 / 255)))],
)
def test_the_type_in_which_scores_come_can_be_chosen(
    run, replay, street_bag, tmp_path, score, rounded
):
    """The sky of the bag has blue 100, and is no number of float16."""
    assert run(*replay(street_bag, "--score", score, "--max-frames", 1))[0] == 0
    with open(tmp_path / "OUT" / "output.mcap", "rb") as file:
        (data,) = (
            message.data
            for _, channel, message in make_reader(file).iter_messages()
            if channel.topic == "/anomaly/probability"
        )
    found = np.frombuffer(data[-24 * 32 * 4 :], np.float32).reshape(24, 32)
    assert found[0, -1] == pytest.approx(rounded, abs=1e-7)
    assert np.float32(100 / 255) != np.float32(np.float16(100 / 255))


@pytest.mark.parametrize("kind", ["folder", "mcap"])
def test_replay_with_truth_prints_the_figures(run, replay, street_bag, tiny_truth_map, kind):
    bag = street_bag if kind == "folder" else street_bag / "street.mcap"
    truth = ("--truth", LABELS, "--truth-map", tiny_truth_map)
    code, out, _ = run(*replay(bag, *truth))
    assert code == 0
    table = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert table["mIoU"] == "100.0 %"
    assert table["anomaly"] == "AUROC 100.0 %, AUPR 100.0 %, FPR95 0.0 %"


def test_json_is_metrics_json_and_nothing_else(run, replay, street_bag, tmp_path):
    code, out, err = run(*replay(street_bag, "--json", "--max-frames", 2))
    assert code == 0
    assert json.loads(out) == json.loads((tmp_path / "OUT" / "metrics.json").read_text())
    assert json.loads(out)["frames"] == 2
    assert "2/2" in err


def test_the_topic_can_be_chosen(run, replay, write_bag, scene_of, tmp_path):
    topics = ("/front", "/rear")
    frames = [(topic, SECOND, scene_of(0)[0]) for topic in topics]
    bag = write_bag(tmp_path / "two", [*frames, ("/rear", 2 * SECOND, scene_of(1)[0])])
    code, out, _ = run(*replay(bag, "--topic", "/rear", "--json"))
    assert (code, json.loads(out)["frames"]) == (0, 2)


def test_replay_of_a_folder_of_images(run, replay, scene_of, tmp_path):
    (tmp_path / "images").mkdir()
    for index in range(3):
        image = scene_of(index)[0]
        cv2.imwrite(str(tmp_path / "images" / f"{index}.png"), image[..., ::-1])
    code, out, _ = run(*replay(tmp_path / "images", "--json"))
    assert (code, json.loads(out)["frames"]) == (0, 3)


@pytest.mark.parametrize(
    ("options", "threshold"),
    [
        ((), 0.5),
        (("--threshold", "0.25"), 0.25),
        (("--threshold", "0"), 0.0),
        (("--operating-point", "strict"), 0.9),
    ],
)
def test_the_threshold_can_be_chosen(run, replay, street_bag, options, threshold):
    code, out, _ = run(*replay(street_bag, "--json", "--max-frames", 1, *options))
    assert (code, json.loads(out)["threshold"]) == (0, threshold)


def test_the_fake_engine_needs_no_model(run, street_bag, tmp_path):
    code, out, _ = run("replay", street_bag, "--engine", "fake", "--out", tmp_path, "--json")
    assert (code, json.loads(out)["model"]) == (0, "fake")


# Bars ------------------------------------------------------------------------------------------


def test_bars(run, replay, street_bag, tiny_truth_map, messages):
    truth = ("--truth", LABELS, "--truth-map", tiny_truth_map)
    met = ("--require", "anomaly.auroc>=0.99", "--require", "frames>=4")
    assert run(*replay(street_bag, *truth, *met))[0] == 0
    code, _, err = run(*replay(street_bag, *truth, *met, "--require", "miou<=0.5"))
    assert code == 1
    assert messages(err) == ["missed: miou is 1, wanted <= 0.5"]


def test_bars_without_sense(fails, replay, street_bag, tmp_path):
    fails("cannot read the bar 'miou'", *replay(street_bag, "--require", "miou"))
    assert not (tmp_path / "OUT").exists()


def test_a_bar_on_a_figure_that_is_not_there(run, replay, street_bag, messages):
    code, _, err = run(*replay(street_bag, "--require", "miou>=0.5"))
    assert code == 2
    assert messages(err) == [
        "owseg: the metrics have no 'miou'; see metrics.json for what there is"
    ]
