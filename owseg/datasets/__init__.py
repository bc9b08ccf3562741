"""Torch-free readers of public data sets, label spaces and truth maps."""

from __future__ import annotations

from pathlib import Path

from owseg.datasets.base import DatasetReader, Sample
from owseg.datasets.bdd100k import Bdd100k
from owseg.datasets.bdd_anomaly import BddAnomaly
from owseg.datasets.camvid import CamVid
from owseg.datasets.cityscapes import Cityscapes
from owseg.datasets.coco import COCO80, Coco
from owseg.datasets.coco_stuff import COCO_STUFF171, CocoStuff
from owseg.datasets.fishyscapes import FishyscapesLostAndFound, FishyscapesStatic
from owseg.datasets.folder import FolderDataset
from owseg.datasets.idd import IDD26, Idd
from owseg.datasets.idd_lite import IddLite
from owseg.datasets.label_spaces import ANOMALY2, CAMVID11, CITYSCAPES19, IDD_LITE7, LabelSpace
from owseg.datasets.lost_and_found import LostAndFound
from owseg.datasets.road_anomaly import RoadAnomaly
from owseg.datasets.segment_me import RoadAnomaly21, RoadObstacle21
from owseg.datasets.street_hazards import STREET_HAZARDS14, StreetHazards
from owseg.datasets.truth_map import Truth, TruthMap, load_truth_map
from owseg.errors import UsageError

__all__ = [
    "ANOMALY2",
    "CAMVID11",
    "CITYSCAPES19",
    "COCO80",
    "COCO_STUFF171",
    "IDD26",
    "IDD_LITE7",
    "READERS",
    "STREET_HAZARDS14",
    "Bdd100k",
    "BddAnomaly",
    "CamVid",
    "Cityscapes",
    "Coco",
    "CocoStuff",
    "DatasetReader",
    "FishyscapesLostAndFound",
    "FishyscapesStatic",
    "FolderDataset",
    "Idd",
    "IddLite",
    "LabelSpace",
    "LostAndFound",
    "RoadAnomaly",
    "RoadAnomaly21",
    "RoadObstacle21",
    "Sample",
    "StreetHazards",
    "Truth",
    "TruthMap",
    "load_truth_map",
    "open_dataset",
]

READERS: dict[str, type[FolderDataset]] = {
    reader.name: reader
    for reader in (
        Bdd100k,
        BddAnomaly,
        CamVid,
        Cityscapes,
        Coco,
        CocoStuff,
        FishyscapesLostAndFound,
        FishyscapesStatic,
        Idd,
        IddLite,
        LostAndFound,
        RoadAnomaly,
        RoadAnomaly21,
        RoadObstacle21,
        StreetHazards,
    )
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
