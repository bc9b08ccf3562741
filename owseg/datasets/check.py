"""Checks a data set on disk: what is missing, unpaired, unreadable or mislabelled, in words."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from owseg.datasets.base import Sample
from owseg.datasets.folder import FolderDataset, Pairing
from owseg.datasets.layout import JUNK, Split
from owseg.errors import DatasetError
from owseg.types import IGNORE_ID, UInt8Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        kind: "folder", "listing", "label map", "image", "number", "file", "void" or "anomaly".
        text: what is wrong, in words, with one example.
        count: how many files have it.
    """

    kind: str
    text: str
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitReport:
    """What was found of one split.

    Attributes:
        name: of the split.
        there: whether any of its folders exists.
        images: number of images.
        pairs: number of images with a label map.
        published: number of images as published; None = not known.
        findings: what is wrong.
        notes: what is worth knowing, and not wrong.
    """

    name: str
    there: bool
    images: int = 0
    pairs: int = 0
    published: int | None = None
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was found of a data set."""

    dataset: str
    root: str
    opened: bool
    splits: tuple[SplitReport, ...]
    notes: tuple[str, ...] = ()

    @property
    def findings(self) -> int:
        """Number of things that are wrong."""
        return sum(len(split.findings) for split in self.splits)

    def as_dict(self) -> dict[str, Any]:
        """Return the report for JSON."""
        return {"fine": not self.findings, **asdict(self)}


class Progress(Protocol):
    """Wraps the images of a split, e.g. with a progress bar."""

    def __call__(self, samples: Iterable[Sample], total: int, title: str) -> Iterable[Sample]:
        """Return the samples."""


def check_dataset(
    reader: type[FolderDataset],
    root: Path,
    progress: Progress,
    *,
    split: str = "",
    open_files: bool = True,
) -> Report:
    """Check the splits of a data set that are there.

    Args:
        reader: of the data set.
        root: its folder.
        progress: wraps the images that are opened.
        split: the only split to check; "" = all that are there.
        open_files: whether images and label maps are opened; else only names are compared.

    Raises:
        DatasetError: the folder is missing or is no such data set, or lacks the chosen split.
    """
    names = [part.name for part in reader.splits]
    if split and split not in names:
        raise DatasetError(f"{reader.title} has the splits {', '.join(names)}, not '{split}'")
    chosen = [split] if split else names
    if not any(reader.is_there(root, name) for name in chosen):
        reader.refuse_other_folders(root, chosen[0])
        reader.pairing(root, chosen[0])
        raise DatasetError(f"{root} has none of the splits {', '.join(chosen)} of {reader.title}")
    reports = [_check_split(reader, root, name, progress, open_files) for name in chosen]
    left = sum(bool(JUNK.fullmatch(name)) for _, _, files in os.walk(root) for name in files)
    notes = (f"{left} files of file managers (._*, .DS_Store, Thumbs.db) are passed over",)
    return Report(
        dataset=reader.name,
        root=str(root),
        opened=open_files,
        splits=tuple(reports),
        notes=notes if left else (),
    )


def _check_split(
    reader: type[FolderDataset], root: Path, name: str, progress: Progress, open_files: bool
) -> SplitReport:
    part = reader.part(name)
    if not reader.is_there(root, name):
        return SplitReport(name=name, there=False, published=part.published)
    try:
        pairing = reader.pairing(root, name)
    except DatasetError as error:
        finding = Finding(kind="listing", text=str(error))
        return SplitReport(name=name, there=True, published=part.published, findings=(finding,))
    gone = reader.missing(root, name)
    findings = [Finding(kind="folder", text=gone)] if gone else _unpaired(pairing)
    findings += _numbers(part, pairing)
    notes: list[str] = []
    if open_files and pairing.samples:
        seen = _Seen(reader, part)
        for sample in progress(pairing.samples, len(pairing.samples), f"{reader.name} {name}"):
            seen.look(sample)
        findings += seen.findings()
        notes += seen.notes()
    if not part.labelled:
        notes.append("its label maps are not public")
    return SplitReport(
        name=name,
        there=True,
        images=pairing.images,
        pairs=len(pairing.samples),
        published=part.published,
        findings=tuple(findings),
        notes=tuple(notes),
    )


def _unpaired(pairing: Pairing) -> list[Finding]:
    found = []
    if count := len(pairing.listed_only):
        text = f"{_number(count, 'listed image')} missing, e.g. {pairing.listed_only[0]}"
        found.append(Finding(kind="image", text=text, count=count))
    if count := len(pairing.unlabelled):
        image, wanted = pairing.unlabelled[0]
        text = f"{_number(count, 'image')} without a label map, e.g. {image}: no {wanted}"
        found.append(Finding(kind="label map", text=text, count=count))
    if count := len(pairing.orphans):
        label, folder = pairing.orphans[0]
        text = f"{_number(count, 'label map')} without an image, e.g. {label}: none in {folder}"
        found.append(Finding(kind="image", text=text, count=count))
    return found


def _numbers(part: Split, pairing: Pairing) -> list[Finding]:
    if part.published in (None, pairing.images):
        return []
    text = f"{_number(pairing.images, 'image')}, but {part.published} were published"
    return [Finding(kind="number", text=text, count=abs(part.published - pairing.images))]


@dataclass
class _Seen:
    """What the files of a split hold."""

    reader: type[FolderDataset]
    part: Split
    errors: dict[str, list[Path]] = field(default_factory=dict)
    void: list[Path] = field(default_factory=list)
    maps: int = 0
    pixels: Any = field(default_factory=lambda: np.zeros(256, np.int64))

    def look(self, sample: Sample) -> None:
        """Open image and label map of a sample."""
        image, labels = None, None
        try:
            image = sample.load_image()
        except DatasetError as error:
            self._add(sample.image_path, str(error))
        try:
            labels = sample.load_labels()
        except DatasetError as error:
            self._add(sample.label_path, str(error))
        if labels is not None:
            self._look_at_ids(sample.label_path, labels)
            if image is not None and image.shape[:2] != labels.shape:
                self._add(sample.label_path, "has another size than its image")

    def _look_at_ids(self, path: Path, labels: UInt8Array) -> None:
        counts = np.bincount(labels.ravel(), minlength=256)
        space = self.reader.label_space
        meant = [*range(len(space.names)), *space.void_ids, IGNORE_ID]
        strange = np.setdiff1d(np.flatnonzero(counts), meant)
        if strange.size:
            self._add(path, f"has the id {strange[0]}, which is no class of {self.reader.title}")
        if not counts[: len(space.names)].any():
            self.void.append(path)
        self.maps += 1
        self.pixels += counts

    def _add(self, path: Path, error: str) -> None:
        self.errors.setdefault(error.replace(str(path), "").strip(), []).append(path)

    def findings(self) -> list[Finding]:
        """Return what is wrong."""
        found = [
            Finding(
                kind="file",
                text=f"{paths[0]} {error}" + (f" (and {more} more)" if more else ""),
                count=len(paths),
            )
            for error, paths in self.errors.items()
            for more in (len(paths) - 1,)
        ]
        return found + self._void_maps() + self._no_anomaly()

    def _void_maps(self) -> list[Finding]:
        count, usual = len(self.void), self.part.empty_maps
        if count == self.maps and count:
            text = f"all {count} label maps are void throughout, e.g. {self.void[0]}"
        elif usual is not None and count > usual:
            text = (
                f"{_number(count, 'label map')} void throughout, e.g. {self.void[0]}; "
                f"{usual} are in the published data"
            )
        else:
            return []
        return [Finding(kind="void", text=text, count=count)]

    def _no_anomaly(self) -> list[Finding]:
        space = self.reader.label_space
        wanted = [space.id_of(name) for name in space.anomalies]
        if not (wanted and self.part.anomalies and self.maps) or self.pixels[wanted].any():
            return []
        text = (
            "no label map shows an anomaly; if these are masks of 0 and 255, save the anomalies "
            "as 1: 255 means void"
        )
        return [Finding(kind="anomaly", text=text, count=self.maps)]

    def notes(self) -> list[str]:
        """Return what is worth knowing."""
        names = self.reader.label_space.names
        unseen = [name for i, name in enumerate(names) if not self.pixels[i]]
        notes = []
        if unseen and len(unseen) < len(names) and not self.reader.label_space.anomalies:
            more = f" and {len(unseen) - 5} more" if len(unseen) > 5 else ""
            notes.append(f"no label map shows {', '.join(unseen[:5])}{more}")
        if self.void and len(self.void) < self.maps:
            notes.append(f"{_number(len(self.void), 'label map')} void throughout")
        return notes


def _number(count: int, what: str) -> str:
    return f"{count} {what}" + ("" if count == 1 else "s")
