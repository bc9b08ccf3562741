"""`owseg data goss`, and evaluating what it has made."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest


@pytest.fixture
def camvid(tmp_path, scene_of):
    """Write a tiny CamVid in the original layout; the thing is a car."""
    ids = np.arange(256, dtype=np.uint8)
    ids[[0, 1, 2, 7]] = (3, 5, 0, 8)  # road, tree, sky, car
    root = tmp_path / "CamVid"
    for split in ("train", "test"):
        for folder in (split, f"{split}annot"):
            (root / folder).mkdir(parents=True)
        for index in range(3):
            image, truth = scene_of(index)
            cv2.imwrite(str(root / split / f"f{index}.png"), image[..., ::-1])
            cv2.imwrite(str(root / f"{split}annot" / f"f{index}.png"), ids[truth])
    return root


def test_goss(run, messages, camvid, tmp_path):
    out = tmp_path / "goss"
    code, text, err = run("data", "goss", "camvid_a", "--root", camvid, "--out", out)
    assert (code, messages(err)) == (0, [])
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines == [
        "classes 10 known, 1 unknown",
        "train 3 images, 9 segments",
        "test 3 images, 12 segments, 3 unknown",
        f"manifest {out / 'goss.json'}",
    ]
    again = tmp_path / "again"
    code, text, err = run("data", "goss", "camvid_a", "--root", camvid, "--out", again, "--json")
    assert json.loads(text) == json.loads((out / "goss.json").read_text())


def test_another_test_split(run, camvid, tmp_path):
    out = tmp_path / "goss"
    code, text, _ = run(
        *("data", "goss", "camvid_a", "--root", camvid, "--out", out),
        *("--test-split", "train", "--json"),
    )
    assert code == 0
    assert json.loads(text)["splits"]["test"]["source_split"] == "train"
    assert (out / "segments" / "test" / "f0.png").is_file()


def test_evaluating_a_list(run, camvid, tmp_path, tiny_bundle):
    names = tmp_path / "names.txt"
    names.write_text("f2\nf0\n")
    figures = tmp_path / "figures.json"
    code, text, _ = run(
        *("eval", "--data", "camvid", "--root", camvid, "--split", "test"),
        *("--model", tiny_bundle, "--names", names, "--json", figures),
    )
    assert code == 0
    found = json.loads(figures.read_text())
    assert found["frames"] == 2
    assert found["goss"]["gq"] == found["goss"]["gq_unknown"] == 1.0
    assert found["goss"]["gq_cluster"] is None
    assert "GOSS         GQ 100.0 %, known 100.0 %, unknown 100.0 %" in text


def test_evaluating_a_grouping_by_direction(run, camvid, tmp_path, tiny_bundle):
    figures = tmp_path / "figures.json"
    code, text, _ = run(
        *("eval", "--data", "camvid", "--root", camvid, "--split", "test"),
        *("--model", tiny_bundle, "--grouping", "super_bpd", "--json", figures),
    )
    assert code == 0
    assert json.loads(figures.read_text())["goss"]["gq_cluster"] is not None
    assert "cluster" in text


def test_bad_input(fails, camvid, tmp_path):
    out = tmp_path / "goss"
    fails("invalid choice: 'kitti'", "data", "goss", "kitti", "--root", camvid, "--out", out)
    fails(
        "is the folder of the data set",
        *("data", "goss", "camvid_a", "--root", camvid),
        "--out",
        camvid,
    )
    fails("no Cityscapes folder", "data", "goss", "cityscapes_16_3", "--root", camvid, "--out", out)
    fails(
        "is no COCO-Stuff folder",
        *("data", "goss", "coco_stuff_voc_20_60"),
        *("--root", camvid, "--out", out),
    )
    assert not out.exists()
    broken = camvid / "testannot" / "f1.png"
    broken.write_bytes(b"")
    fails("f1.png is not a readable", "data", "goss", "camvid_a", "--root", camvid, "--out", out)
    assert not (out / "goss.json").exists()


def test_help(run):
    code, text, _ = run("data", "goss", "--help")
    assert code == 0
    for name in ("cityscapes_13_6", "coco_stuff_random_111_60", "camvid_b", "example:"):
        assert name in text
