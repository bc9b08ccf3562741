"""Label spaces: which ids a data set uses, what they mean, how they are drawn."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

from owseg.errors import UsageError


def bright_color(place: int) -> tuple[int, int, int]:
    """Return one of many bright colours; neighbours differ by the golden angle in hue."""
    hue, value = place * 0.61803398875 % 1.0, (0.95, 0.75, 0.55)[place % 3]
    red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(hue, 0.65, value))
    return red, green, blue


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSpace:
    """The classes of a data set.

    Attributes:
        name: short name of the space.
        names: class names; the position is the label id.
        colors: RGB of each class, 0..255.
        void_ids: label ids that count nowhere (besides 255).
        anomalies: names that mean "an anomaly" whatever a model knows; without any, the
            anomalies of a model are the classes that it lacks.
    """

    name: str
    names: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...]
    void_ids: tuple[int, ...] = ()
    anomalies: tuple[str, ...] = ()

    def id_of(self, name: str) -> int:
        """Return the label id of a class.

        Raises:
            UsageError: no class has this name.
        """
        if name not in self.names:
            raise UsageError(
                f"{self.name} has no class '{name}'; its classes are {', '.join(self.names)}"
            )
        return self.names.index(name)


CAMVID11 = LabelSpace(
    name="camvid11",
    names=(
        "sky",
        "building",
        "pole",
        "road",
        "pavement",
        "tree",
        "sign",
        "fence",
        "car",
        "pedestrian",
        "bicyclist",
    ),
    colors=(
        (112, 168, 214),
        (128, 92, 84),
        (205, 205, 190),
        (110, 92, 128),
        (196, 128, 170),
        (92, 142, 76),
        (226, 188, 64),
        (120, 120, 172),
        (64, 72, 196),
        (206, 72, 72),
        (54, 170, 178),
    ),
    void_ids=(11,),
)
"""The 11 classes of CamVid as distributed with the SegNet tutorial; id 11 is void."""

CITYSCAPES19 = LabelSpace(
    name="cityscapes19",
    names=(
        "road",
        "sidewalk",
        "building",
        "wall",
        "fence",
        "pole",
        "traffic light",
        "traffic sign",
        "vegetation",
        "terrain",
        "sky",
        "person",
        "rider",
        "car",
        "truck",
        "bus",
        "train",
        "motorcycle",
        "bicycle",
    ),
    colors=(
        (110, 92, 128),
        (196, 128, 170),
        (128, 92, 84),
        (104, 104, 140),
        (120, 120, 172),
        (205, 205, 190),
        (236, 160, 60),
        (226, 188, 64),
        (92, 142, 76),
        (150, 190, 120),
        (112, 168, 214),
        (206, 72, 72),
        (232, 110, 110),
        (64, 72, 196),
        (40, 44, 120),
        (40, 110, 150),
        (30, 84, 104),
        (90, 60, 190),
        (54, 170, 178),
    ),
)
"""The 19 classes of Cityscapes that are evaluated, in the order of their train ids."""

IDD_LITE7 = LabelSpace(
    name="idd_lite7",
    names=(
        "drivable",
        "non-drivable",
        "living",
        "vehicle",
        "roadside object",
        "far object",
        "sky",
    ),
    colors=(
        (110, 92, 128),
        (196, 128, 170),
        (206, 72, 72),
        (64, 72, 196),
        (226, 188, 64),
        (128, 92, 84),
        (112, 168, 214),
    ),
)
"""The 7 classes of IDD Lite."""

ANOMALY2 = LabelSpace(
    name="anomaly2",
    names=("no anomaly", "anomaly"),
    colors=((128, 128, 128), (206, 72, 72)),
    anomalies=("anomaly",),
)
"""Benchmarks that say only what is an anomaly, not which class the rest is."""
