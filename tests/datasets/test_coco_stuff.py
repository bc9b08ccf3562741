"""COCO-Stuff in its real layout: label ids become 171 ids, and what can be wrong."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from owseg.datasets import COCO_STUFF171, READERS, CocoStuff, load_truth_map, open_dataset
from owseg.datasets.coco_stuff import STUFF, THINGS, UNUSED, train_ids
from owseg.errors import DatasetError

OFFICIAL = {
    0: "person",
    1: "bicycle",
    2: "car",
    8: "boat",
    15: "bird",
    16: "cat",
    43: "bottle",
    61: "chair",
    66: "dining table",
    71: "tv",
    89: "toothbrush",
    91: "banner",
    123: "grass",
    148: "road",
    156: "sky-other",
    181: "wood",
}
"""Label ids of the published maps (one less than in the published list), and their class."""


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), array if array.ndim == 2 else array[..., ::-1])


def write(root, split, name, labels, images="images", annotations="annotations"):
    picture = np.full((*labels.shape, 3), (200, 100, 50), np.uint8)
    save(root / images / f"{split}2017" / f"{name}.jpg", picture)
    save(root / annotations / f"{split}2017" / f"{name}.png", labels)


def all_labels():
    used = [label for label in range(182) if (*THINGS, *STUFF)[label] not in UNUSED]
    return np.array([[*used, 255]], np.uint8)


def test_ids_are_the_official_ones():
    assert (len(THINGS), len(STUFF), len(UNUSED)) == (91, 91, 11)
    names = (*THINGS, *STUFF)
    assert {label: names[label] for label in OFFICIAL} == OFFICIAL
    assert set(THINGS) >= UNUSED
    assert len(COCO_STUFF171.names) == len(set(COCO_STUFF171.names)) == 171
    assert len(set(COCO_STUFF171.colors)) == 171
    table = train_ids()
    for label in range(182):
        wanted = 255 if names[label] in UNUSED else COCO_STUFF171.id_of(names[label])
        assert table[label] == wanted
    assert (table[182:] == 255).all()


@pytest.mark.parametrize("split", ["train", "val"])
def test_reads_the_real_layout(tmp_path, split):
    write(tmp_path, split, "000000000139", all_labels())
    write(tmp_path, split, "000000000009", all_labels())
    reader = open_dataset("coco_stuff", tmp_path, split)
    assert READERS["coco_stuff"] is CocoStuff
    assert [sample.name for sample in reader] == ["000000000009", "000000000139"]
    image, labels = next(iter(reader)).load()
    assert labels.tolist() == [[*range(171), 255]]
    assert np.abs(image.astype(int) - (200, 100, 50)).max() < 8
    assert (reader.name, reader.split, len(reader)) == ("coco_stuff", split, 2)


@pytest.mark.parametrize(
    ("images", "annotations"),
    [(".", "annotations"), ("images", "stuffthingmaps"), ("images", "stuffthingmaps_trainval2017")],
)
def test_other_places(tmp_path, images, annotations):
    write(tmp_path, "val", "1", all_labels(), images, annotations)
    assert len(CocoStuff(tmp_path, "val")) == 1


def test_a_grey_image_is_read_as_rgb(tmp_path):
    write(tmp_path, "val", "1", all_labels())
    save(tmp_path / "images" / "val2017" / "1.jpg", np.full((1, 172), 90, np.uint8))
    assert next(iter(CocoStuff(tmp_path, "val"))).load()[0].shape == (1, 172, 3)


def test_ids_that_are_never_used(tmp_path):
    write(tmp_path, "val", "1", np.array([[0, 11, 255]], np.uint8))  # 11 = street sign
    with pytest.raises(
        DatasetError, match=r"1\.png has the id 11, expected .* that COCO-Stuff uses"
    ):
        next(iter(CocoStuff(tmp_path, "val"))).load()
    write(tmp_path, "val", "1", np.array([[0, 182, 255]], np.uint8))
    with pytest.raises(DatasetError, match="has the id 182"):
        next(iter(CocoStuff(tmp_path, "val"))).load()


def test_unpaired_files(tmp_path):
    write(tmp_path, "val", "1", all_labels())
    save(tmp_path / "images" / "val2017" / "2.jpg", np.zeros((2, 2), np.uint8))
    with pytest.raises(
        DatasetError, match=r"label map .*annotations.val2017.2\.png of image .*2\.jpg is"
    ):
        CocoStuff(tmp_path, "val")
    (tmp_path / "images" / "val2017" / "2.jpg").unlink()
    save(tmp_path / "annotations" / "val2017" / "3.png", np.zeros((2, 2), np.uint8))
    with pytest.raises(DatasetError, match=r"3\.png has no image in .*images"):
        CocoStuff(tmp_path, "val")


def test_folders_that_are_not_there(tmp_path):
    with pytest.raises(DatasetError, match=r"is no COCO-Stuff folder: .*images/val2017 is missing"):
        CocoStuff(tmp_path, "val")
    (tmp_path / "val2017").mkdir()
    with pytest.raises(DatasetError, match="annotations/val2017 is missing"):
        CocoStuff(tmp_path, "val")
    (tmp_path / "annotations" / "val2017").mkdir(parents=True)
    with pytest.raises(DatasetError, match=r"split 'val' .* is empty"):
        CocoStuff(tmp_path, "val")
    with pytest.raises(DatasetError, match="has the splits train, val, not 'test'"):
        CocoStuff(tmp_path, "test")


# The splits of GOSS ----------------------------------------------------------------------------

VOC = (
    "airplane bicycle bird boat bottle bus car cat chair cow couch dining_table dog horse "
    "motorcycle person potted_plant sheep train tv"
)


@pytest.mark.parametrize(
    ("split", "things", "stuff"),
    [("voc_20_60", 60, 0), ("manual_20_60", 60, 0), ("random_111_60", 29, 31)],
)
def test_goss_splits_have_the_published_sizes(split, things, stuff):
    truth_map = load_truth_map(f"coco_stuff_{split}")
    assert dict(truth_map.labels) == dict(enumerate(COCO_STUFF171.names))
    assert len(truth_map.known_names) == 111
    assert sum(name in THINGS for name in truth_map.held_out) == things
    assert sum(name in STUFF for name in truth_map.held_out) == stuff
    assert truth_map.ignore == ()


def test_the_voc_split_knows_the_classes_of_voc():
    known = load_truth_map("coco_stuff_voc_20_60").known_names
    assert sorted(set(known) & set(THINGS)) == [
        name.replace("_", " ") for name in sorted(VOC.split())
    ]


def test_the_manual_split_knows_one_or_two_classes_of_each_kind():
    kinds = (
        "person",
        "bicycle car motorcycle airplane bus train truck boat",
        "traffic_light fire_hydrant stop_sign parking_meter bench",
        "bird cat dog horse sheep cow elephant bear zebra giraffe",
        "backpack umbrella handbag tie suitcase",
        "frisbee skis snowboard sports_ball kite baseball_bat baseball_glove skateboard surfboard "
        "tennis_racket",
        "bottle wine_glass cup fork knife spoon bowl",
        "banana apple sandwich orange broccoli carrot hot_dog pizza donut cake",
        "chair couch potted_plant bed dining_table toilet",
        "tv laptop mouse remote keyboard cell_phone",
        "microwave oven toaster sink refrigerator",
        "book clock vase scissors teddy_bear hair_drier toothbrush",
    )
    known = set(load_truth_map("coco_stuff_manual_20_60").known_names)
    members = [{name.replace("_", " ") for name in kind.split()} for kind in kinds]
    assert set().union(*members) == set(THINGS) - UNUSED
    assert all(1 <= len(known & names) <= 2 for names in members)
