"""COCO-Stuff: all images of COCO 2017 with 80 classes of things and 91 of stuff.

    ROOT/images/train2017/ID.jpg          ROOT/annotations/train2017/ID.png
    ROOT/images/val2017/ID.jpg            ROOT/annotations/val2017/ID.png

The label maps are those of stuffthingmaps_trainval2017.zip: things 0..90, stuff 91..181, 255 =
unlabelled. They are mapped to 171 ids in a row when a sample is loaded. The folder images/ may
be left out, and annotations/ may be called stuffthingmaps/.

For research use; see the terms of the data set before anything trained on it is released.

Source: H. Caesar et al., "COCO-Stuff: Thing and Stuff Classes in Context", CVPR 2018.
"""

from __future__ import annotations

import colorsys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from owseg.datasets.base import Sample
from owseg.datasets.label_spaces import LabelSpace
from owseg.errors import DatasetError
from owseg.types import IGNORE_ID, UInt8Array

SPLITS = ("train", "val")

_THINGS = """
    person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light,
    fire hydrant, street sign, stop sign, parking meter, bench, bird, cat, dog, horse, sheep,
    cow, elephant, bear, zebra, giraffe, hat, backpack, umbrella, shoe, eye glasses, handbag,
    tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove,
    skateboard, surfboard, tennis racket, bottle, plate, wine glass, cup, fork, knife, spoon,
    bowl, banana, apple, sandwich, orange, broccoli, carrot, hot dog, pizza, donut, cake,
    chair, couch, potted plant, bed, mirror, dining table, window, desk, toilet, door, tv,
    laptop, mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, refrigerator,
    blender, book, clock, vase, scissors, teddy bear, hair drier, toothbrush, hair brush
"""
_STUFF = """
    banner, blanket, branch, bridge, building-other, bush, cabinet, cage, cardboard, carpet,
    ceiling-other, ceiling-tile, cloth, clothes, clouds, counter, cupboard, curtain,
    desk-stuff, dirt, door-stuff, fence, floor-marble, floor-other, floor-stone, floor-tile,
    floor-wood, flower, fog, food-other, fruit, furniture-other, grass, gravel, ground-other,
    hill, house, leaves, light, mat, metal, mirror-stuff, moss, mountain, mud, napkin, net,
    paper, pavement, pillow, plant-other, plastic, platform, playingfield, railing, railroad,
    river, road, rock, roof, rug, salad, sand, sea, shelf, sky-other, skyscraper, snow,
    solid-other, stairs, stone, straw, structural-other, table, tent, textile-other, towel,
    tree, vegetable, wall-brick, wall-concrete, wall-other, wall-panel, wall-stone, wall-tile,
    wall-wood, water-other, waterdrops, window-blind, window-other, wood
"""
_NEVER = """
    blender, desk, door, eye glasses, hair brush, hat, mirror, plate, shoe, street sign,
    window
"""


def _names(text: str) -> tuple[str, ...]:
    return tuple(" ".join(name.split()) for name in text.split(","))


THINGS, STUFF = _names(_THINGS), _names(_STUFF)
"""Names by label id: 0..90, and 91..181."""

UNUSED = frozenset(_names(_NEVER))
"""Things that have a label id but are never annotated."""


def _color(place: int) -> tuple[int, int, int]:
    """Return one of many bright colours; neighbours differ by the golden angle in hue."""
    hue, value = place * 0.61803398875 % 1.0, (0.95, 0.75, 0.55)[place % 3]
    red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(hue, 0.65, value))
    return red, green, blue


USED = tuple(name for name in (*THINGS, *STUFF) if name not in UNUSED)
COCO_STUFF171 = LabelSpace(
    name="coco_stuff171", names=USED, colors=tuple(_color(place) for place in range(len(USED)))
)
"""The 171 classes that are annotated, in the order of their label ids."""


def train_ids() -> UInt8Array:
    """Return the lookup table (256,) uint8 from label id to 0..170; 255 = unlabelled."""
    table = np.full(256, IGNORE_ID, np.uint8)
    for label, name in enumerate((*THINGS, *STUFF)):
        if name not in UNUSED:
            table[label] = USED.index(name)
    return table


@dataclass(frozen=True, slots=True, kw_only=True)
class CocoStuffSample(Sample):
    """One image with its label map, on disk."""

    def load(self) -> tuple[UInt8Array, UInt8Array]:
        """Return the image (H, W, 3) uint8 RGB and the ids (H, W) uint8, 255 = unlabelled.

        Raises:
            DatasetError: a file cannot be decoded, the sizes differ, or a label has no class.
        """
        image, labels = Sample.load(self)
        ids = train_ids()[labels]
        strange = labels[(ids == IGNORE_ID) & (labels != IGNORE_ID)]
        if strange.size:
            raise DatasetError(
                f"{self.label_path} has the id {int(strange[0])}, which COCO-Stuff does not use; "
                "expected maps of stuffthingmaps_trainval2017.zip"
            )
        return image, ids


class CocoStuff:
    """Paired images and label maps of one split.

    Args:
        root: folder with images/ and annotations/.
        split: "train" or "val"; the labels of "test" are not public.

    Raises:
        DatasetError: the folder is missing or images and labels do not pair.
    """

    name = "coco_stuff"
    label_space: LabelSpace = COCO_STUFF171

    def __init__(self, root: str | Path, split: str = "train") -> None:
        self.root = Path(root)
        self.split = split
        if split not in SPLITS:
            raise DatasetError(f"COCO-Stuff has the splits {', '.join(SPLITS)}, not '{split}'")
        images = self._folder("images", ".")
        labels = self._folder("annotations", "stuffthingmaps", "stuffthingmaps_trainval2017")
        pairs = _by_stem(images, ".jpg"), _by_stem(labels, ".png")
        for missing in sorted(pairs[0].keys() - pairs[1].keys()):
            raise DatasetError(f"image {pairs[0][missing]} has no label map in {labels}")
        for missing in sorted(pairs[1].keys() - pairs[0].keys()):
            raise DatasetError(f"label map {pairs[1][missing]} has no image in {images}")
        if not pairs[0]:
            raise DatasetError(f"COCO-Stuff split '{split}' at {self.root} is empty")
        self.samples = [
            CocoStuffSample(name=name, image_path=path, label_path=pairs[1][name])
            for name, path in sorted(pairs[0].items())
        ]

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.samples)

    def _folder(self, *names: str) -> Path:
        choices = [self.root / name / f"{self.split}2017" for name in names]
        for folder in choices:
            if folder.is_dir():
                return folder
        raise DatasetError(f"{self.root} is no COCO-Stuff folder: {choices[0]} is missing")


def _by_stem(folder: Path, suffix: str) -> dict[str, Path]:
    return {path.stem: path for path in folder.iterdir() if path.suffix.lower() == suffix}
