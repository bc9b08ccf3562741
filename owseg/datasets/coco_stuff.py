"""COCO-Stuff: all images of COCO 2017 with 80 classes of things and 91 of stuff.

    ROOT/images/train2017/ID.jpg          ROOT/annotations/train2017/ID.png
    ROOT/images/val2017/ID.jpg            ROOT/annotations/val2017/ID.png

The label maps are those of stuffthingmaps_trainval2017.zip: things 0..90, stuff 91..181, 255 =
unlabelled. They are mapped to 171 ids in a row when a sample is loaded. The folder images/ may
be left out, and annotations/ may be called stuffthingmaps/.

For research use; see the terms of the data set before anything trained on it is released.

Source: H. Caesar et al., "COCO-Stuff: Thing and Stuff Classes in Context", CVPR 2018; numbers
of images: its section 3, and the page of COCO 2017.
"""

from __future__ import annotations

import itertools

import numpy as np

from owseg.datasets.folder import FolderDataset
from owseg.datasets.label_spaces import LabelSpace, bright_color
from owseg.datasets.layout import Codes, Files, LabelFiles, Layout, Split
from owseg.types import IGNORE_ID, UInt8Array

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


USED = tuple(name for name in (*THINGS, *STUFF) if name not in UNUSED)
COCO_STUFF171 = LabelSpace(
    name="coco_stuff171",
    names=USED,
    colors=tuple(bright_color(place) for place in range(len(USED))),
)
"""The 171 classes that are annotated, in the order of their label ids."""


def train_ids() -> UInt8Array:
    """Return the lookup table (256,) uint8 from label id to 0..170; 255 = unlabelled."""
    table = np.full(256, IGNORE_ID, np.uint8)
    for label, name in enumerate((*THINGS, *STUFF)):
        if name not in UNUSED:
            table[label] = USED.index(name)
    return table


CODES = Codes(
    ids={
        **{label: int(i) for label, i in enumerate(train_ids()) if i != IGNORE_ID},
        IGNORE_ID: IGNORE_ID,
    },
    expected="the ids 0..181 or 255 of stuffthingmaps_trainval2017.zip that COCO-Stuff uses",
)

LAYOUTS = tuple(
    Layout(
        images=Files(folder=f"{images}{{split}}", endings=(".jpg",)),
        labels=(LabelFiles(folder=f"{labels}/{{split}}", endings=(".png",), codes=CODES),),
    )
    for images, labels in itertools.product(
        ("images/", ""), ("annotations", "stuffthingmaps", "stuffthingmaps_trainval2017")
    )
)


class CocoStuff(FolderDataset):
    """Paired images and label maps of one split; see `FolderDataset`."""

    name = "coco_stuff"
    title = "COCO-Stuff"
    label_space: LabelSpace = COCO_STUFF171
    splits = (
        Split(name="train", folder="train2017", published=118287),
        Split(name="val", folder="val2017", published=5000),
    )
    layouts = LAYOUTS
