"""A data set of folders: finds the files of a split and pairs images with label maps."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from owseg.datasets.base import Sample
from owseg.datasets.label_spaces import LabelSpace
from owseg.datasets.layout import Codes, Layout, Split, filled
from owseg.errors import DatasetError
from owseg.types import UInt8Array

_MANY = 50
"""Folders that are looked at for each level when a root is searched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodedSample(Sample):
    """One image with a label map whose ids are translated."""

    codes: Codes

    def load_labels(self) -> UInt8Array:
        """Return the labels (H, W) uint8 in ids of the label space."""
        return self.codes.decode(Sample.load_labels(self), self.label_path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairing:
    """What was found of one split.

    Attributes:
        samples: images with their label maps, in order.
        unlabelled: images without a label map, with the map that is missing in words.
        orphans: label maps without an image, and the folder where it should be.
        listed_only: what a listing names, but no image has.
        images: number of images of the split.
    """

    samples: tuple[Sample, ...]
    unlabelled: tuple[tuple[Path, str], ...] = ()
    orphans: tuple[tuple[Path, Path], ...] = ()
    listed_only: tuple[str, ...] = ()
    images: int


class FolderDataset:
    """Paired images and label maps of one split.

    A data set is a subclass that says how it lies on disk.

    Args:
        root: folder of the data set.
        split: one of the splits whose label maps are public; the first by default.

    Raises:
        DatasetError: the folder is missing or no such data set, or images and label maps do
            not pair.
    """

    name: str
    title: ClassVar[str]
    label_space: LabelSpace
    splits: ClassVar[tuple[Split, ...]]
    layouts: ClassVar[tuple[Layout, ...]]

    def __init__(self, root: str | Path, split: str = "") -> None:
        self.root = Path(root)
        public = [part.name for part in self.splits if part.labelled]
        self.split = split or public[0]
        if self.split not in public:
            raise DatasetError(
                f"{self.title} has the splits {', '.join(public)}, not '{split}'{self._why(split)}"
            )
        self.refuse_other_folders(self.root, self.split)
        pairing = self.pairing(self.root, self.split)
        _refuse_unpaired(pairing)
        if not pairing.samples:
            raise DatasetError(f"{self.title} split '{self.split}' at {self.root} is empty")
        self.samples = list(pairing.samples)

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.samples)

    @classmethod
    def _why(cls, split: str) -> str:
        hidden = any(part.name == split for part in cls.splits)
        return "; its label maps are not public" if hidden else ""

    @classmethod
    def part(cls, split: str) -> Split:
        """Return the description of a split."""
        return next(part for part in cls.splits if part.name == split)

    # What lies where ---------------------------------------------------------------------------

    @classmethod
    def layout(cls, root: Path, split: str) -> Layout:
        """Return the layout that fits best."""
        folder = cls.part(split).place
        return max(
            cls.layouts,
            key=lambda way: 2 * way.images_there(root, folder) + way.labels_there(root, folder),
        )

    @classmethod
    def is_there(cls, root: Path, split: str) -> bool:
        """Say whether anything of a split lies below a root."""
        way, folder = cls.layout(root, split), cls.part(split).place
        if way.listing:
            return (root / filled(way.listing, folder)).is_file()
        return way.images_there(root, folder) or way.labels_there(root, folder)

    @classmethod
    def missing(cls, root: Path, split: str) -> str:
        """Name the first thing that a split lacks; "" where all folders are there."""
        way, folder = cls.layout(root, split), cls.part(split).place
        places = [way.images.place(root, folder)]
        if cls.part(split).labelled:
            # one kind of label maps is enough
            kinds = [files.place(root, folder) for files in way.labels]
            places.append(next((place for place in kinds if place.is_dir()), kinds[0]))
        gone = next((place for place in places if not place.is_dir()), None)
        if gone is None:
            return ""
        return f"expected {filled(way.shown, folder)}" if way.shown else f"{gone} is missing"

    @classmethod
    def refuse_other_folders(cls, root: Path, split: str) -> None:
        """Refuse a root that is missing or is no such data set; name a better one.

        Raises:
            DatasetError: with the folder to give, if one is near.
        """
        if not root.is_dir():
            raise DatasetError(f"no {cls.title} folder at {root}")
        what = cls.missing(root, split)
        if what:
            raise DatasetError(f"{root} is no {cls.title} folder: {what}{cls.better_root(root)}")

    @classmethod
    def better_root(cls, root: Path) -> str:
        """Return a hint with a folder near a root that holds the data set, or ""."""
        near = [*root.resolve().parents][:3]
        near += (children := _folders(root))
        near += [inner for child in children for inner in _folders(child)]
        for place in near:
            if place != root and any(cls._fits(place, part) for part in cls.splits):
                return f"; the data set seems to be at {place}, give that folder"
        return ""

    @classmethod
    def _fits(cls, root: Path, part: Split) -> bool:
        """Say whether all folders of a split are there, with an image in them."""
        images = cls.layout(root, part.name).images.walk(root, part.place)
        return not cls.missing(root, part.name) and next(images, None) is not None

    @classmethod
    def pairing(cls, root: Path, split: str) -> Pairing:
        """Find the files of a split and pair them; nothing is opened.

        Raises:
            DatasetError: a listing cannot be read.
        """
        part, way = cls.part(split), cls.layout(root, split)
        images = way.images.find(root, part.place)
        labels = _label_maps(way, root, part.place)
        if way.number is not None:
            return cls._chosen_by_labels(way, images, labels)
        names, listed_only = _names(way, root, part.place, images)
        if part.choose is not None:
            names = list(part.choose(names))
        pairs = [(name, labels[name]) for name in names if name in labels]
        unlabelled = [
            (images[name], _wanted(way, root, part.place, name))
            for name in names
            if name not in labels and part.labelled
        ]
        place = way.images.place(root, part.place)
        orphans = () if way.listing else sorted(labels.keys() - images.keys())
        return Pairing(
            samples=tuple(cls.sample(n, images[n], path, codes) for n, (path, codes) in pairs),
            unlabelled=tuple(unlabelled),
            orphans=tuple((labels[name][0], place) for name in orphans),
            listed_only=listed_only,
            images=len(names),
        )

    @classmethod
    def _chosen_by_labels(
        cls, way: Layout, images: dict[str, Path], labels: dict[str, tuple[Path, Codes]]
    ) -> Pairing:
        samples, orphans = [], []
        for name, (path, codes) in labels.items():
            image = images.get(re.sub(f"^(?:{way.number})", "", name))
            if image is None:
                orphans.append((path, Path(way.images.folder)))
            else:
                samples.append(cls.sample(name, image, path, codes))
        return Pairing(samples=tuple(samples), orphans=tuple(orphans), images=len(samples))

    @classmethod
    def sample(cls, name: str, image: Path, label: Path, codes: Codes) -> Sample:
        """Return the sample of a pair."""
        return CodedSample(name=name, image_path=image, label_path=label, codes=codes)


