"""Tiny data sets in their published layouts, each with label maps of the ids in the real files.

A tree is a function (root, split, count, labels=None): it writes `count` images of 4x6 and their
label maps, and returns the names that the reader gives them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from owseg.cli import main

SHAPE = (4, 6)
Tree = Callable[..., list[str]]


def save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    parameters = [cv2.IMWRITE_WEBP_QUALITY, 101] if path.suffix == ".webp" else []
    colors = array if array.ndim == 2 else np.ascontiguousarray(array[..., ::-1])
    done, data = cv2.imencode(path.suffix.lower(), colors, parameters)
    assert done
    path.write_bytes(data.tobytes())


def image_of(value: int) -> np.ndarray:
    """Return an image of one colour, so that JPEG keeps it."""
    return np.full((*SHAPE, 3), (10 + 20 * value, 100, 50), np.uint8)


def rows_of(*ids: int) -> np.ndarray:
    """Return a label map with the ids side by side, again and again."""
    return np.resize(np.array(ids, np.uint8), SHAPE[0] * SHAPE[1]).reshape(SHAPE)


def _pairs(
    images: str, labels: str, ids: np.ndarray, name: str = "{name}", stem: str = "f{0}"
) -> Tree:
    def write(root: Path, split: str, count: int, given: np.ndarray | None = None) -> list[str]:
        names = []
        for number in range(count):
            words = {"split": split, "stem": stem.format(number, split=split)}
            save(root / images.format(**words), image_of(number))
            save(root / labels.format(**words), ids if given is None else given)
            names.append(name.format(name=words["stem"], **words))
        return names

    return write


LABEL_IDS = rows_of(0, 7, 8, 26, 33, 255)
BINARY = rows_of(0, 1, 255)


def street_hazards(root, split, count, given=None):
    folder, part, town = {
        "train": ("train", "training", "t1-3"),
        "val": ("train", "validation", "t4"),
        "test": ("test", "test", "t5"),
    }[split]
    write = _pairs(
        f"{folder}/images/{part}/{town}/{{stem}}.png",
        f"{folder}/annotations/{part}/{town}/{{stem}}.png",
        rows_of(*range(1, 15 if split == "test" else 14)),
        f"{town}/{{name}}",
    )
    return write(root, split, count, given)


def lost_and_found(root, split, count, given=None):
    scene = "02_Hanns_Klemm_Str_44"
    write = _pairs(
        f"leftImg8bit/{{split}}/{scene}/{{stem}}_leftImg8bit.png",
        f"gtCoarse/{{split}}/{scene}/{{stem}}_gtCoarse_labelIds.png",
        rows_of(0, 1, 2, 43),
        f"{scene}/{{name}}",
        f"{scene}_000000_{{0:06d}}",
    )
    return write(root, "test" if split == "test_noknown" else split, count, given)


def fishyscapes_laf(root, split, count, given=None):
    names = []
    for number in range(count):
        image = f"04_Maurener_Weg_8_000000_{number:06d}"
        save(
            root / f"leftImg8bit/train/04_Maurener_Weg_8/{image}_leftImg8bit.png", image_of(number)
        )
        names.append(f"{number:04d}_{image}")
        labels = BINARY if given is None else given
        save(root / f"fishyscapes_lostandfound/{names[-1]}_labels.png", labels)
    # an image of Lost and Found that the benchmark does not use
    other = "leftImg8bit/test/01_Other/01_Other_000000_000000_leftImg8bit.png"
    save(root / other, image_of(0))
    return names


def fishyscapes_static(root, split, count, given=None):
    names = []
    for number in range(count):
        image = f"frankfurt_000000_{number:06d}"
        save(root / f"leftImg8bit/val/frankfurt/{image}_leftImg8bit.png", image_of(number))
        names.append(f"{number:04d}_{image}")
        folder = root / "fs_val_v3"
        save(folder / f"{names[-1]}_labels.png", BINARY if given is None else given)
        overlay = np.zeros((*SHAPE, 3), np.int16)
        overlay[0] = (240, -150, 7)
        np.savez(folder / f"{names[-1]}_rgb.npz", rgb=overlay)
    return names


def coco(root, split, count, given=None):
    """Write a bus with a person before it, and a crowd of persons as runs."""
    height, width = SHAPE
    images, things = [], []
    for number in range(count):
        save(root / f"{split}2017" / f"{number:012d}.jpg", image_of(number))
        name = f"{number:012d}.jpg"
        images.append({"id": number, "file_name": name, "width": width, "height": height})
        runs = [(width - 1) * height, height]  # the last column
        things += [
            {"category_id": 1, "area": 1.0, "segmentation": [[1, 1, 2, 1, 2, 2, 1, 2]]},
            {"category_id": 6, "area": 9.0, "segmentation": [[0, 0, 3, 0, 3, 3, 0, 3]]},
            {
                "category_id": 1,
                "area": 4.0,
                "iscrowd": 1,
                "segmentation": {"counts": runs, "size": [height, width]},
            },
        ]
        for thing in things[-3:]:
            thing["image_id"] = number
    file = root / "annotations" / f"instances_{split}2017.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"images": images, "annotations": things}))
    return [image["file_name"][:-4] for image in images]


def bdd_anomaly(root, split, count, given=None):
    """Write images of train and val that show no bicycle and ones that do."""
    write = _pairs(
        "images/10k/{split}/{stem}.jpg",
        "labels/sem_seg/masks/{split}/{stem}.png",
        rows_of(0, 13, 255),
    )
    strange = _pairs(
        "images/10k/{split}/{stem}.jpg",
        "labels/sem_seg/masks/{split}/{stem}.png",
        rows_of(0, 18, 255),
        stem="{split}_bike{0}",
    )
    plain = {part: write(root / "", part, count, given) for part in ("train", "val")}
    odd = [name for part in ("train", "val") for name in strange(root, part, count, given)]
    return odd if split == "test" else plain[split]


TREES: dict[str, tuple[Tree, dict[int, int]]] = {
    "bdd100k": (
        _pairs(
            "images/10k/{split}/{stem}.jpg",
            "labels/sem_seg/masks/{split}/{stem}.png",
            rows_of(0, 18, 255),
        ),
        {0: 0, 18: 18, 255: 255},
    ),
    "bdd_anomaly": (bdd_anomaly, {}),
    "camvid": (
        _pairs("{split}/{stem}.png", "{split}annot/{stem}.png", rows_of(0, 8, 11)),
        {0: 0, 8: 8, 11: 11},
    ),
    "cityscapes": (
        _pairs(
            "leftImg8bit/{split}/ulm/{stem}_leftImg8bit.png",
            "gtFine/{split}/ulm/{stem}_gtFine_labelIds.png",
            LABEL_IDS,
            "ulm/{name}",
        ),
        {0: 255, 7: 0, 8: 1, 26: 13, 33: 18, 255: 255},
    ),
    "coco": (coco, {}),
    "coco_stuff": (
        _pairs(
            "images/{split}2017/{stem}.jpg",
            "annotations/{split}2017/{stem}.png",
            rows_of(0, 12, 181, 255),
        ),
        {0: 0, 12: 11, 181: 170, 255: 255},
    ),
    "fishyscapes_lost_and_found": (fishyscapes_laf, {0: 0, 1: 1, 255: 255}),
    "fishyscapes_static": (fishyscapes_static, {0: 0, 1: 1, 255: 255}),
    "idd": (
        _pairs(
            "leftImg8bit/{split}/201/{stem}_leftImg8bit.png",
            "gtFine/{split}/201/{stem}_gtFine_labellevel3Ids.png",
            rows_of(0, 25, 255),
            "201/{name}",
        ),
        {0: 0, 25: 25, 255: 255},
    ),
    "idd_lite": (
        _pairs(
            "leftImg8bit/{split}/1/{stem}_image.jpg",
            "gtFine/{split}/1/{stem}_label.png",
            rows_of(0, 6, 255),
            "1/{name}",
        ),
        {0: 0, 6: 6, 255: 255},
    ),
    "lost_and_found": (lost_and_found, {0: 255, 1: 0, 2: 1, 43: 1}),
    "road_anomaly": (
        _pairs("frames/{stem}.jpg", "frames/{stem}.labels/labels_semantic.png", rows_of(0, 1, 2)),
        {0: 0, 1: 0, 2: 1},
    ),
    "road_anomaly21": (
        _pairs(
            "images/{stem}.jpg",
            "labels_masks/{stem}_labels_semantic.png",
            BINARY,
            stem="validation{0:04d}",
        ),
        {0: 0, 1: 1, 255: 255},
    ),
    "road_obstacle21": (
        _pairs(
            "images/{stem}.webp",
            "labels_masks/{stem}_labels_semantic.png",
            BINARY,
            stem="validation_{0}",
        ),
        {0: 0, 1: 1, 255: 255},
    ),
    "street_hazards": (street_hazards, {i + 1: i for i in range(14)}),
}
"""A tree by the name of its reader, and what becomes of the ids in its files."""


@pytest.fixture(scope="session")
def trees():
    """Give the table of tiny data sets: writer, and what becomes of the ids, by name."""
    return TREES


@pytest.fixture
def plant(tmp_path):
    """Give a function that writes a tiny data set into a new folder: (name, split, count)."""

    def write(name: str, split: str, count: int = 2, labels=None, root: Path | None = None):
        root = root or tmp_path / name
        return root, TREES[name][0](root, split, count, labels)

    return write


@pytest.fixture
def command(capfd):
    """Give a function that runs the command line: exit code, standard output and error lines."""

    def call(*argv):
        capfd.readouterr()
        code = main([str(arg) for arg in argv])
        out, err = capfd.readouterr()
        return code, out, [line for line in err.split("\n") if line and not line.startswith("\r")]

    return call
