"""IDD: India Driving Dataset, segmentation, as the 26 classes of level 3 of its hierarchy.

    ROOT/leftImg8bit/SPLIT/DRIVE/ID_leftImg8bit.png|jpg
    ROOT/gtFine/SPLIT/DRIVE/ID_gtFine_labellevel3Ids.png

The archives hold polygons; the maps are made from them with `createLabels.py --id-type level3Id`
of the authors' code (https://github.com/AutoNUE/public-code), whose output has the name above.
Ids 0..25; 255 = void. Several labels share one id: the name of a class lists them.

Of part I, 981 images are for validation; no source was found for the sizes of the other splits,
so that those are not compared.

For research use; see the terms of the data set before anything trained on it is released.

Source: Varma et al., "IDD: A Dataset for Exploring Problems of Autonomous Navigation in
Unconstrained Environments", WACV 2019; layout and ids: README.md and helpers/anue_labels.py of
AutoNUE/public-code; 981: github.com/Waybaba/DIGA, issue 6.
"""

from __future__ import annotations

from owseg.datasets.folder import FolderDataset
from owseg.datasets.label_spaces import CITYSCAPES19, LabelSpace, bright_color
from owseg.datasets.layout import Files, LabelFiles, Layout, Split, plain_codes

_NAMES = (
    "road",
    "parking or other drivable",
    "sidewalk",
    "rail track or other non-drivable",
    "person or animal",
    "rider",
    "motorcycle",
    "bicycle",
    "autorickshaw",
    "car",
    "truck",
    "bus",
    "caravan, trailer, train or other vehicle",
    "curb",
    "wall",
    "fence",
    "guard rail",
    "billboard",
    "traffic sign",
    "traffic light",
    "pole",
    "other structure",
    "building",
    "bridge or tunnel",
    "vegetation",
    "sky or other background",
)


def _color(place: int, name: str) -> tuple[int, int, int]:
    shared = dict(zip(CITYSCAPES19.names, CITYSCAPES19.colors, strict=True))
    return shared.get(name, bright_color(place))


IDD26 = LabelSpace(
    name="idd26",
    names=_NAMES,
    colors=tuple(_color(place, name) for place, name in enumerate(_NAMES)),
)
"""The 26 classes of level 3."""


class Idd(FolderDataset):
    """Paired images and label maps of one split; see `FolderDataset`."""

    name = "idd"
    title = "IDD"
    label_space: LabelSpace = IDD26
    splits = (
        Split(name="train"),
        Split(name="val", published=981),
        Split(name="test", labelled=False),
    )
    layouts = (
        Layout(
            images=Files(
                folder="leftImg8bit/{split}",
                endings=("_leftImg8bit.png", "_leftImg8bit.jpg"),
                depth=1,
            ),
            labels=(
                LabelFiles(
                    folder="gtFine/{split}",
                    endings=("_gtFine_labellevel3Ids.png",),
                    depth=1,
                    codes=plain_codes(len(_NAMES)),
                ),
            ),
        ),
    )
