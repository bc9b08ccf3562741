"""CamVid in both layouts, what can be wrong with the folder, and the real one where it is."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from owseg.datasets import CAMVID11, READERS, CamVid, open_dataset
from owseg.errors import DatasetError, UsageError


def image_of(value, shape=(6, 8)):
    """Red grows to the right, green downwards, blue is the value."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return np.stack([columns * 20, rows * 20, np.full(shape, value)], -1).astype(np.uint8)


def labels_of(value, shape=(6, 8)):
    labels = np.full(shape, value, np.uint8)
    labels[0] = 11
    return labels


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), array if array.ndim == 2 else array[..., ::-1])


def listed(root, names=("b", "a"), split="train", suffix=".png"):
    for value, name in enumerate(names):
        save(root / "images" / f"{name}{suffix}", image_of(value))
        save(root / "labels" / f"{name}.png", labels_of(value))
    (root / "splits").mkdir(exist_ok=True)
    (root / "splits" / f"{split}.txt").write_text("\n".join(names) + "\n\n")
    return root


def original(root, names=("b", "a"), split="train"):
    for value, name in enumerate(names):
        save(root / split / f"{name}.png", image_of(value))
        save(root / f"{split}annot" / f"{name}.png", labels_of(value))
    return root


@pytest.fixture(params=[listed, original])
def tree(request, tmp_path):
    return request.param(tmp_path)


def refuses(says, root, split="train"):
    """Expect one line that names the folder."""
    with pytest.raises(DatasetError, match=says) as caught:
        [sample.load() for sample in CamVid(root, split)]
    assert "\n" not in str(caught.value)
    assert str(root) in str(caught.value) or "splits" in str(caught.value)


# Reading ---------------------------------------------------------------------------------------


def test_the_listing_gives_the_order(tmp_path):
    reader = CamVid(listed(tmp_path))
    assert [s.name for s in reader] == ["b", "a"]
    assert len(reader) == 2
    assert (reader.name, reader.split, reader.label_space) == ("camvid", "train", CAMVID11)


def test_the_original_layout_is_in_order_of_the_names(tmp_path):
    assert [s.name for s in CamVid(original(tmp_path))] == ["a", "b"]


def test_images_are_rgb_and_labels_are_as_stored(tree):
    for sample in CamVid(str(tree)):
        value = {"b": 0, "a": 1}[sample.name]
        image, labels = sample.load()
        np.testing.assert_array_equal(image, image_of(value))
        np.testing.assert_array_equal(labels, labels_of(value))
        assert image.flags.c_contiguous
        assert (image.dtype, labels.dtype) == (np.uint8, np.uint8)


def test_a_reader_can_be_read_again(tree):
    reader = CamVid(tree)
    assert [s.name for s in reader] == [s.name for s in reader]


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".png"])
def test_suffixes_of_images(tmp_path, suffix):
    (sample,) = CamVid(listed(tmp_path, ("a",), suffix=suffix))
    assert sample.image_path.suffix == suffix
    assert np.abs(sample.load()[0].astype(int) - image_of(0)).mean() < 10


def test_a_listing_leaves_other_label_maps_alone(tmp_path):
    save(listed(tmp_path) / "labels" / "c.png", labels_of(0))
    assert [s.name for s in CamVid(tmp_path)] == ["b", "a"]


@pytest.mark.parametrize("make", [listed, original])
def test_each_split_on_its_own(tmp_path, make):
    make(tmp_path, ("a",), "train")
    make(tmp_path, ("v", "w"), "val")
    make(tmp_path, ("t",), "test")
    assert [len(CamVid(tmp_path, split)) for split in ("train", "val", "test")] == [1, 2, 1]
    assert [s.name for s in CamVid(tmp_path, "test")] == ["t"]


def test_open_dataset_by_name(tree):
    assert len(open_dataset("camvid", tree, "train")) == 2
    assert READERS["camvid"] is CamVid
    with pytest.raises(UsageError, match=f"no data set 'kitti'; there are {', '.join(READERS)}"):
        open_dataset("kitti", tree, "train")


