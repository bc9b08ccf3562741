"""Merging on the graph of regions against the slow one, and cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from owseg.grouping import _regions
from owseg.grouping.partition import Limits

LIMITS = Limits(
    turn=32,
    radius=2,
    repel=124.5,
    weak_large=30.0,
    weak_small=50.0,
    small=4.0,
    large=40.0,
    sliver=0.0,
    smallest=0.0,
    max_roots=1.0,
)


def fast(areas, borders, limits):
    """Merge regions: areas by id from 1, borders {(i, j): (cells, sum of angles)}.

    Returns:
        The number of the region of each id.
    """
    keys = np.array([i << 32 | j for i, j in borders], np.int64)
    cells = np.array([count for count, _ in borders.values()], np.int64)
    means = np.array([total / count for count, total in borders.values()], np.float64)
    area = np.array([0, *areas], np.int32)
    parent = _regions.merge_regions(keys, means, area, *limits[2:7])
    _regions.absorb_slivers(parent, area, keys, cells, limits.sliver)
    numbers = _regions.number_regions(parent, area, limits.smallest, 65535)
    assert numbers[0] == 0
    return numbers[1:].tolist()


def slowly(slow, areas, borders, limits):
    """Do the same with the slow one."""
    ids = {(i, k): i for i, area in enumerate(areas, start=1) for k in range(area)}
    total = {pair: border[1] for pair, border in borders.items()}
    count = {pair: border[0] for pair, border in borders.items()}
    regions = slow.merged(ids, total, count, limits)
    numbers = slow.numbered((len(areas) + 1, max(areas)), ids, regions, limits.smallest)
    return numbers[1:, 0].tolist()


@given(st.integers(0, 2**32 - 1), st.integers(1, 14), st.sampled_from([0.1, 0.3, 0.7]))
@settings(deadline=None, max_examples=400)
def test_equals_the_slow_one(slow, seed, count, share):
    rng = np.random.default_rng(seed)
    areas = rng.integers(1, 30, count).tolist()
    pairs = [(i, j) for i in range(1, count + 1) for j in range(i + 1, count + 1)]
    borders = {}
    for k in rng.permutation(len(pairs)):
        if rng.random() < share:
            cells = int(rng.integers(1, 4))
            # few different means: ties are broken by the ids
            borders[pairs[k]] = (cells, cells * int(rng.choice([0, 10, 40, 64, 128])))
    limits = LIMITS._replace(
        repel=float(rng.choice([60, 124.5])),
        weak_large=float(rng.choice([0, 30, 128])),
        weak_small=float(rng.choice([0, 50])),
        small=float(rng.choice([0, 4, 12])),
        large=float(rng.choice([8, 40])),
        sliver=float(rng.choice([0, 5, 20])),
        smallest=float(rng.choice([0, 6])),
    )
    assert fast(areas, borders, limits) == slowly(slow, areas, borders, limits)


def test_many_borders_of_one_mean(slow):
    # more than fit a bucket that is sorted by insertion, in an order that is not that of ids
    rng = np.random.default_rng(1)
    pairs = [(i, j) for i in range(1, 25) for j in range(i + 1, 25)]
    borders = {pairs[k]: (2, 20) for k in rng.permutation(len(pairs))}
    areas = rng.integers(1, 9, 24).tolist()
    limits = LIMITS._replace(weak_small=0.0, weak_large=0.0, small=3.0)
    assert fast(areas, borders, limits) == slowly(slow, areas, borders, limits)


def test_large_regions_need_a_weaker_border():
    borders = {(1, 2): (10, 400)}  # 40 of 128: between the limits of large and other regions
    assert fast([40, 41], borders, LIMITS) == [1, 1]
    assert fast([41, 41], borders, LIMITS) == [1, 2]
    assert fast([41, 41], {(1, 2): (10, 299)}, LIMITS) == [1, 1]


def test_limits_are_strict():
    assert fast([10, 10], {(1, 2): (2, 100)}, LIMITS) == [1, 2]
    assert fast([10, 10], {(1, 2): (2, 99)}, LIMITS) == [1, 1]
    assert fast([10, 10], {(1, 2): (2, 249)}, LIMITS._replace(weak_small=128.0)) == [1, 1]
    assert fast([10, 10], {(1, 2): (2, 250)}, LIMITS._replace(weak_small=128.0)) == [1, 2]


def test_a_small_region_merges_over_a_strong_border_but_not_against_repulsion():
    assert fast([10, 4], {(1, 2): (1, 124)}, LIMITS) == [1, 1]
    assert fast([10, 5], {(1, 2): (1, 124)}, LIMITS) == [1, 2]
    assert fast([10, 4], {(1, 2): (1, 128)}, LIMITS) == [1, 2]


def test_repulsion_stays_with_merged_regions():
    # 1 and 2 repel; 3 joins 1, and 4 joins 2; then neither 3 - 4 nor 3 - 2 may join
    borders = {
        (1, 2): (5, 5 * 128),
        (1, 3): (5, 5),
        (2, 4): (5, 10),
        (3, 4): (5, 15),
        (2, 3): (5, 20),
    }
    assert fast([10] * 4, borders, LIMITS) == [1, 2, 1, 2]


def test_the_weakest_border_goes_first():
    borders = {(1, 2): (5, 5 * 128), (1, 3): (5, 20), (2, 3): (5, 19)}
    assert fast([10] * 3, borders, LIMITS) == [1, 2, 2]
    borders[2, 3] = (5, 20)  # a tie: 1 - 3 comes first
    assert fast([10] * 3, borders, LIMITS) == [1, 2, 1]


def test_slivers_go_to_the_longest_border():
    strong = 124
    borders = {(1, 2): (3, 3 * strong), (2, 3): (4, 4 * strong), (1, 3): (9, 9 * strong)}
    limits = LIMITS._replace(small=0.0, sliver=10.0)
    assert fast([20, 5, 20], borders, limits) == [1, 2, 2]
    borders[1, 2] = (4, 4 * strong)  # a tie: the lower id
    assert fast([20, 5, 20], borders, limits) == [1, 1, 2]


def test_borders_of_merged_regions_count_together():
    # 2 and 3 are one region: together they have the longer border with the sliver 4
    strong = 124
    borders = {
        (1, 4): (5, 5 * strong),
        (2, 4): (3, 3 * strong),
        (3, 4): (3, 3 * strong),
        (2, 3): (4, 0),
    }
    limits = LIMITS._replace(small=0.0, sliver=10.0)
    assert fast([20, 20, 20, 5], borders, limits) == [1, 2, 2, 2]


def test_the_smallest_sliver_goes_first_and_one_that_has_grown_stays():
    strong = 124
    borders = {(1, 2): (1, strong), (2, 3): (5, 5 * strong)}
    limits = LIMITS._replace(small=0.0, sliver=10.0)
    # 3 joins 2, which is large enough then
    assert fast([20, 8, 4], borders, limits) == [1, 2, 2]
    # 3 joins 2, and both go to 1
    assert fast([20, 5, 4], borders, limits) == [1, 1, 1]


@pytest.mark.parametrize(("smallest", "wanted"), [(0.0, [1, 2, 3]), (3.0, [1, 0, 2])])
def test_numbers_have_no_gaps(smallest, wanted):
    assert fast([3, 2, 3], {}, LIMITS._replace(smallest=smallest)) == wanted


def test_more_regions_than_numbers():
    parent, area = np.arange(6, dtype=np.int32), np.full(6, 5, np.int32)
    assert _regions.number_regions(parent, area, 0.0, 3).tolist() == [0, 1, 2, 3, 0, 0]
