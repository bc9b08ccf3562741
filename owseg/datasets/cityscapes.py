"""Cityscapes, fine annotations, as 19 classes.

    ROOT/leftImg8bit/SPLIT/CITY/ID_leftImg8bit.png
    ROOT/gtFine/SPLIT/CITY/ID_gtFine_labelIds.png        or
    ROOT/gtFine/SPLIT/CITY/ID_gtFine_labelTrainIds.png

Label ids (0..33) are mapped to train ids when a sample is loaded; maps that hold train ids
already are read where there are no label ids.

For research use; see the terms of the data set before anything trained on it
is released.

Source: Cordts et al., "The Cityscapes Dataset for Semantic Urban Scene
Understanding", CVPR 2016; ids: cityscapesscripts/helpers/labels.py of the authors.
"""

from __future__ import annotations

import numpy as np

from owseg.datasets.folder import FolderDataset
from owseg.datasets.label_spaces import CITYSCAPES19, LabelSpace
from owseg.datasets.layout import Codes, Files, LabelFiles, Layout, Split, plain_codes
from owseg.types import IGNORE_ID, UInt8Array

TRAIN_TO_LABEL = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""Label id of each train id 0..18; every other label id is void."""

LAST_LABEL_ID = 33


def train_ids() -> UInt8Array:
    """Return the lookup table (256,) uint8 from label id to train id; 255 = void."""
    table = np.full(256, IGNORE_ID, np.uint8)
    for train_id, label_id in enumerate(TRAIN_TO_LABEL):
        table[label_id] = train_id
    return table


LABEL_IDS = Codes(
    ids={**{label: int(train_ids()[label]) for label in range(LAST_LABEL_ID + 1)}, 255: IGNORE_ID},
    expected=f"0..{LAST_LABEL_ID} or {IGNORE_ID}",
)
TRAIN_IDS = plain_codes(len(TRAIN_TO_LABEL))


class Cityscapes(FolderDataset):
    """Paired images and label maps of one split; see `FolderDataset`."""

    name = "cityscapes"
    title = "Cityscapes"
    label_space: LabelSpace = CITYSCAPES19
    splits = (
        Split(name="train", published=2975),
        Split(name="val", published=500),
        Split(name="test", published=1525, labelled=False),
    )
    layouts = (
        Layout(
            images=Files(folder="leftImg8bit/{split}", endings=("_leftImg8bit.png",), depth=1),
            labels=tuple(
                LabelFiles(
                    folder="gtFine/{split}", endings=(f"_gtFine_{kind}.png",), depth=1, codes=codes
                )
                for kind, codes in (("labelIds", LABEL_IDS), ("labelTrainIds", TRAIN_IDS))
            ),
        ),
    )
