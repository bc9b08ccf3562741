"""Cityscapes, fine annotations, as 19 classes.

    ROOT/leftImg8bit/SPLIT/CITY/ID_leftImg8bit.png
    ROOT/gtFine/SPLIT/CITY/ID_gtFine_labelIds.png        or
    ROOT/gtFine/SPLIT/CITY/ID_gtFine_labelTrainIds.png

Label ids (0..33) are mapped to train ids when a sample is loaded; maps that hold train ids
already are read where there are no label ids.

For research use; see the terms of the data set before anything trained on it
is released.

Source: Cordts et al., "The Cityscapes Dataset for Semantic Urban Scene
Understanding", CVPR 2016.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from owseg.datasets.base import Sample
from owseg.datasets.label_spaces import CITYSCAPES19, LabelSpace
from owseg.errors import DatasetError
from owseg.types import IGNORE_ID, UInt8Array

SPLITS = ("train", "val")
_IMAGE = "_leftImg8bit.png"
_LABEL_IDS, _TRAIN_IDS = "_gtFine_labelIds.png", "_gtFine_labelTrainIds.png"

TRAIN_TO_LABEL = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""Label id of each train id 0..18; every other label id is void."""

LAST_LABEL_ID = 33


def train_ids() -> UInt8Array:
    """Return the lookup table (256,) uint8 from label id to train id; 255 = void."""
    table = np.full(256, IGNORE_ID, np.uint8)
    for train_id, label_id in enumerate(TRAIN_TO_LABEL):
        table[label_id] = train_id
    return table


@dataclass(frozen=True, slots=True, kw_only=True)
class CityscapesSample(Sample):
    """One image with its label map, on disk."""

    def load(self) -> tuple[UInt8Array, UInt8Array]:
        """Return the image (H, W, 3) uint8 RGB and the train ids (H, W) uint8, 255 = void.

        Raises:
            DatasetError: a file cannot be decoded, the sizes differ, or ids are out of range.
        """
        image, labels = Sample.load(self)
        mapped = self.label_path.name.endswith(_TRAIN_IDS)
        last = len(TRAIN_TO_LABEL) - 1 if mapped else LAST_LABEL_ID
        largest = int(labels.max(initial=0, where=labels != IGNORE_ID))
        if largest > last:
            raise DatasetError(
                f"{self.label_path} has the id {largest}, expected 0..{last} or {IGNORE_ID}"
            )
        return image, labels if mapped else train_ids()[labels]


class Cityscapes:
    """Paired images and label maps of one split.

    Args:
        root: folder with leftImg8bit/ and gtFine/.
        split: "train" or "val"; the labels of "test" are not public.

    Raises:
        DatasetError: the folder is missing or images and labels do not pair.
    """

    name = "cityscapes"
    label_space: LabelSpace = CITYSCAPES19

    def __init__(self, root: str | Path, split: str = "train") -> None:
        self.root = Path(root)
        self.split = split
        if split not in SPLITS:
            raise DatasetError(f"Cityscapes has the splits {', '.join(SPLITS)}, not '{split}'")
        images, labels = self.root / "leftImg8bit" / split, self.root / "gtFine" / split
        for folder in (images, labels):
            if not folder.is_dir():
                raise DatasetError(f"{self.root} is no Cityscapes folder: {folder} is missing")
        self.samples = [_pair(path, labels) for path in sorted(images.glob(f"*/*{_IMAGE}"))]
        if not self.samples:
            raise DatasetError(f"Cityscapes split '{split}' at {self.root} is empty")
        _refuse_unpaired(images, labels)

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.samples)


def _pair(image: Path, labels: Path) -> CityscapesSample:
    city, number = image.parent.name, image.name.removesuffix(_IMAGE)
    choices = [labels / city / f"{number}{suffix}" for suffix in (_LABEL_IDS, _TRAIN_IDS)]
    label = next((path for path in choices if path.is_file()), None)
    if label is None:
        raise DatasetError(f"label map {choices[0]} (or {_TRAIN_IDS}) of image {image} is missing")
    return CityscapesSample(name=f"{city}/{number}", image_path=image, label_path=label)


def _refuse_unpaired(images: Path, labels: Path) -> None:
    for suffix in (_LABEL_IDS, _TRAIN_IDS):
        for label in sorted(labels.glob(f"*/*{suffix}")):
            image = images / label.parent.name / f"{label.name.removesuffix(suffix)}{_IMAGE}"
            if not image.is_file():
                raise DatasetError(f"label map {label} has no image {image}")
