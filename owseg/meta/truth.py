"""Unknown objects against ground truth: which are there, which are false, and what is missed.

An object is false if it has no pixel of a true anomaly (an IoU of 0), and a true object is missed
if no unknown object touches it. Objects that lie by more than half on pixels which count nowhere
are left out.

Source: Chan et al., Detecting and learning the unknown in semantic segmentation, 2022, Section 4.3
and Table 2.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from owseg.datasets.truth_map import Truth
from owseg.types import UInt16Array

MIN_TRUTH = 100
"""Smallest true object, in pixels."""

FALSE, TRUE, LEFT_OUT = 0, 1, -1


def judge(clusters: UInt16Array, truth: Truth) -> npt.NDArray[np.int8]:
    """Compare the objects of a frame with the truth.

    Args:
        clusters: (H, W) uint16 ids 1, 2, ..., 0 = none.
        truth: of the frame.

    Returns:
        (largest id,) int8: FALSE, TRUE or LEFT_OUT.
    """
    count = int(clusters.max(initial=0))
    area, valid, hit = (
        np.bincount(clusters[where], minlength=count + 1)[1:]
        for where in (np.ones(clusters.shape, bool), truth.valid, truth.anomaly)
    )
    verdict = np.where(hit > 0, TRUE, FALSE)
    verdict[(hit == 0) & (2 * valid < area) | (area == 0)] = LEFT_OUT
    return verdict.astype(np.int8)


def finders(clusters: UInt16Array, truth: Truth) -> list[npt.NDArray[np.intp]]:
    """Return, for each true object of at least `MIN_TRUTH` pixels, the ids that touch it.

    Args:
        clusters: (H, W) uint16 ids 1, 2, ..., 0 = none.
        truth: of the frame.

    Returns:
        One array of ids for each object; an empty one for an object that is missed.
    """
    mask = truth.anomaly.view(np.uint8)
    _, objects, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    touching = (objects > 0) & (clusters > 0)
    pairs = np.unique(np.stack((objects[touching], clusters[touching]), axis=1), axis=0)
    there = np.flatnonzero(stats[1:, cv2.CC_STAT_AREA] >= MIN_TRUTH) + 1
    return [pairs[pairs[:, 0] == number, 1].astype(np.intp) for number in there]


@dataclass(kw_only=True)
class ObjectCounts:
    """Objects of a data set: how many are found, missed and false.

    Attributes:
        found: true objects that an unknown object touches.
        missed: true objects that none touches.
        false: unknown objects that are no true one.
    """

    found: int = 0
    missed: int = 0
    false: int = 0

    def update(self, clusters: UInt16Array, truth: Truth) -> None:
        """Add one frame; arguments as in `judge`."""
        touching = finders(clusters, truth)
        found = sum(ids.size > 0 for ids in touching)
        self.found += found
        self.missed += len(touching) - found
        self.false += int(np.count_nonzero(judge(clusters, truth) == FALSE))

    @property
    def f1(self) -> float | None:
        """2 found / (2 found + missed + false); None without any."""
        base = 2 * self.found + self.missed + self.false
        return 2 * self.found / base if base else None

    def as_dict(self) -> dict[str, float | int | None]:
        """Numbers and None, ready for JSON."""
        return {"found": self.found, "missed": self.missed, "false": self.false, "f1": self.f1}
