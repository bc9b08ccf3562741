"""StreetHazards: streets rendered with CARLA; the test images show strange objects.

    ROOT/train/images/training/TOWN/ID.png      ROOT/train/annotations/training/TOWN/ID.png
    ROOT/train/images/validation/TOWN/ID.png    ROOT/train/annotations/validation/TOWN/ID.png
    ROOT/test/images/test/TOWN/ID.png           ROOT/test/annotations/test/TOWN/ID.png

as streethazards_train.tar and streethazards_test.tar unpack into one folder. The maps hold 1..14:
1 = unlabelled (the background, sky among it; a class like the others), 14 = anomaly. They are
mapped to 0..13 when a sample is loaded.

For research use; no licence was found with the data.

Source: D. Hendrycks et al., "Scaling Out-of-Distribution Detection for Real-World Settings", ICML
2022: 5125, 1031 and 1500 images; layout, ids and the shift by one: create_dataset.py and issues 8
and 17 of github.com/hendrycks/anomaly-seg.
"""

from __future__ import annotations

from owseg.datasets.folder import FolderDataset
from owseg.datasets.label_spaces import LabelSpace
from owseg.datasets.layout import Codes, Files, LabelFiles, Layout, Split

STREET_HAZARDS14 = LabelSpace(
    name="street_hazards14",
    names=(
        "unlabeled",
        "building",
        "fence",
        "other",
        "pedestrian",
        "pole",
        "road line",
        "road",
        "sidewalk",
        "vegetation",
        "car",
        "wall",
        "traffic sign",
        "anomaly",
    ),
    colors=(
        (112, 168, 214),
        (128, 92, 84),
        (120, 120, 172),
        (236, 160, 60),
        (206, 72, 72),
        (205, 205, 190),
        (240, 240, 240),
        (110, 92, 128),
        (196, 128, 170),
        (92, 142, 76),
        (64, 72, 196),
        (104, 104, 140),
        (226, 188, 64),
        (60, 230, 230),
    ),
    anomalies=("anomaly",),
)
"""The 13 classes, the background among them, and the anomalies."""

_CODES = Codes(
    ids={place + 1: place for place in range(len(STREET_HAZARDS14.names))},
    expected="1..14 (0 means that the ids were lowered by one already; give the original maps)",
)


class StreetHazards(FolderDataset):
    """Paired images and label maps of one split; see `FolderDataset`."""

    name = "street_hazards"
    title = "StreetHazards"
    label_space: LabelSpace = STREET_HAZARDS14
    splits = (
        Split(name="train", folder="train|training", published=5125, anomalies=False),
        Split(name="val", folder="train|validation", published=1031, anomalies=False),
        Split(name="test", folder="test|test", published=1500),
    )
    layouts = (
        Layout(
            images=Files(folder="{0}/images/{1}", endings=(".png",), depth=1),
            labels=(
                LabelFiles(folder="{0}/annotations/{1}", endings=(".png",), depth=1, codes=_CODES),
            ),
        ),
    )
