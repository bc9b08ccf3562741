"""The fast partition into super-BPDs against the slow one, bit for bit, and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from owseg.errors import UsageError
from owseg.grouping import PartitionRules
from owseg.grouping.partition import PAD, Limits, Partition, limits_of

LENIENT = Limits(
    turn=32,
    radius=2,
    repel=124.5,
    weak_large=30.0,
    weak_small=50.0,
    small=4.0,
    large=40.0,
    sliver=6.0,
    smallest=0.0,
    max_roots=1.0,
)
RADIANS = 2 * math.pi / 256


@pytest.fixture(scope="module")
def work():
    """Give one set of buffers for all: what a frame leaves behind must not change the next."""
    return Partition()


def fast(work, angle, mask, limits):
    """Run the fast partition on (h, w) angles and mask."""
    height, width = angle.shape
    work.lay_out(height, width)
    work.angle[:], work.mask[:] = 201, 0  # rubbish where nothing may look
    ring = slice(PAD - 1, PAD + height + 1), slice(PAD - 1, PAD + width + 1)
    work.angle[ring] = np.pad(angle, 1, mode="edge")
    inner = slice(PAD, PAD + height), slice(PAD, PAD + width)
    work.mask[inner] = mask
    numbers = work.regions(limits, int(mask.sum()))
    return None if numbers is None else numbers[work.label[inner]]


def same(work, slow, angle, mask, limits):
    """Compare both ways; return the regions."""
    wanted, found = slow.partition(angle, mask, limits), fast(work, angle, mask, limits)
    if wanted is None or found is None:
        assert found is wanted
        return None
    np.testing.assert_array_equal(found, wanted)
    return found


def angle_of(rows, columns):
    """Quantise vectors to the nearest 1/256 of a turn."""
    return np.rint(np.arctan2(columns, rows) / RADIANS).astype(int).astype(np.uint8)


def random_limits(rng):
    """Give limits of which each matters now and then."""
    return Limits(
        turn=int(rng.choice([0, 5, 32, 45, 64])),
        radius=int(rng.integers(1, 5)),
        repel=float(rng.choice([64.0, 100.0, 124.5, 128.0])),
        weak_large=float(rng.choice([0.0, 20.0, 45.0, 128.0])),
        weak_small=float(rng.choice([0.0, 51.2, 80.0])),
        small=float(rng.choice([0.0, 2.5, 10.0, 60.0])),
        large=float(rng.choice([5.0, 40.0])),
        sliver=float(rng.choice([0.0, 4.0, 10.0, 60.0])),
        smallest=float(rng.choice([0.0, 2.5, 10.0])),
        max_roots=float(rng.choice([0.2, 1.0, 1.0])),
    )


def random_angles(rng, kind, shape):
    """Give noise, few directions, vortices and sources, stripes, or smooth noise."""
    jitter = rng.integers(-7, 8, shape)
    if kind == "noise":
        return rng.integers(0, 256, shape)
    if kind == "eighths":
        return 32 * rng.integers(0, 8, shape)
    if kind == "vortex":
        rows, columns = np.mgrid[: shape[0], : shape[1]]
        y, x = rng.random(2) * shape
        turned = angle_of(rows - y, columns - x).astype(int) + rng.integers(0, 256)
        return turned + jitter * rng.integers(0, 2)
    if kind == "stripes":
        line = rng.integers(0, 256, (shape[0], 1) if rng.random() < 0.5 else (1, shape[1]))
        return np.broadcast_to(line, shape) + jitter
    return angle_of(*(gaussian_filter(rng.normal(size=shape), 1.5) for _ in range(2)))


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["noise", "eighths", "vortex", "stripes", "smooth"]),
    st.tuples(st.integers(1, 16), st.integers(1, 22)),
    st.sampled_from([0.5, 0.9, 1.0]),
)
@settings(deadline=None, max_examples=250)
def test_equals_the_slow_one(work, slow, seed, kind, shape, share):
    rng = np.random.default_rng(seed)
    angle = (random_angles(rng, kind, shape).astype(int) % 256).astype(np.uint8)
    same(work, slow, angle, rng.random(shape) < share, random_limits(rng))


@pytest.mark.parametrize("seed", range(4))
def test_equals_the_slow_one_on_voronoi_fields(work, slow, voronoi, seed):
    labels, field = voronoi(20, 28, 6, noise=0.2, seed=seed)
    cells = labels[1::2, 1::2]
    mask = (cells != 0) if seed % 2 else np.ones_like(cells, np.bool_)
    limits = limits_of(PartitionRules(), 2, labels.size)
    found = same(work, slow, angle_of(*slow.doubled(field)), mask, limits)
    assert found.max() == 6 - seed % 2


@pytest.mark.parametrize("seed", range(2))
def test_equals_the_slow_one_on_large_noise(work, slow, seed):
    # more regions, pairs and borders than the first buffers hold
    rng = np.random.default_rng(seed)
    angle = rng.integers(0, 256, (40, 50), dtype=np.uint8)
    limits = LENIENT._replace(turn=(16, 48)[seed], radius=1)
    same(work, slow, angle, rng.random(angle.shape) < 0.9, limits)


def test_buffers_grow(slow):
    rng = np.random.default_rng(0)
    angle = rng.integers(0, 256, (120, 180), dtype=np.uint8)
    mask = np.ones(angle.shape, np.bool_)
    work = Partition()
    limits = LENIENT._replace(turn=0, radius=1, sliver=0.0, small=0.0, weak_large=0, weak_small=0)
    found = fast(work, angle, mask, limits)
    assert len(work._table) > 1 << 14
    again = fast(work, angle, mask, limits)
    np.testing.assert_array_equal(found, again)
    assert (found > 0).all()


# Trees -----------------------------------------------------------------------------------------


def test_a_vortex_is_one_region_and_ends(work, slow):
    rows, columns = np.mgrid[:15, :15] - 7.0
    angle = angle_of(-columns, rows)  # around the middle, nowhere inwards
    mask = np.hypot(rows, columns) > 3
    limits = LENIENT._replace(radius=1, small=0, sliver=0, weak_large=0, weak_small=0)
    found = same(work, slow, angle, mask, limits)
    roots = [c for c in slow.cells_of(mask) if slow.parent_of(angle, mask, c, 32) == c]
    assert len(roots) < 40
    parent = {c: slow.parent_of(angle, mask, c, 32) for c in slow.cells_of(mask)}
    before = dict(parent)
    slow.cut_cycles(parent)
    assert before != parent, "no cycle in this field"
    assert found.max() >= 1


def test_several_cycles_are_numbered_in_raster_order(work, slow):
    rows, columns = np.mgrid[:16, :48]
    angle = angle_of(-((columns % 16) - 7.5), (rows % 16) - 7.5)
    limits = LENIENT._replace(radius=1, small=0, sliver=0, weak_large=0, weak_small=0)
    found = same(work, slow, angle, np.ones(angle.shape, np.bool_), limits)
    firsts = [int(found[5, 16 * k + 7]) for k in range(3)]
    assert firsts == sorted(firsts)
    assert len(set(firsts)) == 3


def test_two_discs_that_touch_are_two(work, slow):
    rows, columns = np.mgrid[:20, :40]
    left = columns < 20
    field = np.stack([10 - rows, np.where(left, 10, 30) - columns]).astype(float)
    mask = np.hypot(rows - 10, columns - np.where(left, 10, 30)) <= 10
    found = same(work, slow, angle_of(*field), mask, LENIENT)
    assert found.max() == 2
    assert (found[mask & left] == 1).all()
    assert (found[mask & ~left] == 2).all()
    assert not found[~mask].any()


def test_a_lonely_sliver_is_no_object(work, slow):
    angle = np.zeros((6, 9), np.uint8)
    mask = np.zeros(angle.shape, np.bool_)
    mask[1:3, 1:3] = True
    mask[1:6, 5:9] = True
    limits = LENIENT._replace(sliver=6.0, smallest=6.0)
    found = same(work, slow, angle, mask, limits)
    assert not found[:, :4].any()
    assert (found[1:6, 5:9] == 1).all()
    assert same(work, slow, angle, mask, limits._replace(smallest=4.0)).max() == 2


def test_too_many_roots(work, slow):
    rng = np.random.default_rng(4)
    angle = rng.integers(0, 256, (40, 40), dtype=np.uint8)
    mask = np.ones(angle.shape, np.bool_)
    roots = sum(slow.parent_of(angle, mask, c, 32) == c for c in slow.cells_of(mask))
    share = roots / mask.sum()
    assert 0.3 < share < 0.9
    below, above = ((roots + gap) / mask.sum() for gap in (-0.5, 0.5))
    assert fast(work, angle, mask, LENIENT._replace(max_roots=below)) is None
    assert fast(work, angle, mask, LENIENT._replace(max_roots=above)) is not None


def test_nothing_in_the_mask(work):
    angle = np.zeros((5, 5), np.uint8)
    assert not fast(work, angle, np.zeros((5, 5), np.bool_), LENIENT).any()


# Limits ----------------------------------------------------------------------------------------


def test_areas_scale_with_the_grid_and_angles_do_not():
    rules = PartitionRules()
    whole, half = limits_of(rules, 1, 10_000), limits_of(rules, 2, 10_000)
    assert (whole.small, whole.large, whole.sliver) == (120, 3200, 250)
    assert (half.small, half.large, half.sliver) == (30, 800, 62.5)
    assert (whole.smallest, half.smallest) == (2.5, 0.625)
    assert whole.turn == half.turn == 32
    assert half.repel == pytest.approx(175 / 360 * 256)
    assert (half.weak_large, half.weak_small) == pytest.approx((40 / 360 * 256, 72 / 360 * 256))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("turn", 91),
        ("turn", -1),
        ("repel", 181),
        ("weak_small", float("nan")),
        ("radius", 0),
        ("radius", 5),
        ("small", -1),
        ("sliver", float("nan")),
        ("min_share", 1.5),
        ("max_roots", -0.1),
    ],
)
def test_rules_out_of_range(name, value):
    with pytest.raises(UsageError, match=f"'{name}' must be"):
        PartitionRules(**{name: value})
