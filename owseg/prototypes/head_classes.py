"""Classes with a head of their own (Pseudo Label Method): no prototype takes what they claim.

Pixels that a head claims are neither found nor falsely claimed by a new class, whatever its
radius. They say nothing about it, and are left out of its examples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from owseg.errors import ShotError
from owseg.manifest import Manifest
from owseg.prototypes.examples import CLASS, IGNORE
from owseg.types import UInt8Array

_MUCH = 0.2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reach:
    """What of a mask is within the reach of prototypes.

    Attributes:
        mask: (H, W) uint8, the mask with `IGNORE` where a head claims.
        kept: (256,) pixels of the class in the given mask by the class whose head claims them.
        pixels: all pixels of the class in the given mask.
    """

    mask: UInt8Array
    kept: npt.NDArray[np.int64]
    pixels: int


def within_reach(
    mask: UInt8Array, known: npt.NDArray[Any], manifest: Manifest, source: str = "shot"
) -> Reach:
    """Leave out of a mask what heads claim.

    Args:
        mask: (H, W) uint8 of `OTHER`, `CLASS` and `IGNORE`.
        known: (h, w) uint8, output of the graph without novel prototypes.
        manifest: of a network with heads.
        source: what to call the shot in messages.

    Raises:
        ShotError: heads claim all of the class.
    """
    called = cv2.resize(known, mask.shape[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    claimed = called >= len(manifest.classes) - manifest.heads
    kept = np.bincount(called[claimed & (mask == CLASS)], minlength=256)
    left = mask.copy()
    left[claimed] = IGNORE
    if not (left == CLASS).any():
        raise ShotError(
            f"{source}: to the model all of the mask is {manifest.classes[kept.argmax()].name}, a "
            "class that keeps its pixels; leave this shot out, or use a model without that head"
        )
    return Reach(mask=left, kept=kept, pixels=int((mask == CLASS).sum()))


def kept_by_heads(reaches: Sequence[Reach], manifest: Manifest) -> str:
    """Describe the class whose head keeps much of the masks; "" = none."""
    if not reaches:
        return ""
    kept = np.sum([reach.kept for reach in reaches], axis=0)
    share = kept.max() / sum(reach.pixels for reach in reaches)
    if share <= _MUCH:
        return ""
    name = manifest.classes[int(kept.argmax())].name
    return f"to the model {share:.0%} of the masks is {name}, a class that keeps its pixels"
