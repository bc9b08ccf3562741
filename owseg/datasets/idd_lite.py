"""IDD Lite: India Driving Dataset with seven classes at 320x227.

    ROOT/leftImg8bit/SPLIT/SEQ/ID_image.jpg  ROOT/gtFine/SPLIT/SEQ/ID_label.png

The archive has 1403 images for training; no number is compared for the other splits, since no
published one was found.

For research use; see the terms of the data set before anything trained on it
is released.

Source: Varma et al., "IDD: A Dataset for Exploring Problems of Autonomous
Navigation in Unconstrained Environments", WACV 2019; A. Mishra et al., "Semantic Segmentation
Datasets for Resource Constrained Training", NCVPRIPG 2019.
"""

from __future__ import annotations

from owseg.datasets.folder import FolderDataset
from owseg.datasets.label_spaces import IDD_LITE7, LabelSpace
from owseg.datasets.layout import Files, LabelFiles, Layout, Split, plain_codes


class IddLite(FolderDataset):
    """Paired images and label maps of one split; see `FolderDataset`."""

    name = "idd_lite"
    title = "IDD Lite"
    label_space: LabelSpace = IDD_LITE7
    splits = (
        Split(name="train", published=1403),
        Split(name="val"),
        Split(name="test", labelled=False),
    )
    layouts = (
        Layout(
            images=Files(folder="leftImg8bit/{split}", endings=("_image.jpg",), depth=1),
            labels=(
                LabelFiles(
                    folder="gtFine/{split}",
                    endings=("_label.png",),
                    depth=1,
                    codes=plain_codes(len(IDD_LITE7.names)),
                ),
            ),
        ),
    )
