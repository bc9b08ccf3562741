"""How a data set lies on disk, as data: patterns of names, tables of ids, sizes of splits.

A reader is little more than these descriptions; `owseg.datasets.folder` finds and pairs the
files.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from owseg.errors import DatasetError
from owseg.types import IGNORE_ID, UInt8Array

_STRANGE = 254

JUNK = re.compile(r"\._.*|\.ds_store|thumbs\.db|desktop\.ini", re.IGNORECASE)
"""Names of files that file managers leave behind; readers pass over them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Codes:
    """Which ids the files of label maps hold, and what they become.

    Attributes:
        ids: id of the label space by id in the file; ids that are missing are an error.
        expected: the ids of the files in words, for messages.
    """

    ids: Mapping[int, int] = field(hash=False)
    expected: str

    def table(self) -> UInt8Array:
        """Return the lookup table (256,) uint8; 254 = an id that no file may hold."""
        table = np.full(256, _STRANGE, np.uint8)
        table[list(self.ids)] = list(self.ids.values())
        return table

    def decode(self, labels: UInt8Array, path: Path) -> UInt8Array:
        """Return the ids of the label space (H, W) uint8.

        Raises:
            DatasetError: the map holds an id that has no meaning.
        """
        ids = self.table()[labels]
        strange = ids == _STRANGE
        if strange.any():
            first = int(labels[strange].max())
            raise DatasetError(f"{path} has the id {first}, expected {self.expected}")
        return ids


def plain_codes(count: int, void: Sequence[int] = (IGNORE_ID,)) -> Codes:
    """Return the codes of files that hold the ids 0..count - 1 as they are, and void ones."""
    ids = {**{i: i for i in range(count)}, **dict.fromkeys(void, IGNORE_ID)}
    spoken = " or ".join(str(i) for i in void)
    return Codes(ids=ids, expected=f"0..{count - 1}{' or ' * bool(void)}{spoken}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """The files of one kind: FOLDER/NAME + ending.

    Attributes:
        folder: where they are, seen from the root; {split} is replaced.
        endings: what follows the name, upper and lower case alike; may hold a "/".
        depth: folders that are part of the name of an image, e.g. that of its city.
        skip: folders above those that are not.
    """

    folder: str
    endings: tuple[str, ...]
    depth: int = 0
    skip: int = 0

    def place(self, root: Path, split: str) -> Path:
        """Return the folder of a split."""
        return root / filled(self.folder, split)

    def path(self, root: Path, split: str, name: str) -> Path:
        """Return where the file of an image is expected."""
        return self.place(root, split) / ("*/" * self.skip + name + self.endings[0])

    def find(self, root: Path, split: str) -> dict[str, Path]:
        """Return the files of a split by name, in order; none where there is no folder."""
        found: dict[str, Path] = {}
        for name, path in self.walk(root, split):
            found.setdefault(name, path)
        return dict(sorted(found.items()))

    def walk(self, root: Path, split: str) -> Iterator[tuple[str, Path]]:
        """Yield name and path of the files of a split."""
        folder = self.place(root, split)
        levels = self.skip + self.depth + max(ending.count("/") for ending in self.endings)
        for path in _walk(folder, levels):
            name = self._name(path.relative_to(folder).as_posix())
            if name:
                yield name, path

    def _name(self, path: str) -> str:
        ending = next((e for e in self.endings if path.lower().endswith(e.lower())), None)
        parts = path[: -len(ending)].split("/") if ending else []
        fits = len(parts) == self.skip + self.depth + 1 and parts[-1]
        return "/".join(parts[self.skip :]) if fits else ""


def filled(text: str, split: str) -> str:
    """Return a text with {split} replaced, and {0}, {1} by the parts of a split "a|b"."""
    return text.format(*split.split("|"), split=split)


def _walk(folder: Path, levels: int) -> Iterator[Path]:
    """Yield the files of a folder and of those so many levels below it, linked ones too."""
    for place, folders, names in os.walk(folder, followlinks=True):
        below = len(Path(place).relative_to(folder).parts)
        folders[:] = sorted(folders) if below < levels else []
        yield from (Path(place, name) for name in sorted(names) if not JUNK.fullmatch(name))


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelFiles(Files):
    """The label maps of one kind, and the ids that they hold."""

    codes: Codes


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """One way in which a data set is laid out.

    Attributes:
        images: the image files.
        labels: kinds of label maps; an image has the first that is there.
        listing: text file with the names of a split, one a line; "" = the folders say it.
        number: regular expression for what a label map has in front of the name of its image;
            given where the label maps choose among the images of another data set.
        shown: the layout in words, for messages; "" = the folder that is missing.
    """

    images: Files
    labels: tuple[LabelFiles, ...]
    listing: str = ""
    number: str | None = None
    shown: str = ""

    def images_there(self, root: Path, split: str) -> bool:
        """Say whether the folder of the images is there."""
        return self.images.place(root, split).is_dir()

    def labels_there(self, root: Path, split: str) -> bool:
        """Say whether a folder of label maps is there."""
        return any(files.place(root, split).is_dir() for files in self.labels)


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """One split of a data set.

    Attributes:
        name: as given to a reader.
        folder: what stands for {split}, "a|b" for {0} and {1}; "" = the name.
        published: number of images as published; None = not known, never compared.
        labelled: whether the label maps are public.
        empty_maps: how many label maps of the published data are void throughout; None = not
            known, never compared.
        anomalies: whether images show anomalies, where the labels have such an id.
        choose: which names of the images belong to the split; None = all.
    """

    name: str
    folder: str = ""
    published: int | None = None
    labelled: bool = True
    empty_maps: int | None = None
    anomalies: bool = True
    choose: Callable[[Sequence[str]], Sequence[str]] | None = None

    @property
    def place(self) -> str:
        """Return what stands for {split}."""
        return self.folder or self.name