# What can be wrong -----------------------------------------------------------------------------


def test_missing_folder(tmp_path):
    refuses("no CamVid folder at", tmp_path / "none")


def test_a_file_instead_of_a_folder(tmp_path):
    (tmp_path / "x").write_text("")
    refuses("no CamVid folder at", tmp_path / "x")


def test_neither_layout(tmp_path):
    refuses(r"is no CamVid folder: expected images/, labels/ and splits/, or train/", tmp_path)


def test_unknown_split(tree):
    with pytest.raises(DatasetError, match="has the splits train, val, test, not 'all'"):
        CamVid(tree, "all")


def test_a_split_that_is_not_there(tmp_path):
    refuses(r"has images/ but no splits.val\.txt", listed(tmp_path), "val")
    other = tmp_path / "other"
    refuses("or val/ and valannot/", original(other), "val")


def test_missing_image(tree):
    for folder in ("images", "train"):
        (tree / folder / "a.png").unlink(missing_ok=True)
    refuses(r"image .*a\.\[jpg\|png\] is missing|label map .*a\.png has no image in", tree)


def test_missing_label(tree):
    for folder in ("labels", "trainannot"):
        (tree / folder / "a.png").unlink(missing_ok=True)
    refuses(r"label map .*a\.png of image .*a\.png is missing", tree)


def test_missing_label_folder(tmp_path):
    for path in (original(tmp_path) / "trainannot").iterdir():
        path.unlink()
    (tmp_path / "trainannot").rmdir()
    refuses("or train/ and trainannot/", tmp_path)


def test_an_empty_listing(tmp_path):
    (listed(tmp_path) / "splits" / "train.txt").write_text("\n \n")
    refuses("split 'train' at .* is empty", tmp_path)


def test_an_empty_original_split(tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "trainannot").mkdir()
    refuses("split 'train' at .* is empty", tmp_path)


def test_a_listing_that_cannot_be_read(tmp_path):
    (listed(tmp_path) / "splits" / "train.txt").write_bytes(b"\xff\xfe\x00\xd8")
    refuses("is not a readable list of names", tmp_path)


def test_sizes_differ(tree):
    sample = next(iter(CamVid(tree)))
    save(sample.label_path, labels_of(0, (6, 9)))
    refuses(r"\.png is 9x6, its image 8x6", tree)


@pytest.mark.parametrize("content", [b"", b"no image"])
def test_an_image_that_cannot_be_decoded(tree, content):
    next(iter(CamVid(tree))).image_path.write_bytes(content)
    refuses("is not a readable image", tree)


def test_a_truncated_label_map(tree):
    path = next(iter(CamVid(tree))).label_path
    path.write_bytes(path.read_bytes()[:40])
    refuses("is not a readable 8-bit grey label map", tree)


@pytest.mark.parametrize("labels", [image_of(0), labels_of(0).astype(np.uint16)])
def test_labels_of_another_kind(tree, labels):
    save(next(iter(CamVid(tree))).label_path, labels)
    refuses("is not a readable 8-bit grey label map", tree)


# The real one ----------------------------------------------------------------------------------


def real_camvid():
    data = os.environ.get("OWSEG_DATA") or Path(__file__).parents[3] / "shared" / "data"
    return Path(data) / "camvid"


@pytest.mark.skipif(
    not (real_camvid() / "splits").is_dir(),
    reason="CamVid is not there; OWSEG_DATA names the folder that holds camvid/",
)
@pytest.mark.parametrize(("split", "frames"), [("train", 367), ("val", 101)])
def test_real_camvid(split, frames):
    reader = CamVid(real_camvid(), split)
    assert len(reader) == frames
    for sample in list(reader)[:: frames - 1]:
        image, labels = sample.load()
        assert image.shape == (360, 480, 3)
        assert set(np.unique(labels)) <= set(range(12))
        # the sky is above the road, and brighter
        assert np.argwhere(labels == 0)[:, 0].mean() < np.argwhere(labels == 3)[:, 0].mean()
        assert image[labels == 0].mean() > image[labels == 3].mean()
