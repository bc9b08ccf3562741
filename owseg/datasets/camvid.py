"""CamVid with 11 classes, as distributed with the SegNet tutorial.

Two layouts are read:

    ROOT/images/NAME.jpg  ROOT/labels/NAME.png  ROOT/splits/SPLIT.txt     (one name a line)
    ROOT/SPLIT/NAME.png   ROOT/SPLITannot/NAME.png                        (the original)

Source: G. Brostow et al., "Semantic object classes in video", PRL 2009.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from owseg.datasets.base import Sample
from owseg.datasets.label_spaces import CAMVID11, LabelSpace
from owseg.errors import DatasetError

SPLITS = ("train", "val", "test")
_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")


class CamVid:
    """Paired images and label maps of one split.

    Args:
        root: folder of the data set in either layout.
        split: "train", "val" or "test".

    Raises:
        DatasetError: the folder is missing, has neither layout, or images and labels do not pair.
    """

    name = "camvid"
    label_space: LabelSpace = CAMVID11

    def __init__(self, root: str | Path, split: str = "train") -> None:
        self.root = Path(root)
        self.split = split
        if split not in SPLITS:
            raise DatasetError(f"CamVid has the splits {', '.join(SPLITS)}, not '{split}'")
        if not self.root.is_dir():
            raise DatasetError(f"no CamVid folder at {self.root}")
        self.samples = self._listed() if (self.root / "images").is_dir() else self._original()
        if not self.samples:
            raise DatasetError(f"CamVid split '{split}' at {self.root} is empty")

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.samples)

    def _listed(self) -> list[Sample]:
        listing = self.root / "splits" / f"{self.split}.txt"
        if not listing.is_file():
            raise DatasetError(f"{self.root} has images/ but no {listing.relative_to(self.root)}")
        try:
            lines = listing.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DatasetError(f"{listing} is not a readable list of names ({error})") from error
        names = [line.strip() for line in lines if line.strip()]
        return [self._pair(name, self.root / "images", self.root / "labels") for name in names]

    def _original(self) -> list[Sample]:
        images, labels = self.root / self.split, self.root / f"{self.split}annot"
        if not images.is_dir() or not labels.is_dir():
            raise DatasetError(
                f"{self.root} is no CamVid folder: expected images/, labels/ and splits/, "
                f"or {self.split}/ and {self.split}annot/"
            )
        names = sorted(p.stem for p in images.iterdir() if p.suffix.lower() in _IMAGE_SUFFIXES)
        extra = {p.stem for p in labels.glob("*.png")} - set(names)
        if extra:
            raise DatasetError(f"label map {labels / min(extra)}.png has no image in {images}")
        return [self._pair(name, images, labels) for name in names]

    @staticmethod
    def _pair(name: str, images: Path, labels: Path) -> Sample:
        image = next((p for s in _IMAGE_SUFFIXES if (p := images / f"{name}{s}").is_file()), None)
        if image is None:
            raise DatasetError(f"image {images / name}.[jpg|png] is missing")
        label = labels / f"{name}.png"
        if not label.is_file():
            raise DatasetError(f"label map {label} of image {image} is missing")
        return Sample(name=name, image_path=image, label_path=label)
