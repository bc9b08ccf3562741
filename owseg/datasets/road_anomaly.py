"""Road Anomaly: 60 pictures from the web of animals, rocks, cones and the like on roads.

    ROOT/frames/NAME.jpg|png|webp    ROOT/frames/NAME.labels/labels_semantic.png
    ROOT/images/NAME.jpg|png         ROOT/labels_masks/NAME.png          (as often repacked)

ROOT is the folder RoadAnomaly_jpg/ (or RoadAnomaly/) of the archive. Ids: 0 = background, 1 =
road, 2 = anomaly; 255 = void.

For research use: the images are not owned by the authors of the data set.

Source: K. Lis et al., "Detecting the Unexpected via Image Resynthesis", ICCV 2019: 60 images,
Section 4; layout: the readme.md of the archive; ids: the class names of the authors' loader and
`convert_labels_for_onroad_benchmark` of their benchmark.
"""

from __future__ import annotations

from owseg.datasets.folder import FolderDataset
from owseg.datasets.label_spaces import ANOMALY2, LabelSpace
from owseg.datasets.layout import Codes, Files, LabelFiles, Layout, Split

_CODES = Codes(ids={0: 0, 1: 0, 2: 1, 255: 255}, expected="0..2 or 255")
_IMAGES = (".jpg", ".png", ".webp")


class RoadAnomaly(FolderDataset):
    """Paired images and label maps; see `FolderDataset`."""

    name = "road_anomaly"
    title = "Road Anomaly"
    label_space: LabelSpace = ANOMALY2
    splits = (Split(name="test", published=60),)
    layouts = (
        Layout(
            images=Files(folder="frames", endings=_IMAGES),
            labels=(
                LabelFiles(folder="frames", endings=(".labels/labels_semantic.png",), codes=_CODES),
            ),
        ),
        Layout(
            images=Files(folder="images", endings=_IMAGES),
            labels=(LabelFiles(folder="labels_masks", endings=(".png",), codes=_CODES),),
        ),
    )
