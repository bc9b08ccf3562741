"""CamVid with 11 classes, as distributed with the SegNet tutorial.

Two layouts are read:

    ROOT/images/NAME.jpg  ROOT/labels/NAME.png  ROOT/splits/SPLIT.txt     (one name a line)
    ROOT/SPLIT/NAME.png   ROOT/SPLITannot/NAME.png                        (the original)

Source: G. Brostow et al., "Semantic object classes in video", PRL 2009; numbers of images:
V. Badrinarayanan et al., "SegNet", PAMI 2017, Section 4.
"""

from __future__ import annotations

from owseg.datasets.folder import FolderDataset
from owseg.datasets.label_spaces import CAMVID11, LabelSpace
from owseg.datasets.layout import Codes, Files, LabelFiles, Layout, Split

_IMAGES = (".jpg", ".jpeg", ".png")
_CODES = Codes(ids={i: i for i in range(255)} | {255: 255}, expected="0..11")
_SHOWN = "images/, labels/ and splits/, or {split}/ and {split}annot/"


class CamVid(FolderDataset):
    """Paired images and label maps of one split; see `FolderDataset`."""

    name = "camvid"
    title = "CamVid"
    label_space: LabelSpace = CAMVID11
    splits = (
        Split(name="train", published=367),
        Split(name="val", published=101),
        Split(name="test", published=233),
    )
    layouts = (
        Layout(
            images=Files(folder="images", endings=_IMAGES),
            labels=(LabelFiles(folder="labels", endings=(".png",), codes=_CODES),),
            listing="splits/{split}.txt",
            shown=_SHOWN,
        ),
        Layout(
            images=Files(folder="{split}", endings=_IMAGES),
            labels=(LabelFiles(folder="{split}annot", endings=(".png",), codes=_CODES),),
            shown=_SHOWN,
        ),
    )
