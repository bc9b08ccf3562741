"""How large an unknown object must be to be believed: fitted on training images.

Nothing is unknown on the known pixels of a training image, so that every object there is a false
alarm. The smallest object is chosen so that few of them would stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import torch

from owseg.datasets import TruthMap
from owseg.datasets.base import Sample
from owseg.grouping.small import too_small, without
from owseg.types import IGNORE_ID, UNKNOWN_ID, UInt8Array, UInt16Array
from owseg_training.data.resize import load_at
from owseg_training.goss.groupings import ImageGrouping
from owseg_training.goss.methods import OBJECTS
from owseg_training.goss.scores import FittedScore, evidence_of
from owseg_training.incremental.bank import to_tensor
from owseg_training.models import DMLNet

FALSE_OBJECTS = 0.2
"""False objects of a training image that stay, on average, at most."""


class FalseObjects:
    """Collects the sizes of false objects."""

    def __init__(self) -> None:
        self._areas: list[int] = []
        self._images = 0

    def add(self, clusters: UInt16Array, known: UInt8Array) -> None:
        """Add one image.

        Args:
            clusters: (H, W) uint16 ids of the objects, 0 = none.
            known: (H, W) uint8 true known classes, 255 = void or held out; objects that lie
                there by more than half are no false ones.
        """
        areas = np.bincount(clusters.ravel())
        inside = np.bincount(clusters.ravel(), known.ravel() != IGNORE_ID)
        false = 2 * inside > areas
        false[0] = False
        self._areas += areas[false].tolist()
        self._images += 1

    def smallest(self) -> int:
        """Return the pixels an object must have, so that at most `FALSE_OBJECTS` an image stay."""
        allowed = int(FALSE_OBJECTS * self._images)
        falling = sorted(self._areas, reverse=True)
        return falling[allowed] + 1 if len(falling) > allowed else 1


def believed(
    open_set: UInt8Array, known: UInt8Array, clusters: UInt16Array, smallest: int
) -> tuple[UInt8Array, UInt16Array]:
    """Make what belongs to no object, or to one that is too small, known again.

    Args:
        open_set: (H, W) uint8 class ids, 255 = unknown.
        known: (H, W) uint8 best known classes.
        clusters: (H, W) uint16 ids of the objects, 0 = none.
        smallest: pixels of the smallest object that stays.
    """
    gone = too_small(clusters, smallest)
    return np.where(gone[clusters], known, open_set), without(clusters, gone)


@torch.no_grad()
def fit_objects(
    network: DMLNet,
    samples: Iterable[Sample],
    truth_map: TruthMap,
    size: tuple[int, int],
    scores: Mapping[str, FittedScore],
    grouping: ImageGrouping,
) -> dict[tuple[str, str], int]:
    """Fit the smallest objects of methods.

    Args:
        network: in evaluation mode.
        samples: of the training split.
        truth_map: says which pixels are known.
        size: (height, width) of the network's input.
        scores: fitted scores by method.
        grouping: of unknown pixels.

    Returns:
        Pixels by method and rule in `OBJECTS`.
    """
    device = next(network.parameters()).device
    found = {(name, rule): FalseObjects() for name in scores for rule in OBJECTS}
    for sample in samples:
        image, labels = load_at(sample, size)
        true = truth_map.apply(labels, truth_map.known_names).known
        evidence, direction = evidence_of(network, to_tensor(image, device))
        known = evidence.logits.argmax(dim=1)[0].cpu().numpy().astype(np.uint8)
        field = direction[0].cpu().numpy()
        for name, score in scores.items():
            unknown = dict(score.unknown(evidence))
            for rule, threshold in OBJECTS.items():
                mask = unknown[threshold][0].cpu().numpy()
                open_set = np.where(mask, np.uint8(UNKNOWN_ID), known)
                found[name, rule].add(grouping(sample.name, image, open_set, field), true)
    return {key: sizes.smallest() for key, sizes in found.items()}
