"""Fishyscapes: the public validation sets, Lost and Found and Static.

Lost and Found has its own label maps of 100 images of the data set Lost and Found:

    ROOT/fishyscapes_lostandfound/NNNN_ID_labels.png
    ROOT/leftImg8bit/{train,test}/SCENE/ID_leftImg8bit.png     (also below ROOT/lostandfound/)
    ROOT/laf_images/ID_leftImg8bit.png                         (the 100 images on their own)

Static pastes objects into images of Cityscapes. Its archive holds what is added to an image:

    ROOT/fs_val_v3/NNNN_ID_labels.png  ROOT/fs_val_v3/NNNN_ID_rgb.npz   (v2 and v1 likewise)
    ROOT/leftImg8bit/val/CITY/ID_leftImg8bit.png

and a sample's image is the sum, clipped to 0..255. Ids of both: 0 = no anomaly, 1 = anomaly, 255 =
void. Often repacked, and read too: ROOT/images/NAME.png|jpg with ROOT/labels_masks/NAME.png.

The number of images of Static was not found in a source, so that it is not compared. The label
map of one image of Lost and Found is known to hold no anomaly.

The label maps of Lost and Found are CC BY 4.0; the images have the terms of Lost and Found and of
Cityscapes.

Source: H. Blum et al., "The Fishyscapes Benchmark", IJCV 2021; names and sums: fishyscapes_tfds.py
of github.com/hermannsblum/bdl-benchmark; 100 images: tracks_extra.py of
github.com/SegmentMeIfYouCan/road-anomaly-benchmark; licence: https://fishyscapes.com.
"""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from owseg.datasets.base import Sample
from owseg.datasets.folder import CodedSample, FolderDataset
from owseg.datasets.label_spaces import ANOMALY2, LabelSpace
from owseg.datasets.layout import Codes, Files, LabelFiles, Layout, Split, plain_codes
from owseg.errors import DatasetError
from owseg.types import UInt8Array

_NUMBER = r"\d+_"
_LABELS, _OVERLAY, _IMAGE = "_labels.png", "_rgb.npz", "_leftImg8bit.png"
_CODES = plain_codes(2)
_UNREADABLE = (
    *(OSError, ValueError, KeyError, EOFError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error),
)
"""What a damaged archive of numpy raises."""


def _layout(labels: str, images: Files) -> Layout:
    return Layout(
        images=images,
        labels=(LabelFiles(folder=labels, endings=(_LABELS,), codes=_CODES),),
        number=_NUMBER,
    )


_REPACKED = Layout(
    images=Files(folder="images", endings=(".png", ".jpg")),
    labels=(LabelFiles(folder="labels_masks", endings=(".png",), codes=_CODES),),
)


class FishyscapesLostAndFound(FolderDataset):
    """Paired images and label maps; see `FolderDataset`."""

    name = "fishyscapes_lost_and_found"
    title = "Fishyscapes Lost and Found"
    label_space: LabelSpace = ANOMALY2
    splits = (Split(name="val", published=100),)
    layouts = (
        *(
            _layout("fishyscapes_lostandfound", images)
            for images in (
                Files(folder="leftImg8bit", endings=(_IMAGE,), skip=2),
                Files(folder="lostandfound/leftImg8bit", endings=(_IMAGE,), skip=2),
                Files(folder="laf_images", endings=(_IMAGE,)),
            )
        ),
        _REPACKED,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class OverlaySample(CodedSample):
    """An image to which something is added when it is loaded."""

    overlay_path: Path

    def load_image(self) -> UInt8Array:
        """Return the image (H, W, 3) uint8 RGB with what is added."""
        base, overlay = Sample.load_image(self), self._overlay()
        if overlay.shape != base.shape:
            raise DatasetError(
                f"{self.overlay_path} is {overlay.shape}, its image {self.image_path} {base.shape}"
            )
        return np.clip(base.astype(np.int32) + overlay.astype(np.int32), 0, 255).astype(np.uint8)

    def _overlay(self) -> UInt8Array:
        try:
            with self.overlay_path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
                return np.asarray(file["rgb"])
        except _UNREADABLE as error:
            raise DatasetError(
                f"{self.overlay_path} is no readable overlay with an array 'rgb' ({error})"
            ) from error


class FishyscapesStatic(FolderDataset):
    """Paired images and label maps; see `FolderDataset`."""

    name = "fishyscapes_static"
    title = "Fishyscapes Static"
    label_space: LabelSpace = ANOMALY2
    splits = (Split(name="val"),)
    layouts = (
        *(
            _layout(folder, Files(folder="leftImg8bit/val", endings=(_IMAGE,), skip=1))
            for folder in ("fs_val_v3", "fs_val_v2", "fs_val_v1")
        ),
        _REPACKED,
    )

    @classmethod
    def sample(cls, name: str, image: Path, label: Path, codes: Codes) -> Sample:
        """Return the sample of a pair, with its overlay where the layout has one."""
        plain = super().sample(name, image, label, codes)
        if not label.name.lower().endswith(_LABELS):
            return plain
        overlay = label.with_name(label.name[: -len(_LABELS)] + _OVERLAY)
        return OverlaySample(
            name=name, image_path=image, label_path=label, codes=codes, overlay_path=overlay
        )
