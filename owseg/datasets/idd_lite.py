"""IDD Lite: India Driving Dataset with seven classes at 320x227.

    ROOT/leftImg8bit/SPLIT/SEQ/ID_image.jpg  ROOT/gtFine/SPLIT/SEQ/ID_label.png

For research use; see the terms of the data set before anything trained on it
is released.

Source: Varma et al., "IDD: A Dataset for Exploring Problems of Autonomous
Navigation in Unconstrained Environments", WACV 2019.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from owseg.datasets.base import Sample
from owseg.datasets.label_spaces import IDD_LITE7, LabelSpace
from owseg.errors import DatasetError

SPLITS = ("train", "val")


class IddLite:
    """Paired images and label maps of one split.

    Args:
        root: folder of the data set.
        split: "train" or "val".

    Raises:
        DatasetError: the folder is missing or images and labels do not pair.
    """

    name = "idd_lite"
    label_space: LabelSpace = IDD_LITE7

    def __init__(self, root: str | Path, split: str = "train") -> None:
        self.root = Path(root)
        self.split = split
        if split not in SPLITS:
            raise DatasetError(f"IDD Lite has the splits {', '.join(SPLITS)}, not '{split}'")
        images, labels = self.root / "leftImg8bit" / split, self.root / "gtFine" / split
        for folder in (images, labels):
            if not folder.is_dir():
                raise DatasetError(f"{self.root} is no IDD Lite folder: {folder} is missing")
        self.samples = [_pair(path, labels) for path in sorted(images.glob("*/*_image.jpg"))]
        if not self.samples:
            raise DatasetError(f"IDD Lite split '{split}' at {self.root} is empty")
        unpaired = set(labels.glob("*/*_label.png")) - {s.label_path for s in self.samples}
        if unpaired:
            raise DatasetError(f"label map {min(unpaired)} has no image in {images}")

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.samples)


def _pair(image: Path, labels: Path) -> Sample:
    number = image.name.removesuffix("_image.jpg")
    label = labels / image.parent.name / f"{number}_label.png"
    if not label.is_file():
        raise DatasetError(f"label map {label} of image {image} is missing")
    return Sample(name=f"{image.parent.name}/{number}", image_path=image, label_path=label)
