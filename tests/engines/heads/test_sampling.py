"""Sources of pixels in the grid, by hand and against the definition."""

from __future__ import annotations

import numpy as np
import pytest

from owseg.engines.heads.sampling import sampling


def columns(places, cells, size):
    """Left cell, right cell and weight of the right one of each column, whatever the form."""
    if places.offset.size:
        step = places.offset.size
        left = np.array([x // step + places.offset[x % step] for x in range(size)])
        right = np.array([places.right[x % step] for x in range(size)])
    else:
        left, right = places.left, places.right
    padded = np.clip(np.arange(-1, cells + 1), 0, cells - 1)
    return padded[left], padded[left + 1], right


@pytest.mark.parametrize(
    ("cells", "size"), [(1, 1), (1, 4), (4, 16), (5, 5), (3, 24), (26, 101), (7, 23), (9, 4)]
)
def test_columns_and_rows_follow_the_definition(cells, size):
    places = sampling((cells, cells), (size, size))
    left, right, weight = columns(places, cells, size)
    for pixel in range(size):
        place = min(max((pixel + 0.5) * cells / size - 0.5, 0.0), cells - 1.0)
        for first, second, share in (
            (left[pixel], right[pixel], weight[pixel]),
            (places.upper[pixel], places.lower[pixel], places.down[pixel]),
        ):
            found = first * (1 - share) + second * share
            assert found == pytest.approx(place, abs=1e-5)
            assert 0 <= share <= 1


def test_a_whole_step_has_phases_and_another_one_has_not():
    whole, broken = sampling((2, 3), (8, 12)), sampling((2, 3), (8, 11))
    assert whole.offset.tolist() == [0, 0, 1, 1]
    assert whole.right.tolist() == [0.625, 0.875, 0.125, 0.375]
    assert whole.left.size == 0
    assert broken.offset.size == 0
    assert broken.left.shape == broken.right.shape == (11,)


def test_rows_at_the_border_repeat_it():
    places = sampling((2, 2), (8, 8))
    assert places.upper.tolist() == [0, 0, 0, 0, 0, 0, 1, 1]
    assert places.lower.tolist() == [1, 1, 1, 1, 1, 1, 1, 1]
    assert places.down.tolist() == [0, 0, 0.125, 0.375, 0.625, 0.875, 0.125, 0.375]
