"""The shots of a run: of an earlier run in the same folder, given, or drawn now."""

from __future__ import annotations

from pathlib import Path

from owseg.datasets import DatasetReader
from owseg.errors import InputError, UsageError
from owseg.types import FloatArray
from owseg_training.incremental.shots import (
    ShotManifest,
    class_shares,
    draw_shots,
    load_manifest,
    manifest_name,
    save_manifest,
)


class Draws:
    """Shot manifests in a folder; those that are missing are copied or drawn when asked for.

    Args:
        reader: the training split.
        folder: where the manifests of the run are.
        given: folder of manifests to use instead of drawing; None = draw.
    """

    def __init__(self, reader: DatasetReader, folder: Path, given: Path | None = None) -> None:
        self.reader = reader
        self.folder = folder
        self.given = given
        self._shares: FloatArray | None = None

    def get(self, class_name: str, shots: int, seed: int) -> ShotManifest:
        """Return the shots of a class.

        Raises:
            DatasetError: the split shows the class in too few images.
            InputError: a manifest cannot be read, or is not what its name says.
            UsageError: the run has other shots than those given.
            OutputError: the folder cannot be written.
        """
        own = self.folder / manifest_name(class_name, shots, seed)
        wanted = None
        if self.given is not None:
            wanted = _matching(self.given / own.name, class_name, shots, seed)
        if own.is_file():
            found = _matching(own, class_name, shots, seed)
            if wanted is not None and found.images != wanted.images:
                raise UsageError(f"{own} has other shots than {self.given}; choose another --out")
            return found
        manifest = wanted or draw_shots(self.reader, self.shares, class_name, shots, seed)
        save_manifest(manifest, self.folder)
        return manifest

    @property
    def shares(self) -> FloatArray:
        """Share of each label id in each image; all label maps are read on first use."""
        if self._shares is None:
            self._shares = class_shares(self.reader)
        return self._shares


def _matching(path: Path, class_name: str, shots: int, seed: int) -> ShotManifest:
    """Load a manifest that must be the one its file name says."""
    manifest = load_manifest(path)
    if (manifest.class_name, manifest.shots, manifest.seed) != (class_name, shots, seed):
        raise InputError(
            f"{path} is about {manifest.shots} shots of '{manifest.class_name}' with seed "
            f"{manifest.seed}; its name says something else"
        )
    return manifest
