"""The smallest unknown object that is believed."""

from __future__ import annotations

import numpy as np

from owseg.types import IGNORE_ID, UNKNOWN_ID
from owseg_training.goss.objects import FalseObjects, believed


def squares(*sides: int) -> np.ndarray:
    """Return clusters 1, 2, ... that are squares side by side."""
    clusters = np.zeros((20, 20 * len(sides)), np.uint16)
    for i, side in enumerate(sides):
        clusters[:side, 20 * i : 20 * i + side] = i + 1
    return clusters


def test_two_false_objects_in_ten_images_stay() -> None:
    found = FalseObjects()
    for sides in ((3, 8, 2), (9, 4), *[(5,)] * 8):
        clusters = squares(*sides)
        found.add(clusters, np.zeros(clusters.shape, np.uint8))
    assert found.smallest() == 25 + 1  # the squares of 8 and 9 stay, those of 5 do not
    none = FalseObjects()
    for _ in range(10):
        none.add(np.zeros((20, 20), np.uint16), np.zeros((20, 20), np.uint8))
    assert none.smallest() == 1


def test_objects_on_void_are_not_false() -> None:
    clusters = squares(10, 6, 5)
    known = np.zeros(clusters.shape, np.uint8)
    known[:, :9] = IGNORE_ID  # nine tenths of the first object
    known[:2, 20:40] = IGNORE_ID  # a third of the second
    found = FalseObjects()
    found.add(clusters, known)
    assert found.smallest() == 36 + 1


def test_what_is_not_believed_is_known_again() -> None:
    clusters = squares(6, 3, 7)
    known = np.full(clusters.shape, 4, np.uint8)
    open_set = np.where(clusters > 0, UNKNOWN_ID, known).astype(np.uint8)
    open_set[19, 0] = UNKNOWN_ID  # in no object
    left, ids = believed(open_set, known, clusters, 10)
    assert (ids == np.select([clusters == 1, clusters == 3], [1, 2], 0)).all()
    assert ((left == UNKNOWN_ID) == (ids > 0)).all()
    assert (left[ids == 0] == 4).all()
    same, again = believed(open_set, known, clusters, 1)
    assert (again == clusters).all()
    assert same[19, 0] == 4
