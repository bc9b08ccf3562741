"""Connected components against scipy, and the limits of their ids."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from owseg.grouping import GROUPINGS, connected_components

EIGHT = np.ones((3, 3))
MASKS = hnp.arrays(
    np.uint8,
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
    elements=st.sampled_from([0, 7, 254, 255]),
)


def expected(open_set, min_area):
    """Label with scipy and drop the small ones; ids in any order."""
    labels, number = ndimage.label(open_set == 255, EIGHT)
    for label in range(1, number + 1):
        if (labels == label).sum() < min_area:
            labels[labels == label] = 0
    return labels


def same_partition(found, wanted):
    """Compare up to the numbering, which must be without gaps."""
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found > 0, wanted > 0)
    pairs = set(zip(found[found > 0].tolist(), wanted[wanted > 0].tolist(), strict=True))
    ids = sorted({f for f, _ in pairs})
    assert ids == list(range(1, len(pairs) + 1))
    assert len({w for _, w in pairs}) == len(pairs)


@given(MASKS, st.sampled_from([0.0, 0.02, 0.1, 0.5]))
@settings(deadline=None, max_examples=200)
def test_equals_scipy(open_set, share):
    found = connected_components(open_set, share)
    same_partition(found, expected(open_set, share * open_set.size))


def test_a_large_image_equals_scipy():
    noise = np.random.default_rng(1).random((360, 480))
    open_set = np.where(ndimage.gaussian_filter(noise, 3) > 0.505, 255, 3).astype(np.uint8)
    assert open_set.size > 65535
    found = connected_components(open_set)
    same_partition(found, expected(open_set, 2.5e-4 * open_set.size))
    assert found.max() > 20


def test_by_hand():
    u = 255
    open_set = np.array(
        [
            [u, 0, 0, 0, u],
            [0, u, 0, 0, u],
            [0, 0, 0, 0, 0],
            [254, 254, 0, u, 0],
        ],
        np.uint8,
    )
    want = [[1, 0, 0, 0, 2], [0, 1, 0, 0, 2], [0, 0, 0, 0, 0], [0, 0, 0, 3, 0]]
    np.testing.assert_array_equal(connected_components(open_set, 0), want)
    small_gone = [[1, 0, 0, 0, 2], [0, 1, 0, 0, 2], [0] * 5, [0] * 5]
    np.testing.assert_array_equal(connected_components(open_set, 0.1), small_gone)


def test_the_smallest_object_depends_on_the_size_of_the_image():
    open_set = np.zeros((360, 480), np.uint8)
    open_set[0, :43] = 255
    open_set[10, :44] = 255
    found = connected_components(open_set)  # 2.5e-4 of 172,800 pixels is 43.2
    assert not found[0].any()
    assert (found[10, :44] == 1).all()


@pytest.mark.parametrize("shape", [(5, 7), (300, 300)])
def test_nothing_unknown_and_all_unknown(shape):
    assert not connected_components(np.full(shape, 254, np.uint8)).any()
    assert (connected_components(np.full(shape, 255, np.uint8)) == 1).all()


def test_more_objects_than_ids():
    open_set = np.zeros((600, 600), np.uint8)
    open_set[::2, ::2] = 255  # 90,000 single pixels
    found = connected_components(open_set, 0)
    ids, sizes = np.unique(found[found > 0], return_counts=True)
    assert ids.tolist() == list(range(1, 65536))
    assert (sizes == 1).all()


def test_many_objects_in_a_small_image():
    open_set = np.zeros((254, 254), np.uint8)
    open_set[::2, ::2] = 255
    same_partition(connected_components(open_set, 0), expected(open_set, 0))


def test_the_grouping_is_known_by_name():
    grouping = GROUPINGS["components"](4)
    open_set = np.array([[255, 0, 0], [0, 0, 255]], np.uint8)
    assert not grouping.needs_direction
    grouping.warm_up()
    np.testing.assert_array_equal(grouping(open_set), connected_components(open_set))
