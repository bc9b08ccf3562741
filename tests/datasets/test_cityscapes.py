"""Cityscapes in its real layout: label ids become train ids, and what can be wrong."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from owseg.datasets import CITYSCAPES19, READERS, Cityscapes, load_truth_map, open_dataset
from owseg.datasets.cityscapes import train_ids
from owseg.errors import DatasetError

BY_NAME = {
    0: None,  # unlabeled
    3: None,  # out of roi
    7: "road",
    8: "sidewalk",
    9: None,  # parking
    11: "building",
    12: "wall",
    13: "fence",
    17: "pole",
    18: None,  # polegroup
    19: "traffic light",
    20: "traffic sign",
    21: "vegetation",
    22: "terrain",
    23: "sky",
    24: "person",
    25: "rider",
    26: "car",
    27: "truck",
    28: "bus",
    29: None,  # caravan
    30: None,  # trailer
    31: "train",
    32: "motorcycle",
    33: "bicycle",
}
"""Label ids of the official table, and their class; None counts nowhere."""


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), array if array.ndim == 2 else array[..., ::-1])


def image_of(value, shape=(4, 34)):
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return np.stack([columns * 5, rows * 20, np.full(shape, value)], -1).astype(np.uint8)


def label_ids(shape=(4, 34)):
    """Every label id once in each row; the last row is 255 (licence plates)."""
    labels = np.tile(np.arange(shape[1], dtype=np.uint8), (shape[0], 1))
    labels[-1] = 255
    return labels


def write(root, split, name, labels=None, suffix="labelIds"):
    city = name.partition("_")[0]
    images, truth = root / "leftImg8bit" / split / city, root / "gtFine" / split / city
    save(images / f"{name}_leftImg8bit.png", image_of(len(name)))
    save(truth / f"{name}_gtFine_{suffix}.png", label_ids() if labels is None else labels)
    save(truth / f"{name}_gtFine_color.png", image_of(1))
    (truth / f"{name}_gtFine_polygons.json").write_text("{}")


@pytest.fixture
def tree(tmp_path):
    for name in ("ulm_000001_000019", "bremen_000002_000019", "bremen_000000_000019"):
        write(tmp_path, "train", name)
    write(tmp_path, "val", "munster_000000_000019")
    return tmp_path


def refuses(says, root, split="train"):
    with pytest.raises(DatasetError, match=says) as caught:
        [sample.load() for sample in Cityscapes(root, split)]
    assert "\n" not in str(caught.value)


# Reading ---------------------------------------------------------------------------------------


def test_samples_are_named_by_city_in_order(tree):
    reader = open_dataset("cityscapes", str(tree), "train")
    assert READERS["cityscapes"] is Cityscapes
    assert [s.name for s in reader] == [
        "bremen/bremen_000000_000019",
        "bremen/bremen_000002_000019",
        "ulm/ulm_000001_000019",
    ]
    assert (len(reader), reader.name, reader.split) == (3, "cityscapes", "train")
    assert reader.label_space is CITYSCAPES19
    assert [s.name for s in Cityscapes(tree, "val")] == ["munster/munster_000000_000019"]


def test_label_ids_become_train_ids_and_all_others_void(tree):
    image, labels = next(iter(Cityscapes(tree))).load()
    np.testing.assert_array_equal(image, image_of(len("bremen_000000_000019")))
    assert (labels.dtype, labels.shape) == (np.uint8, (4, 34))
    names = [None if i == 255 else CITYSCAPES19.names[i] for i in labels[0].tolist()]
    assert names == [BY_NAME.get(i) for i in range(34)]
    assert (labels[-1] == 255).all()


def test_the_table_has_the_official_train_ids():
    table = train_ids()
    assert [int(table[i]) for i in (7, 8, 11, 23, 24, 26, 27, 28, 31, 33)] == [
        *(0, 1, 2, 10, 11, 13, 14, 15, 16, 18),
    ]
    assert sorted(table[table != 255].tolist()) == list(range(19))
    assert (table[34:] == 255).all()


def test_maps_of_train_ids_are_taken_as_they_are(tmp_path):
    labels = np.array([[0, 13, 18, 255]], np.uint8)
    name = "ulm_000001_000019"
    write(tmp_path, "train", name, np.tile(labels, (4, 1)), "labelTrainIds")
    save(tmp_path / "leftImg8bit/train/ulm" / f"{name}_leftImg8bit.png", image_of(0, (4, 4)))
    _, found = next(iter(Cityscapes(tmp_path))).load()
    np.testing.assert_array_equal(found[0], labels[0])


def test_label_ids_go_before_train_ids(tree):
    name = "ulm_000001_000019"
    path = tree / "gtFine/train/ulm" / f"{name}_gtFine_labelTrainIds.png"
    save(path, np.zeros((4, 34), np.uint8))
    sample = list(Cityscapes(tree))[-1]
    assert sample.label_path.name == f"{name}_gtFine_labelIds.png"
    assert sample.load()[1][0, 33] == 18


def test_splits_hold_out_car_truck_and_bus(tree):
    _, labels = next(iter(Cityscapes(tree))).load()
    for name, unknown, ignored in (
        ("cityscapes_16_3", {26, 27, 28}, set()),
        ("cityscapes_16_1", {26}, {27, 28}),
        ("cityscapes_17", set(), {27, 28}),
        ("cityscapes", set(), set()),
    ):
        truth_map = load_truth_map(name)
        truth = truth_map.apply(labels, truth_map.known_names)
        assert set(np.flatnonzero(truth.anomaly[0])) == unknown
        known = {i for i, n in BY_NAME.items() if n} - unknown - ignored
        assert set(np.flatnonzero(truth.known[0] != 255)) == known
        assert set(np.flatnonzero(truth.valid[0])) == known | unknown
    human = load_truth_map("cityscapes_17_human")
    truth = human.apply(labels, human.known_names)
    assert set(np.flatnonzero(truth.anomaly[0])) == {24, 25}
    assert len(human.known_names) == 17
    assert load_truth_map("cityscapes_16_1").known_names == (
        load_truth_map("cityscapes_16_3").known_names
    )
    assert len(load_truth_map("cityscapes_16_3").known_names) == 16


# What can be wrong -----------------------------------------------------------------------------


def test_missing_folders(tmp_path, tree):
    refuses("no Cityscapes folder at .*none", tmp_path / "none")
    refuses("has the splits train, val, not 'test'; its label maps are not public", tree, "test")
    refuses("has the splits train, val, not 'all'$", tree, "all")
    (tree / "gtFine" / "val").rename(tree / "moved")
    refuses("is no Cityscapes folder: .*gtFine.val is missing", tree, "val")


def test_empty_split(tmp_path):
    (tmp_path / "leftImg8bit" / "train").mkdir(parents=True)
    (tmp_path / "gtFine" / "train").mkdir(parents=True)
    refuses("split 'train' at .* is empty", tmp_path)


def test_image_without_label(tree):
    (tree / "gtFine/train/ulm/ulm_000001_000019_gtFine_labelIds.png").unlink()
    refuses(r"label map .*ulm_000001_000019_gtFine_labelIds\.png \(or .*\) of image .* is", tree)


def test_label_without_image(tree):
    (tree / "leftImg8bit/train/ulm/ulm_000001_000019_leftImg8bit.png").unlink()
    refuses(r"label map .*ulm_000001_000019_gtFine_labelIds\.png has no image", tree)


def test_label_in_the_folder_of_another_city(tree):
    (tree / "gtFine/train/jena").mkdir()
    name = "ulm_000001_000019_gtFine_labelIds.png"
    (tree / "gtFine/train/ulm" / name).rename(tree / "gtFine/train/jena" / name)
    refuses("label map .*ulm.ulm_000001_000019_gtFine_labelIds", tree)


@pytest.mark.parametrize(
    ("suffix", "value", "says"),
    [
        ("labelIds", 34, r"has the id 34, expected 0\.\.33 or 255"),
        ("labelTrainIds", 19, r"has the id 19, expected 0\.\.18 or 255"),
    ],
)
def test_ids_out_of_range(tmp_path, suffix, value, says):
    labels = np.full((4, 34), value, np.uint8)
    labels[0] = 255
    write(tmp_path, "train", "ulm_000001_000019", labels, suffix)
    refuses(says, tmp_path)


def test_sizes_differ(tree):
    write(tree, "train", "ulm_000001_000019", label_ids((5, 34)))
    refuses(r"_labelIds\.png is 34x5, its image 34x4", tree)
