"""`owseg eval`: figures of a data set, and one clear line for each bad one."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest


@pytest.fixture
def camvid(tmp_path, scene_of):
    """Write a tiny CamVid of three frames; the thing is a car."""
    root = tmp_path / "CamVid"
    ids = np.arange(256, dtype=np.uint8)
    ids[[0, 1, 2, 7]] = (3, 5, 0, 8)  # road, tree, sky, car
    for folder in ("images", "labels", "splits"):
        (root / folder).mkdir(parents=True)
    for index in range(3):
        image, truth = scene_of(index)
        cv2.imwrite(str(root / "images" / f"f{index}.png"), image[..., ::-1])
        cv2.imwrite(str(root / "labels" / f"f{index}.png"), ids[truth])
    (root / "splits" / "val.txt").write_text("f0\nf1\nf2\n")
    return root


@pytest.fixture
def evaluate(camvid, tiny_bundle):
    """Give the arguments of an evaluation with the tiny bundle."""

    def arguments(*more, root=camvid):
        return ("eval", "--data", "camvid", "--root", root, "--model", tiny_bundle, *more)

    return arguments


def test_eval(run, evaluate, tmp_path, messages):
    file = tmp_path / "new" / "figures.json"
    code, out, err = run(*evaluate("--json", file, "--require", "miou>=1"))
    assert (code, messages(err)) == (0, [])
    figures = json.loads(file.read_text())
    assert (figures["frames"], figures["frames_with_truth"]) == (3, 3)
    assert figures["iou"] == {"road": 1.0, "tree": 1.0, "sky": 1.0}
    assert figures["anomaly"] == {"auroc": 1.0, "aupr": 1.0, "fpr95": 0.0}
    assert "car" in figures["held_out"]
    assert set(figures["latency_ms"]) == {"inference", "grouping"}
    assert "AUROC 100.0 %" in out
    assert "mIoU" in out


def test_eval_of_components_and_reliability(run, evaluate, tmp_path):
    plot, file = tmp_path / "plots" / "reliability.png", tmp_path / "figures.json"
    code, out, _ = run(
        *evaluate("--best-f1", "--components", "obstacle", "--plot", plot, "--json", file)
    )
    assert code == 0
    assert "open-mIoU" in out
    assert plot.stat().st_size > 1000
    figures = json.loads(file.read_text())
    # cars have the score 1, all else lies well below: each frame has one, found pixel by pixel
    best = figures["components_best_f1"]
    assert (best["min_prediction"], best["min_truth"]) == (50, 10)
    assert 0.1 < best["threshold"] < 1.0
    # 36 pixels are enough for a true obstacle, not for a predicted one
    assert (best["siou"], best["ppv"], best["f1"]) == (0.0, None, 0.0)
    assert (best["true_components"], best["predicted_components"]) == (3, 0)
    assert sum(entry["pixels"] for entry in figures["reliability"]) == 3 * 23 * 32


def test_eval_stops_early_and_checks_bars(run, evaluate, messages):
    code, out, err = run(*evaluate("--max-frames", 2, "--require", "frames>=3"))
    assert code == 1
    assert messages(err) == ["missed: frames is 2, wanted >= 3"]
    assert out.splitlines()[0].split() == ["frames", "2"]


def test_eval_with_bad_data(fails, evaluate, camvid, tmp_path):
    fails("no CamVid folder at", *evaluate(root=tmp_path / "none"))
    fails("invalid choice: 'kitti'", "eval", "--data", "kitti", "--root", camvid)
    fails("not 'all'", *evaluate("--split", "all"))
    fails("has images/ but no splits/train.txt", *evaluate("--split", "train"))
    fails("neither a readable file", *evaluate("--truth-map", camvid / "none.json"))


def test_eval_with_missing_pairs(fails, evaluate, camvid):
    label = camvid / "labels" / "f1.png"
    label.unlink()
    fails("is missing", *evaluate())
    (camvid / "images" / "f1.png").unlink()
    fails("is missing", *evaluate())


def test_eval_with_damaged_files(fails, evaluate, camvid):
    label = camvid / "labels" / "f1.png"
    data = label.read_bytes()
    label.write_bytes(data[: len(data) // 2])
    fails("f1.png is not a readable 8-bit grey label map", *evaluate())
    cv2.imwrite(str(label), np.zeros((5, 5), np.uint8))
    fails("f1.png is 5x5, its image 32x24", *evaluate())
    cv2.imwrite(str(label), np.full((24, 32), 200, np.uint8))
    fails("does not list: 200", *evaluate())


def test_eval_says_early_that_the_file_cannot_be_written(fails, evaluate, camvid):
    (camvid / "images" / "f0.png").write_bytes(b"never read")
    fails("cannot create the folder", *evaluate("--json", camvid / "splits" / "val.txt" / "f.json"))
