"""IDD Lite: pairs across sequences, what can be wrong, and the real one where it is."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from owseg.datasets import READERS
from owseg.datasets.idd_lite import IddLite
from owseg.errors import DatasetError


def frame(root, sequence, number, split="train"):
    for folder, name, array in (
        ("leftImg8bit", f"{number}_image.jpg", np.full((6, 8, 3), int(number), np.uint8)),
        ("gtFine", f"{number}_label.png", np.full((6, 8), int(sequence), np.uint8)),
    ):
        path = root / folder / split / sequence / name
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), array)


@pytest.fixture
def tree(tmp_path):
    """Two sequences, in which the same number occurs."""
    for sequence, number in (("2", "024"), ("1", "024"), ("1", "007")):
        frame(tmp_path, sequence, number)
    return tmp_path


def test_samples_are_in_order_of_sequence_and_number(tree):
    samples = list(IddLite(tree))
    assert [s.name for s in samples] == ["1/007", "1/024", "2/024"]
    for sample in samples:
        image, labels = sample.load()
        assert np.abs(image.astype(int) - int(sample.name[2:])).max() <= 2
        assert (labels == int(sample.name[0])).all()


def test_each_split_on_its_own(tree):
    frame(tree, "9", "001", "val")
    assert len(IddLite(tree, "train")) == 3
    assert [s.name for s in IddLite(tree, "val")] == ["9/001"]
    assert READERS["idd_lite"] is IddLite


def refuses(says, root, split="train"):
    with pytest.raises(DatasetError, match=says):
        IddLite(root, split)


def test_what_can_be_wrong(tree, tmp_path):
    refuses("has the splits train, val, not 'test'", tree, "test")
    refuses(r"is no IDD Lite folder: .*val is missing", tree, "val")
    refuses("no IDD Lite folder at", tmp_path / "none")
    (tree / "leftImg8bit" / "val").mkdir()
    (tree / "gtFine" / "val").mkdir()
    refuses("split 'val' at .* is empty", tree, "val")


def test_missing_label(tree):
    (tree / "gtFine" / "train" / "1" / "024_label.png").unlink()
    refuses(r"label map .*024_label\.png of image .* is missing", tree)


def test_missing_image_of_a_number_that_another_sequence_has(tree):
    (tree / "leftImg8bit" / "train" / "1" / "024_image.jpg").unlink()
    refuses(r"label map .*1.024_label\.png has no image in", tree)


def real_idd_lite():
    data = os.environ.get("OWSEG_DATA") or Path(__file__).parents[3] / "shared" / "data"
    return Path(data) / "idd_lite"


@pytest.mark.skipif(
    not (real_idd_lite() / "gtFine").is_dir(),
    reason="IDD Lite is not there; OWSEG_DATA names the folder that holds idd_lite/",
)
def test_real_idd_lite():
    reader = IddLite(real_idd_lite())
    assert len(reader) == 1403
    for sample in list(reader)[::700]:
        image, labels = sample.load()
        assert image.shape == (227, 320, 3)
        assert set(np.unique(labels)) <= {*range(7), 255}
