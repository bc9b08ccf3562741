"""Connectivity labelling, against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from owseg.connectivity import connected_segments

SQUARE, CROSS = np.ones((3, 3)), ndimage.generate_binary_structure(2, 1)


@given(
    hnp.arrays(
        np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 2)
    ),
    st.integers(0, 2**32 - 1),
    st.sampled_from([4, 8]),
)
@settings(deadline=None, max_examples=150)
def test_equals_scipy(labels, seed, connectivity):
    where = np.random.default_rng(seed).random(labels.shape) < 0.8
    found = connected_segments(labels, where, connectivity)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found > 0, where)
    count = 0
    for value in range(3):
        structure = SQUARE if connectivity == 8 else CROSS
        parts, number = ndimage.label((labels == value) & where, structure)
        for part in range(1, number + 1):
            ids = np.unique(found[parts == part])
            assert ids.size == 1
            assert count < ids[0] <= count + number
        assert len(np.unique(found[parts > 0])) == number
        count += number
    assert found.max(initial=0) == count


@pytest.mark.parametrize(("connectivity", "segments"), [(8, 1), (4, 2)])
def test_diagonals(connectivity, segments):
    labels = np.array([[3, 0], [0, 3]], np.int32)
    assert connected_segments(labels, labels == 3, connectivity).max() == segments


def test_lower_classes_come_first_and_each_from_the_top():
    labels = np.array([[9, 0, 9], [0, 4, 0], [9, 0, 0]])
    found = connected_segments(labels, labels > 0, 4)
    assert found.tolist() == [[2, 0, 3], [0, 1, 0], [4, 0, 0]]
