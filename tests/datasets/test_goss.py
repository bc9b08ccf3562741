"""GOSS benchmarks made from tiny data sets in their real layouts."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from owseg.datasets import CAMVID11, CamVid, Cityscapes, CocoStuff, load_truth_map
from owseg.datasets.goss import BENCHMARKS, build_goss, goss_truth, listed
from owseg.errors import OutputError, TruthError

SKY, BUILDING, ROAD, CAR, PEDESTRIAN, BICYCLIST, VOID = 0, 1, 3, 8, 9, 10, 11


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), array)


def quietly(samples, total, title):
    return samples


def labels_of(*rows):
    return np.array(rows, np.uint8)


# Labels ----------------------------------------------------------------------------------------

LABELS = labels_of(
    [SKY, SKY, CAR, CAR, VOID],
    [ROAD, ROAD, PEDESTRIAN, CAR, SKY],
    [CAR, ROAD, PEDESTRIAN, ROAD, 255],
)


def test_labels_by_hand():
    truth = goss_truth(LABELS, load_truth_map("camvid_b"), training=False)
    # known: sky 0, building 1, pole 2, road 3, ...; all of car, pedestrian, bicyclist unknown
    assert truth.labels.tolist() == [
        [0, 0, 255, 255, 255],
        [3, 3, 255, 255, 0],
        [255, 3, 255, 3, 255],
    ]
    # in the order of the classes; sky and road are two segments each, the cars too
    assert truth.segments.tolist() == [
        [1, 1, 5, 5, 0],
        [3, 3, 7, 5, 2],
        [6, 3, 7, 4, 0],
    ]
    np.testing.assert_array_equal(truth.unknown, np.isin(LABELS, (CAR, PEDESTRIAN, BICYCLIST)))


def test_in_training_unknown_classes_are_void():
    truth = goss_truth(LABELS, load_truth_map("camvid_b"), training=True)
    assert truth.segments.tolist() == [
        [1, 1, 0, 0, 0],
        [3, 3, 0, 0, 2],
        [0, 3, 0, 4, 0],
    ]
    assert truth.labels.tolist()[0] == [0, 0, 255, 255, 255]


# Whole benchmarks ------------------------------------------------------------------------------


def camvid(root, **splits):
    for split, maps in splits.items():
        for number, labels in enumerate(maps):
            picture = np.zeros((*labels.shape, 3), np.uint8)
            save(root / split / f"{split}_{number}.png", picture)
            save(root / f"{split}annot" / f"{split}_{number}.png", labels)


def read(path):
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def test_camvid_a(tmp_path):
    root, out = tmp_path / "CamVid", tmp_path / "out"
    camvid(root, train=[LABELS, LABELS[::-1]], test=[LABELS[:, ::-1]])
    readers = CamVid(root, "train"), CamVid(root, "test")
    manifest = build_goss(BENCHMARKS["camvid_a"], readers, out, quietly)
    assert json.loads((out / "goss.json").read_text()) == manifest
    assert manifest["unknown"] == ["car"]
    assert manifest["known"] == [name for name in CAMVID11.names if name != "car"]
    assert manifest["splits"]["train"] == {
        "source_split": "train",
        "images": 2,
        "segments": 10,
        "unknown_segments": 0,
    }
    assert manifest["splits"]["test"]["unknown_segments"] == 2
    assert (out / "train.txt").read_text() == "train_0\ntrain_1\n"
    assert (out / "test.txt").read_text() == "test_0\n"
    truth_map = load_truth_map("camvid_a")
    for split, labels, training in (
        ("train/train_1", LABELS[::-1], True),
        ("test/test_0", LABELS[:, ::-1], False),
    ):
        truth = goss_truth(np.ascontiguousarray(labels), truth_map, training=training)
        stored = read(out / "labels" / f"{split}.png")
        assert stored.dtype == np.uint8
        np.testing.assert_array_equal(stored, truth.labels)
        segments = read(out / "segments" / f"{split}.png")
        assert segments.dtype == np.uint16
        np.testing.assert_array_equal(segments, truth.segments)


def test_camvid_keeps_images_without_unknown_classes(tmp_path):
    plain = labels_of([SKY, ROAD])
    camvid(tmp_path / "CamVid", train=[plain], test=[plain])
    readers = CamVid(tmp_path / "CamVid", "train"), CamVid(tmp_path / "CamVid", "test")
    manifest = build_goss(BENCHMARKS["camvid_b"], readers, tmp_path / "out", quietly)
    assert [manifest["splits"][split]["images"] for split in ("train", "test")] == [1, 1]


@pytest.mark.parametrize(
    ("name", "unknown"),
    [
        ("cityscapes_16_3", {"car", "truck", "bus"}),
        (
            "cityscapes_13_6",
            {"car", "truck", "bus", "building", "traffic sign", "vegetation"},
        ),
    ],
)
def test_cityscapes(tmp_path, name, unknown):
    labels = labels_of([7, 7, 26, 26], [11, 21, 0, 28])  # road, car / building, plants, void, bus
    for split in ("train", "val"):
        stem = tmp_path / "{}" / split / "ulm" / "ulm_000000_000019_{}.png"
        save(
            type(stem)(str(stem).format("leftImg8bit", "leftImg8bit")),
            np.zeros((2, 4, 3), np.uint8),
        )
        save(type(stem)(str(stem).format("gtFine", "gtFine_labelIds")), labels)
    readers = Cityscapes(tmp_path, "train"), Cityscapes(tmp_path, "val")
    manifest = build_goss(BENCHMARKS[name], readers, tmp_path / "out", quietly)
    assert set(manifest["unknown"]) == unknown
    assert len(manifest["known"]) == 19 - len(unknown)
    assert manifest["published"] == (2975, 500)
    stored = read(tmp_path / "out" / "labels" / "test" / "ulm" / "ulm_000000_000019.png")
    road = manifest["known"].index("road")
    assert stored[0].tolist() == [road, road, 255, 255]
    assert (stored[1, 0] == 255) == ("building" in unknown)
    segments = read(tmp_path / "out" / "segments" / "test" / "ulm" / "ulm_000000_000019.png")
    assert len(np.unique(segments)) == 6  # road, building, vegetation, car, bus, and void
    assert segments[1, 2] == 0
    assert manifest["splits"]["test"]["unknown_segments"] == len(
        unknown & {"car", "bus", "building", "vegetation"}
    )


def test_coco_stuff_picks_images(tmp_path):
    person, toothbrush, grass, unlabelled = 0, 89, 123, 255  # label ids; the second is unknown
    maps = {
        "1": labels_of([person, grass], [grass, unlabelled]),
        "2": labels_of([person, grass], [grass, toothbrush]),
        "3": labels_of([toothbrush, toothbrush], [toothbrush, unlabelled]),
    }
    for split in ("train", "val"):
        for name, labels in maps.items():
            save(tmp_path / "images" / f"{split}2017" / f"{name}.jpg", np.zeros((2, 2), np.uint8))
            save(tmp_path / "annotations" / f"{split}2017" / f"{name}.png", labels)
    readers = CocoStuff(tmp_path, "train"), CocoStuff(tmp_path, "val")
    out = tmp_path / "out"
    manifest = build_goss(BENCHMARKS["coco_stuff_voc_20_60"], readers, out, quietly)
    assert (out / "train.txt").read_text() == "1\n"  # unknown classes are never seen in training
    assert (out / "test.txt").read_text() == "2\n3\n"  # and always in the test
    assert manifest["splits"]["train"]["source_split"] == "train"
    assert manifest["splits"]["test"]["source_split"] == "val"
    known = manifest["known"]
    want = [known.index("person"), known.index("grass"), known.index("grass"), 255]
    assert read(out / "labels" / "test" / "2.png").ravel().tolist() == want
    assert sorted(path.name for path in (out / "labels" / "train").iterdir()) == ["1.png"]


def test_every_benchmark_has_its_truth_map():
    for name, benchmark in BENCHMARKS.items():
        truth_map = load_truth_map(benchmark.truth_map)
        assert benchmark.name == name
        assert truth_map.held_out


def test_making_it_again_gives_the_same(tmp_path):
    camvid(tmp_path / "CamVid", train=[LABELS], test=[LABELS])
    readers = CamVid(tmp_path / "CamVid", "train"), CamVid(tmp_path / "CamVid", "test")
    manifests = [
        build_goss(BENCHMARKS["camvid_a"], readers, tmp_path / "out", quietly) for _ in range(2)
    ]
    assert manifests[0] == manifests[1]


def test_a_place_that_cannot_be_written(tmp_path):
    camvid(tmp_path / "CamVid", train=[LABELS], test=[LABELS])
    readers = CamVid(tmp_path / "CamVid", "train"), CamVid(tmp_path / "CamVid", "test")
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError, match="cannot write"):
        build_goss(BENCHMARKS["camvid_a"], readers, tmp_path / "out", quietly)


# Lists -----------------------------------------------------------------------------------------


def test_samples_by_name(tmp_path):
    camvid(tmp_path / "CamVid", train=[LABELS] * 3)
    reader = CamVid(tmp_path / "CamVid", "train")
    names = tmp_path / "names.txt"
    names.write_text("train_2\n\ntrain_0\n")
    assert [sample.name for sample in listed(reader, names)] == ["train_2", "train_0"]


@pytest.mark.parametrize(
    ("text", "message"),
    [("train_9\n", "lists 'train_9', which the split does not have"), ("\n", "lists no image")],
)
def test_names_that_are_not_there(tmp_path, text, message):
    camvid(tmp_path / "CamVid", train=[LABELS])
    names = tmp_path / "names.txt"
    names.write_text(text)
    with pytest.raises(TruthError, match=message):
        listed(CamVid(tmp_path / "CamVid", "train"), names)
    with pytest.raises(TruthError, match="is not a readable list"):
        listed(CamVid(tmp_path / "CamVid", "train"), tmp_path)
