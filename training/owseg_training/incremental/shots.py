"""The few annotated images: drawn from the training split, written down, loaded again.

A shot needs the class on more than 5 % of its pixels, as in the official code of the
paper. Where fewer images than wanted have that much of it (small classes such as
bicyclists), shots are drawn from the images that have the most: four times as many
as are wanted.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from owseg.datasets import DatasetReader
from owseg.errors import DatasetError, InputError
from owseg.replay.runner import write_json
from owseg.types import FloatArray
from owseg_training.data.resize import load_at
from owseg_training.incremental.bank import AnnotatedImage

SCHEMA = 1
MIN_SHARE = 0.05
POOL = 4
"""Where a class is small: images to draw from, for each shot."""


@dataclass(frozen=True, kw_only=True)
class ShotManifest:
    """Which images a class is learnt from.

    Attributes:
        dataset: name of the data set.
        split: its split.
        class_name: the class that is annotated.
        shots: number of images.
        seed: decides the draw.
        fallback: whether too few images had the class on more than `MIN_SHARE` of their pixels.
        images: names of the images.
    """

    dataset: str
    split: str
    class_name: str
    shots: int
    seed: int
    fallback: bool
    images: tuple[str, ...]

    @property
    def file_name(self) -> str:
        """Name of its file within a run."""
        return manifest_name(self.class_name, self.shots, self.seed)


def manifest_name(class_name: str, shots: int, seed: int) -> str:
    """Return the file name of the manifest of a draw."""
    return f"{class_name}_{shots}shot_seed{seed}.json".replace(" ", "_")


def counted(shots: int) -> str:
    """Return the number for people, e.g. "1 shot" or "5 shots"."""
    return f"{shots} shot{'s' * (shots != 1)}"


def class_shares(reader: DatasetReader) -> FloatArray:
    """Return the share of each label id in each image, (images, 256) float32."""
    shares = np.zeros((len(reader), 256), np.float32)
    title = f"{reader.name} {reader.split}: looking for shots"
    for row, sample in zip(shares, tqdm(list(reader), desc=title, unit="image"), strict=True):
        labels = sample.load()[1]
        row[:] = np.bincount(labels.ravel(), minlength=256) / labels.size
    return shares


def draw_shots(
    reader: DatasetReader, shares: FloatArray, class_name: str, shots: int, seed: int
) -> ShotManifest:
    """Draw the shots of a class.

    The draw depends on data set, class and seed alone; where the class is large enough, fewer
    shots are the first of more shots.

    Args:
        reader: the training split.
        shares: result of `class_shares`.
        class_name: the class.
        shots: number of images.
        seed: decides the draw.

    Raises:
        DatasetError: fewer images show the class at all.
    """
    label = reader.label_space.id_of(class_name)
    share = shares[:, label]
    present = int(np.count_nonzero(share))
    if present < shots:
        raise DatasetError(
            f"{counted(shots)} of '{class_name}' wanted, but {reader.name} {reader.split} shows "
            f"it in {present} images; ask for fewer with --shots"
        )
    candidates = np.flatnonzero(share > MIN_SHARE)
    fallback = len(candidates) < shots
    if fallback:
        candidates = np.sort(np.argsort(-share, kind="stable")[: min(POOL * shots, present)])
    order = np.random.default_rng([seed, label, 10]).permutation(candidates)[:shots]
    names = [sample.name for sample in reader]
    return ShotManifest(
        dataset=reader.name,
        split=reader.split,
        class_name=class_name,
        shots=shots,
        seed=seed,
        fallback=fallback,
        images=tuple(names[i] for i in order),
    )


def save_manifest(manifest: ShotManifest, folder: Path) -> Path:
    """Write a manifest into a folder; returns its path.

    Raises:
        OutputError: it cannot be written.
    """
    path = folder / manifest.file_name
    write_json(path, {"schema": SCHEMA, **asdict(manifest)})
    return path


def load_manifest(path: Path) -> ShotManifest:
    """Read a manifest.

    Raises:
        InputError: the file cannot be read or is no shot manifest.
    """
    try:
        raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if raw.pop("schema") != SCHEMA:
            raise ValueError(f"another schema than {SCHEMA}")
        return manifest_from_dict(raw)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is not a readable shot manifest ({error!r})") from error


def manifest_from_dict(raw: dict[str, Any]) -> ShotManifest:
    """Rebuild a manifest from `dataclasses.asdict`.

    Raises:
        ValueError, KeyError, TypeError: it is not one.
    """
    manifest = ShotManifest(**{**raw, "images": tuple(str(name) for name in raw["images"])})
    if len(set(manifest.images)) != manifest.shots or not manifest.images:
        raise ValueError(f"{manifest.shots} shots, but {len(manifest.images)} images")
    return manifest


def load_shots(
    reader: DatasetReader, manifest: ShotManifest, size: tuple[int, int]
) -> list[AnnotatedImage]:
    """Load the images with the annotation of the class, at (height, width).

    Raises:
        DatasetError: an image is not in the data set, or does not show the class at this size.
    """
    if (reader.name, reader.split) != (manifest.dataset, manifest.split):
        raise DatasetError(
            f"the shots of '{manifest.class_name}' come from {manifest.dataset} {manifest.split}, "
            f"not from {reader.name} {reader.split}"
        )
    samples = {sample.name: sample for sample in reader}
    label = reader.label_space.id_of(manifest.class_name)
    shots: list[AnnotatedImage] = []
    for name in manifest.images:
        if name not in samples:
            raise DatasetError(f"shot '{name}' is not in {reader.name} {reader.split}")
        image, labels = load_at(samples[name], size)
        mask = (labels == label).astype(np.uint8)
        if not mask.any():
            raise DatasetError(f"shot '{name}' does not show '{manifest.class_name}'")
        shots.append(AnnotatedImage(image, mask))
    return shots
