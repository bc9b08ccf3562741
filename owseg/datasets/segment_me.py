"""SegmentMeIfYouCan: RoadAnomaly21 and RoadObstacle21.

    ROOT/images/NAME.jpg     ROOT/labels_masks/NAME_labels_semantic.png      RoadAnomaly21
    ROOT/images/NAME.webp    ROOT/labels_masks/NAME_labels_semantic.png      RoadObstacle21

ROOT is the folder dataset_AnomalyTrack/ or dataset_ObstacleTrack/ of the archive. Ids: 0 = no
anomaly (for obstacles: road), 1 = anomaly or obstacle, 255 = void. Only the images whose names
start with "validation" have public label maps; the others are scored by the benchmark's server.

The benchmark's loader leaves out validation images of RoadObstacle21 with some numbers (19, and 21
to 29) and expects 30 of the others; whether the public archive holds any of them is not known, so
that all that have a name of the validation part are read, and their number is compared with 30.

Images of RoadAnomaly21 come from the web under their own licences (credits.txt).

Source: R. Chan et al., "SegmentMeIfYouCan: A Benchmark for Anomaly Segmentation", NeurIPS 2021
Datasets and Benchmarks; layout, ids and sizes: road_anomaly_benchmark/datasets of
github.com/SegmentMeIfYouCan/road-anomaly-benchmark (100 test and 10 validation images; 442 in the
archive of RoadObstacle21, issue 5 of github.com/adynathos/road-anomaly-benchmark).
"""

from __future__ import annotations

from collections.abc import Sequence

from owseg.datasets.folder import FolderDataset
from owseg.datasets.label_spaces import ANOMALY2, LabelSpace
from owseg.datasets.layout import Files, LabelFiles, Layout, Split, plain_codes

_PUBLIC = "validation"


def _validation(names: Sequence[str]) -> list[str]:
    return [name for name in names if name.startswith(_PUBLIC)]


def _test(names: Sequence[str]) -> list[str]:
    return [name for name in names if not name.startswith(_PUBLIC)]


def _splits(validation: int, test: int) -> tuple[Split, ...]:
    return (
        Split(name="val", published=validation, choose=_validation),
        Split(name="test", published=test, choose=_test, labelled=False),
    )


class RoadAnomaly21(FolderDataset):
    """Paired images and label maps of one split; see `FolderDataset`."""

    name = "road_anomaly21"
    title = "RoadAnomaly21"
    label_space: LabelSpace = ANOMALY2
    splits = _splits(10, 100)
    layouts = (
        Layout(
            images=Files(folder="images", endings=(".jpg", ".png", ".webp")),
            labels=(
                LabelFiles(
                    folder="labels_masks",
                    endings=("_labels_semantic.png",),
                    codes=plain_codes(2),
                ),
            ),
        ),
    )


class RoadObstacle21(RoadAnomaly21):
    """Paired images and label maps of one split; see `FolderDataset`."""

    name = "road_obstacle21"
    title = "RoadObstacle21"
    splits = _splits(30, 412)
