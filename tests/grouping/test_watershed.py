"""The watershed on the shape of the mask: what it parts, what it leaves, and its ids."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from owseg.grouping import GROUPINGS, connected_components, shape_watershed


def drawn(size, *shapes):
    mask = np.zeros(size, np.uint8)
    for draw, *args in shapes:
        draw(mask, *args, 255, cv2.FILLED)
    return mask


def test_two_discs_that_touch_are_two():
    mask = drawn((120, 200), (cv2.circle, (60, 60), 40), (cv2.circle, (130, 60), 35))
    assert connected_components(mask).max() == 1
    found = shape_watershed(mask)
    assert found.max() == 2
    np.testing.assert_array_equal(found > 0, mask > 0)
    neck = np.argmin((mask[:, 60:130] > 0).sum(axis=0)) + 60
    assert (found[:, : neck - 4][mask[:, : neck - 4] > 0] == found[60, 60]).all()
    assert (found[:, neck + 4 :][mask[:, neck + 4 :] > 0] == found[60, 130]).all()


@pytest.mark.parametrize(
    "shape",
    [
        (cv2.rectangle, (20, 30), (180, 60)),
        (cv2.rectangle, (20, 10), (30, 110)),
        (cv2.circle, (100, 60), 50),
    ],
)
def test_one_convex_shape_is_one(shape):
    mask = drawn((120, 200), shape)
    np.testing.assert_array_equal(shape_watershed(mask), mask > 0)


def test_a_slightly_waisted_shape_is_one():
    mask = drawn((120, 200), (cv2.circle, (80, 60), 40), (cv2.circle, (110, 60), 40))
    assert shape_watershed(mask).max() == 1


def test_thin_lines_are_objects_too():
    mask = np.zeros((60, 80), np.uint8)
    mask[10, 5:70] = 255
    mask[30:32, 5:70] = 255
    found = shape_watershed(mask)
    assert found.max() == 2
    np.testing.assert_array_equal(found > 0, mask > 0)


def test_large_images_are_split_on_a_coarser_grid():
    shapes = ((cv2.circle, (400, 300), 200), (cv2.circle, (750, 300), 170))
    mask = drawn((701, 1203), *shapes)
    found = shape_watershed(mask)
    assert found.max() == 2
    assert ((found > 0) & (mask == 0)).sum() == 0
    assert ((found == 0) & (mask > 0)).mean() < 0.001


@given(
    hnp.arrays(
        np.uint8,
        st.tuples(st.integers(1, 14), st.integers(1, 14)),
        elements=st.sampled_from([0, 254, 255, 255]),
    ),
    st.sampled_from([0.0, 0.05]),
)
@settings(deadline=None, max_examples=100)
def test_it_refines_components(open_set, share):
    found, whole = shape_watershed(open_set, share), connected_components(open_set, share)
    assert found.dtype == np.uint16
    assert not found[whole == 0].any()
    ids = np.unique(found[found > 0]).tolist()
    assert ids == list(range(1, len(ids) + 1))
    firsts = [int(np.flatnonzero(found.ravel() == i)[0]) for i in ids]
    assert firsts == sorted(firsts)
    for i in ids:
        assert len(np.unique(whole[found == i])) == 1
        assert (found == i).sum() >= share * open_set.size
    if share == 0.0:
        np.testing.assert_array_equal(found > 0, open_set == 255)


def test_the_grouping_is_known_by_name():
    grouping = GROUPINGS["watershed"](4)
    grouping.warm_up()
    mask = drawn((60, 60), (cv2.circle, (30, 30), 20))
    assert not grouping.needs_direction
    np.testing.assert_array_equal(grouping(mask), shape_watershed(mask))
