"""Groupings of unknown pixels that are compared, and how whole images are partitioned."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from owseg.connectivity import connected_segments
from owseg.errors import InputError, OutputError
from owseg.grouping import SuperBpd, connected_components
from owseg.grouping.components import MAX_CLUSTERS, MIN_AREA_SHARE
from owseg.types import UNKNOWN_ID, FloatArray, UInt8Array, UInt16Array


class ImageGrouping(Protocol):
    """Groups the unknown pixels of one image of a data set."""

    def __call__(
        self, name: str, image: UInt8Array, open_set: UInt8Array, direction: FloatArray
    ) -> UInt16Array:
        """Return (H, W) uint16 ids, 0 = no segment.

        Args:
            name: of the image.
            image: (H, W, 3) uint8 RGB.
            open_set: (H, W) uint8, 255 = unknown.
            direction: (2, h, w) float32, the direction field of the network.
        """
        ...


class FieldGrouping:
    """Super-BPD on the direction field.

    Args:
        stride: output stride of the network.
    """

    def __init__(self, stride: int) -> None:
        self._group = SuperBpd(stride)

    def __call__(
        self, name: str, image: UInt8Array, open_set: UInt8Array, direction: FloatArray
    ) -> UInt16Array:
        """Group one image; see `ImageGrouping`."""
        return self._group(open_set, direction)


class MaskGrouping:
    """Connected components of the unknown pixels."""

    def __call__(
        self, name: str, image: UInt8Array, open_set: UInt8Array, direction: FloatArray
    ) -> UInt16Array:
        """Group one image; see `ImageGrouping`."""
        return connected_components(open_set)


class StoredClusters:
    """Clusters of whole images that were found beforehand, one file each.

    Segments are the connected parts of a cluster inside the unknown mask; small ones are none.

    Args:
        folder: of the files; made if missing.
        cluster: (H, W, 3) uint8 RGB -> (H, W) uint8 clusters; asked where a file is missing.
    """

    def __init__(self, folder: Path, cluster: Callable[[UInt8Array], UInt8Array]) -> None:
        self._folder, self._cluster = folder, cluster

    def __call__(
        self, name: str, image: UInt8Array, open_set: UInt8Array, direction: FloatArray
    ) -> UInt16Array:
        """Group one image; see `ImageGrouping`."""
        segments = connected_segments(self.clusters(name, image), open_set == UNKNOWN_ID)
        areas = np.bincount(segments.ravel())
        keep = areas >= MIN_AREA_SHARE * segments.size
        keep[0] = False
        kept = np.flatnonzero(keep)[:MAX_CLUSTERS]
        table = np.zeros(areas.size, np.uint16)
        table[kept] = np.arange(1, kept.size + 1)
        out: UInt16Array = table[segments]
        return out

    def clusters(self, name: str, image: UInt8Array) -> UInt8Array:
        """Return the clusters of an image, found now if they are not there.

        Raises:
            InputError: a file is there but no such map.
            OutputError: it cannot be written.
        """
        path = self._folder / f"{name}.png"
        if not path.is_file():
            self._write(path, self._cluster(image))
        found = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        if found is None or found.shape != image.shape[:2]:
            raise InputError(f"{path} is no map of the clusters of {name}; remove it")
        return found.astype(np.uint8, copy=False)

    def _write(self, path: Path, clusters: UInt8Array) -> None:
        """Write a file so that it is there as a whole or not at all."""
        part = path.with_suffix(".part.png")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if not cv2.imwrite(str(part), clusters):
                raise OutputError(f"cannot write {part}; is there space?")
            part.replace(path)
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror}") from error
