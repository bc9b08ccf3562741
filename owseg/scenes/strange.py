"""Strange objects: what no class of the label space covers, as cut-outs."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from owseg.errors import UsageError
from owseg.scenes import strange_animals, strange_blobs, strange_goods, strange_road, strange_toys
from owseg.scenes.seeds import stream
from owseg.scenes.solids import Part, render_parts
from owseg.scenes.sprite import Sprite, size_for
from owseg.types import UInt8Array

STRANGE_KINDS: Mapping[str, Callable[[random.Random], list[Part]]] = {
    "balloon": strange_toys.balloon,
    "barrel": strange_road.barrel,
    "bathtub": strange_goods.bathtub,
    "bird": strange_animals.bird,
    "blimp": strange_toys.blimp,
    "boulder": strange_road.boulder,
    "boxes": strange_goods.boxes,
    "chair": strange_goods.chair,
    "cones": strange_road.cones,
    "cow": strange_animals.cow,
    "deer": strange_animals.deer,
    "dog": strange_animals.dog,
    "fridge": strange_goods.fridge,
    "heap": strange_blobs.heap,
    "ladder": strange_road.ladder,
    "logs": strange_road.logs,
    "mattress": strange_goods.mattress,
    "pallet": strange_goods.pallet,
    "piano": strange_goods.piano,
    "pram": strange_toys.pram,
    "sacks": strange_road.sacks,
    "sofa": strange_goods.sofa,
    "spool": strange_road.spool,
    "statue": strange_toys.statue,
    "suitcase": strange_goods.suitcase,
    "teddy": strange_toys.teddy,
    "television": strange_goods.television,
    "trolley": strange_road.trolley,
    "tyres": strange_road.tyres,
    "umbrella": strange_toys.umbrella,
    "wheelbarrow": strange_road.wheelbarrow,
}
"""Kinds of strange objects: name to a function that returns the parts of a new one."""

BLOB_SHARE = 0.25
"""Share of abstract blobs among the cut-outs of `strange_object`."""


def strange_sprite(kind: str, variant: int, rows: int) -> Sprite:
    """Return variant number `variant` of a kind in `STRANGE_KINDS`, drawn for about `rows` rows."""
    return _strange_sprite(kind, variant, size_for(rows))


@lru_cache(maxsize=512)
def _strange_sprite(kind: str, variant: int, pixels: int) -> Sprite:
    rng = stream(7919, sorted(STRANGE_KINDS).index(kind), variant)
    parts = STRANGE_KINDS[kind](rng)
    return render_parts(
        parts, pixels=pixels, yaw=rng.uniform(-0.5, 0.5), pitch=rng.uniform(0.08, 0.2)
    )


def strange_object(rng: np.random.Generator, size: int) -> tuple[UInt8Array, npt.NDArray[np.bool_]]:
    """Return the cut-out of one new strange object, to be pasted into a photograph.

    Args:
        rng: source of randomness; the same state gives the same object.
        size: longer side in pixels, at least 8.

    Returns:
        (h, w, 3) uint8 RGB picture and (h, w) bool mask; max(h, w) is `size` give or take one.

    Raises:
        UsageError: the size is below 8.
    """
    if size < 8:
        raise UsageError(f"the size of a strange object must be at least 8 pixels, not {size}")
    own = random.Random(int(rng.integers(1 << 62)))
    if own.random() < BLOB_SHARE:
        sprite = strange_blobs.blob(own, size)
    else:
        parts = STRANGE_KINDS[own.choice(sorted(STRANGE_KINDS))](own)
        sprite = render_parts(
            parts, pixels=size, yaw=own.uniform(-3.1, 3.1), pitch=own.uniform(0.0, 0.35)
        )
    image = _jittered(sprite.color, own)
    mask = sprite.alpha > 127
    if own.random() < 0.5:
        image, mask = np.ascontiguousarray(image[:, ::-1]), np.ascontiguousarray(mask[:, ::-1])
    return image, mask


def _jittered(image: UInt8Array, rng: random.Random) -> UInt8Array:
    """Return the picture with another brightness, contrast and grain."""
    gain, lift = rng.uniform(0.55, 1.15), rng.uniform(-12, 25)
    grain = np.random.default_rng(rng.getrandbits(32)).normal(0, rng.uniform(1, 7), image.shape[:2])
    soft = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.2, 0.9))
    return np.clip(soft * gain + lift + grain[..., None], 0, 255).astype(np.uint8)
