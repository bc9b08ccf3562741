"""Lost and Found: small objects on the road, in the layout of Cityscapes.

    ROOT/leftImg8bit/SPLIT/SCENE/ID_leftImg8bit.png
    ROOT/gtCoarse/SPLIT/SCENE/ID_gtCoarse_labelIds.png        or
    ROOT/gtCoarse/SPLIT/SCENE/ID_gtCoarse_labelTrainIds.png

Label ids: 0 = unlabelled, 1 = free space, 2..43 = objects; train ids: 1 = free space, 2 = object,
0 and 255 = neither. Free space is "no anomaly", objects are anomalies, all else is void: only the
road is judged. That is the rule of the SegmentMeIfYouCan benchmark. It counts the objects that the
authors call no hazards (ids 31, 33, 34, 36 to 39) as anomalies; their own train ids make those
void, so that figures with the two kinds of map differ a little.

test_noknown is the part of the test images without children and bicycles, which are classes of
Cityscapes: without the scene 15_Rechbergstr_Deckenpfronn and three sequences, and without 17
frames whose maps are empty. Those 17 are known by their place among all 1203 test images, and are
left out only where all are there; elsewhere they count nowhere, since no pixel of them does.

For non-commercial use; see the terms of the data set.

Source: P. Pinggera et al., "Lost and Found: Detecting Small Road Hazards for Self-Driving
Vehicles", IROS 2016; sizes, ranges of ids, and the frames left out:
road_anomaly_benchmark/datasets/tracks.py of github.com/SegmentMeIfYouCan/road-anomaly-benchmark.
"""

from __future__ import annotations

from collections.abc import Sequence

from owseg.datasets.folder import FolderDataset
from owseg.datasets.label_spaces import ANOMALY2, LabelSpace
from owseg.datasets.layout import Codes, Files, LabelFiles, Layout, Split

TEST_IMAGES, LAST_OBJECT = 1203, 43
WITH_KNOWN = (
    "15_Rechbergstr_Deckenpfronn",
    "01_Hanns_Klemm_Str_45_000006",
    "01_Hanns_Klemm_Str_45_000007",
    "10_Schlossberg_9_000004",
)
"""Starts of the names of test images that show children or bicycles."""

EMPTY = frozenset((17, 37, 55, 72, 91, 110, 129, 153, 174, 197, 218, 353, 490, 618, 686, 792, 793))
"""Places of the test images whose label maps are empty, in order of their names from 0."""


def without_known(names: Sequence[str]) -> list[str]:
    """Choose the names of test_noknown among all of the test split, SCENE/ID."""
    whole = len(names) == TEST_IMAGES
    ordered = sorted(names, key=lambda name: name.rpartition("/")[2])
    return [
        name
        for place, name in enumerate(ordered)
        if not name.rpartition("/")[2].startswith(WITH_KNOWN) and not (whole and place in EMPTY)
    ]


_LABEL_IDS = Codes(
    ids={0: 255, 255: 255, 1: 0, **dict.fromkeys(range(2, LAST_OBJECT + 1), 1)},
    expected=f"0..{LAST_OBJECT} or 255",
)
_TRAIN_IDS = Codes(ids={0: 255, 255: 255, 1: 0, 2: 1}, expected="0..2 or 255")


class LostAndFound(FolderDataset):
    """Paired images and label maps of one split; see `FolderDataset`."""

    name = "lost_and_found"
    title = "Lost and Found"
    label_space: LabelSpace = ANOMALY2
    splits = (
        Split(name="train", published=1036, empty_maps=6),
        Split(name="test", published=TEST_IMAGES, empty_maps=len(EMPTY)),
        Split(name="test_noknown", folder="test", published=1043, choose=without_known),
    )
    layouts = (
        Layout(
            images=Files(
                folder="leftImg8bit/{split}",
                endings=("_leftImg8bit.png", "_leftImg8bit.webp", "_leftImg8bit.jpg"),
                depth=1,
            ),
            labels=tuple(
                LabelFiles(
                    folder="gtCoarse/{split}",
                    endings=(f"_gtCoarse_{kind}.png",),
                    depth=1,
                    codes=codes,
                )
                for kind, codes in (("labelIds", _LABEL_IDS), ("labelTrainIds", _TRAIN_IDS))
            ),
        ),
    )