def _label_maps(way: Layout, root: Path, split: str) -> dict[str, tuple[Path, Codes]]:
    """Return path and codes by name; of several kinds of map the first."""
    found: dict[str, tuple[Path, Codes]] = {}
    for files in reversed(way.labels):
        found |= {name: (path, files.codes) for name, path in files.find(root, split).items()}
    return dict(sorted(found.items()))


def _names(
    way: Layout, root: Path, split: str, images: dict[str, Path]
) -> tuple[list[str], tuple[str, ...]]:
    """Return the names of a split, and those of a listing that no image has."""
    if not way.listing:
        return list(images), ()
    listing = root / filled(way.listing, split)
    if not listing.is_file():
        folder = filled(way.images.folder, split)
        raise DatasetError(f"{root} has {folder}/ but no {listing.relative_to(root)}")
    try:
        lines = listing.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{listing} is not a readable list of names ({error})") from error
    names = [line.strip() for line in lines if line.strip()]
    gone = tuple(f"{way.images.place(root, split) / n}" for n in names if n not in images)
    return [name for name in names if name in images], gone


def _wanted(way: Layout, root: Path, split: str, name: str) -> str:
    """Say which label map an image lacks."""
    first, *others = (files.path(root, split, name) for files in way.labels)
    return f"{first} (or {', '.join(path.name for path in others)})" if others else str(first)


def _folders(place: Path) -> list[Path]:
    try:
        return sorted(path for path in place.iterdir() if path.is_dir())[:_MANY]
    except OSError:
        return []


def _refuse_unpaired(pairing: Pairing) -> None:
    if pairing.listed_only:
        raise DatasetError(f"image {pairing.listed_only[0]}.[jpg|png] is missing")
    if pairing.unlabelled:
        image, wanted = pairing.unlabelled[0]
        raise DatasetError(f"label map {wanted} of image {image} is missing")
    if pairing.orphans:
        label, folder = pairing.orphans[0]
        raise DatasetError(f"label map {label} has no image in {folder}")
