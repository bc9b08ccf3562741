"""BDD100K, semantic segmentation of its 10K images, as the 19 classes of Cityscapes.

    ROOT/images/10k/SPLIT/ID.jpg        ROOT/labels/sem_seg/masks/SPLIT/ID.png
    ROOT/seg/images/SPLIT/ID.jpg        ROOT/seg/labels/SPLIT/ID_train_id.png     (older archive)

ROOT is the folder bdd100k/ of the archives. The maps hold 0..18, 255 = void.

For research use; see the licence of BDD100K before anything trained on it is released.

Source: F. Yu et al., "BDD100K", CVPR 2020; layout and ids: doc/source/download.rst and format.rst
of github.com/bdd100k/bdd100k; the older archive and its 7000 and 1000 images: issue 9 of
github.com/yzou2/CBST, and the label maps in github.com/hendrycks/anomaly-seg.
"""

from __future__ import annotations

from owseg.datasets.folder import FolderDataset
from owseg.datasets.label_spaces import CITYSCAPES19, LabelSpace
from owseg.datasets.layout import Codes, Files, LabelFiles, Layout, Split, plain_codes

_PLAIN = plain_codes(len(CITYSCAPES19.names))
_SHIFTED = Codes(ids={1: 255, **{i + 2: i for i in range(19)}}, expected="1..20")


class Bdd100k(FolderDataset):
    """Paired images and label maps of one split; see `FolderDataset`."""

    name = "bdd100k"
    title = "BDD100K"
    label_space: LabelSpace = CITYSCAPES19
    splits = (
        Split(name="train", published=7000),
        Split(name="val", published=1000),
        Split(name="test", labelled=False),
    )
    layouts = (
        Layout(
            images=Files(folder="images/10k/{split}", endings=(".jpg",)),
            labels=(
                LabelFiles(folder="labels/sem_seg/masks/{split}", endings=(".png",), codes=_PLAIN),
            ),
        ),
        Layout(
            images=Files(folder="seg/images/{split}", endings=(".jpg",)),
            labels=(
                LabelFiles(folder="seg/labels/{split}", endings=("_train_id.png",), codes=_PLAIN),
                LabelFiles(
                    folder="seg/train_labels/{split}", endings=("_train_id.png",), codes=_SHIFTED
                ),
            ),
        ),
    )
