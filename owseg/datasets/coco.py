"""COCO 2017, detection: the 80 classes of things, drawn from the polygons of the annotations.

    ROOT/train2017/ID.jpg    ROOT/val2017/ID.jpg          (also below ROOT/images/)
    ROOT/annotations/instances_train2017.json
    ROOT/annotations/instances_val2017.json

A label map is drawn when a sample is loaded: the objects of an image from the largest to the
smallest, 255 where there is none and in groups (`iscrowd`). Outlines are drawn with the pixels
that they touch, which differs from the drawing of the COCO tools by at most the outline.
The file of annotations is read as a whole (about 0.5 GB for train).

Annotations CC BY 4.0; the images are from Flickr under their own terms.

Source: T.-Y. Lin et al., "Microsoft COCO", ECCV 2014; format: https://cocodataset.org, "Data
format"; 118287 and 5000 images: H. Caesar et al., "COCO-Stuff", CVPR 2018, and the page of COCO
2017.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from owseg.datasets.base import Sample
from owseg.datasets.coco_stuff import COCO_STUFF171, THINGS, UNUSED
from owseg.datasets.folder import FolderDataset, Pairing
from owseg.datasets.label_spaces import LabelSpace
from owseg.datasets.layout import Codes, Files, LabelFiles, Layout, Split
from owseg.errors import DatasetError
from owseg.types import IGNORE_ID, UInt8Array

_USED = tuple(name for name in THINGS if name not in UNUSED)
COCO80 = LabelSpace(name="coco80", names=_USED, colors=tuple(COCO_STUFF171.colors[: len(_USED)]))
"""The 80 classes of things, in the order of their ids."""

CATEGORIES = {
    place + 1: _USED.index(name) for place, name in enumerate(THINGS) if name not in UNUSED
}
"""Class by category id of the annotations, 1..90."""

_NONE = Codes(ids={}, expected="")


@dataclass(frozen=True, slots=True, kw_only=True)
class CocoSample(Sample):
    """One image with the objects of its label map.

    Attributes:
        objects: annotations of the image as in the file.
        size: width and height as in the file.
    """

    objects: tuple[Mapping[str, Any], ...] = field(hash=False)
    size: tuple[int, int]

    def load_labels(self) -> UInt8Array:
        """Return the classes (H, W) uint8, drawn; 255 = no object."""
        labels = np.full(self.size[::-1], IGNORE_ID, np.uint8)
        try:
            for thing in sorted(self.objects, key=lambda thing: -float(thing["area"])):
                crowd = thing.get("iscrowd")
                value = IGNORE_ID if crowd else CATEGORIES[thing["category_id"]]
                _draw(labels, thing["segmentation"], value)
        except (KeyError, TypeError, ValueError, IndexError, cv2.error) as error:
            raise DatasetError(
                f"{self.label_path}: an annotation of image {self.name} is not as expected "
                f"({error!r})"
            ) from error
        return labels


def _draw(labels: UInt8Array, outline: Any, value: int) -> None:
    """Draw one object: polygons as [x, y, x, y, ...] in pixels, or counts of runs by columns."""
    if isinstance(outline, list):
        for flat in outline:  # one by one: where two overlap, fillPoly would leave a hole
            corners = np.asarray(flat, np.float64).reshape(-1, 2)
            cv2.fillPoly(labels, [np.floor(corners).astype(np.int32)], value)
        return
    counts = outline["counts"]
    height, width = outline["size"]
    if (height, width) != labels.shape:
        raise ValueError(f"runs of {width}x{height}")
    inside = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    labels[inside.reshape(width, height).T] = value


class Coco(FolderDataset):
    """Images with their label maps of one split; see `FolderDataset`."""

    name = "coco"
    title = "COCO"
    label_space: LabelSpace = COCO80
    splits = (
        Split(name="train", folder="train2017", published=118287),
        Split(name="val", folder="val2017", published=5000),
    )
    layouts = tuple(
        Layout(
            images=Files(folder=f"{images}{{split}}", endings=(".jpg",)),
            labels=(LabelFiles(folder="annotations", endings=(".json",), codes=_NONE),),
        )
        for images in ("", "images/")
    )

    @classmethod
    def is_there(cls, root: Path, split: str) -> bool:
        """Say whether images or annotations of a split lie below a root."""
        folder = cls.part(split).place
        there = cls.layout(root, split).images_there(root, folder)
        return there or _file(root, folder).is_file()

    @classmethod
    def pairing(cls, root: Path, split: str) -> Pairing:
        """Find the images that the annotations of a split list.

        Raises:
            DatasetError: the file of annotations is missing, or no such file.
        """
        folder = cls.part(split).place
        file = _file(root, folder)
        images = cls.layout(root, split).images.find(root, folder)
        place = cls.layout(root, split).images.place(root, folder)
        listed, objects = _annotations(file)
        samples = [
            CocoSample(
                name=name,
                image_path=images[name],
                label_path=file,
                objects=tuple(objects[number]),
                size=size,
            )
            for name, (number, size) in sorted(listed.items())
            if name in images
        ]
        unlabelled = [(images[n], f"entry in {file}") for n in images if n not in listed]
        missing = tuple(str(place / name) for name in sorted(listed.keys() - images.keys()))
        return Pairing(
            samples=tuple(samples),
            unlabelled=tuple(unlabelled),
            listed_only=missing,
            images=len(images),
        )


def _file(root: Path, folder: str) -> Path:
    return root / "annotations" / f"instances_{folder}.json"


Listed = dict[str, tuple[int, tuple[int, int]]]


def _annotations(file: Path) -> tuple[Listed, dict[int, list[Any]]]:
    """Return number and size of the images by name, and objects by number."""
    if not file.is_file():
        raise DatasetError(f"{file} is missing; unpack annotations_trainval2017.zip")
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
        listed = {
            Path(image["file_name"]).stem: (
                int(image["id"]),
                (int(image["width"]), int(image["height"])),
            )
            for image in raw["images"]
        }
        objects = defaultdict(list)
        for thing in raw["annotations"]:
            objects[int(thing["image_id"])].append(thing)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(f"{file} is no file of COCO instances ({error!r})") from error
    return listed, objects
