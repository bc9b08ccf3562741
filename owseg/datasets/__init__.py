"""Torch-free readers of public data sets, label spaces and truth maps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from owseg.datasets.base import DatasetReader, Sample
from owseg.datasets.camvid import CamVid
from owseg.datasets.cityscapes import Cityscapes
from owseg.datasets.coco_stuff import COCO_STUFF171, CocoStuff
from owseg.datasets.idd_lite import IddLite
from owseg.datasets.label_spaces import CAMVID11, CITYSCAPES19, IDD_LITE7, LabelSpace
from owseg.datasets.truth_map import Truth, TruthMap, load_truth_map
from owseg.errors import UsageError

__all__ = [
    "CAMVID11",
    "CITYSCAPES19",
    "COCO_STUFF171",
    "IDD_LITE7",
    "READERS",
    "CamVid",
    "Cityscapes",
    "CocoStuff",
    "DatasetReader",
    "IddLite",
    "LabelSpace",
    "Sample",
    "Truth",
    "TruthMap",
    "load_truth_map",
    "open_dataset",
]

READERS: dict[str, Callable[[str | Path, str], DatasetReader]] = {
    "camvid": CamVid,
    "cityscapes": Cityscapes,
    "coco_stuff": CocoStuff,
    "idd_lite": IddLite,
}
"""Data-set readers by name: (root, split) -> reader."""


def open_dataset(name: str, root: str | Path, split: str) -> DatasetReader:
    """Open one split of a data set.

    Raises:
        UsageError: no reader has this name.
        DatasetError: the folder is not that data set.
    """
    if name not in READERS:
        raise UsageError(f"no data set '{name}'; there are {', '.join(READERS)}")
    return READERS[name](root, split)
