"""Super-BPD grouping of whole images: fields, masks, windows, and when it gives up."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from owseg.errors import UsageError
from owseg.grouping import GROUPINGS, PartitionRules, SuperBpd, connected_components
from owseg.grouping import _field as kernels
from owseg.grouping.partition import PAD, limits_of
from owseg.metrics import GossMetric

ALL_REGIONS = PartitionRules(max_roots=1.0, min_share=0.0)


# Angles ----------------------------------------------------------------------------------------


def padded(height, width):
    return np.full((height + 2 * PAD, -(-width // 8) * 8 + 2 * PAD), 99, np.uint8)


def test_angles_are_those_of_the_arctangent():
    rng = np.random.default_rng(0)
    field = (rng.normal(size=(2, 80, 90)) * 10.0 ** rng.integers(-6, 6, (80, 90))).astype(
        np.float32
    )
    out = padded(80, 90)
    kernels.angles_of(field, 0, 0, 80, 90, out)
    exact = np.arctan2(field[1].astype(float), field[0]) * 128 / np.pi
    gap = (out[PAD : PAD + 80, PAD : PAD + 90] - exact + 128) % 256 - 128
    assert np.abs(gap).max() < 0.502


def test_angles_of_the_axes_and_of_nothing():
    rows = np.array([1, 1, 0, -1, -1, -1, 0, 1, 0, -0.0, 1e-38, 3e38], np.float32)
    columns = np.array([0, 1, 1, 1, 0, -1, -1, -1, 0, 0, 0, 0], np.float32)
    out = padded(1, 12)
    kernels.angles_of(np.stack([rows, columns])[:, None], 0, 0, 1, 12, out)
    want = [0, 32, 64, 96, 128, 160, 192, 224, 0, 0, 0, 0]
    assert out[PAD, PAD : PAD + 12].tolist() == want


@given(st.integers(0, 2**32 - 1), st.tuples(st.integers(1, 9), st.integers(1, 20)))
@settings(deadline=None, max_examples=100)
def test_doubled_fields_equal_the_slow_ones(slow, seed, shape):
    rng = np.random.default_rng(seed)
    field = rng.normal(size=(2, *shape)).astype(np.float32)
    wanted = slow.angles(slow.doubled(field))
    top, left = (int(rng.integers(0, side)) for side in shape)
    height, width = (
        int(rng.integers(1, side - at + 1)) for side, at in zip(shape, (top, left), strict=True)
    )
    out = padded(2 * height, 2 * width)
    kernels.doubled_angles(field, top, left, height, width, out)
    window = wanted[2 * top : 2 * (top + height), 2 * left : 2 * (left + width)]
    ring = out[PAD - 1 : PAD + 2 * height + 1, PAD - 1 : PAD + 2 * width + 1]
    np.testing.assert_array_equal(ring[1:-1, 1:-1], window)
    np.testing.assert_array_equal(ring[1:-1], np.pad(window, 1, mode="edge")[1:-1])
    np.testing.assert_array_equal(ring[:, 1:-1], np.pad(window, 1, mode="edge")[:, 1:-1])


@pytest.mark.parametrize("cell", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(12, 24), (13, 23), (1, 1), (5, 70)])
def test_a_cell_is_unknown_where_one_of_its_pixels_is(cell, size):
    rng = np.random.default_rng(cell)
    open_set = rng.choice([0, 7, 254, 255], size, p=[0.4, 0.3, 0.2, 0.1]).astype(np.uint8)
    grid = [-(-side // cell) + 1 for side in size]
    out = np.full(grid, 9, np.uint8)
    kernels.unknown_cells(open_set, cell, out)
    wanted = [
        [
            (open_set[y * cell : (y + 1) * cell, x * cell : (x + 1) * cell] == 255).any()
            for x in range(grid[1])
        ]
        for y in range(grid[0])
    ]
    np.testing.assert_array_equal(out, np.array(wanted, np.uint8))


# Whole images ----------------------------------------------------------------------------------


def slowly(slow, open_set, field, stride, rules):
    """Group with the slow partition, on the whole image."""
    cell = stride if stride % 2 else stride // 2
    angle = slow.angles(field if stride % 2 else slow.doubled(field))
    height, width = (side * cell for side in angle.shape)
    mask = np.zeros((height, width), np.bool_)
    mask[: open_set.shape[0], : open_set.shape[1]] = open_set == 255
    cells = mask.reshape(angle.shape[0], cell, angle.shape[1], cell).any(axis=(1, 3))
    regions = slow.partition(angle, cells, limits_of(rules, cell, open_set.size))
    pixels = np.kron(regions, np.ones((cell, cell), np.int64))
    return np.where(open_set == 255, pixels[: open_set.shape[0], : open_set.shape[1]], 0)


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 2, 3, 4, 8]),
    st.tuples(st.integers(1, 40), st.integers(1, 44)),
    st.sampled_from([0.2, 0.9, 1.0]),
)
@settings(deadline=None, max_examples=80)
def test_equals_the_slow_one(slow, seed, stride, size, share):
    rng = np.random.default_rng(seed)
    grid = [-(-side // stride) for side in size]
    field = rng.normal(size=(2, *grid)).astype(np.float32)
    blocks = rng.random([side // 5 + 1 for side in size]) < share
    open_set = np.where(np.kron(blocks, np.ones((5, 5)))[: size[0], : size[1]], 255, 3)
    open_set = open_set.astype(np.uint8)
    area = float(rng.choice([0, 5, 40]))
    rules = PartitionRules(max_roots=1.0, min_share=0.0, small=area, sliver=area, large=9 * area)
    grouping = SuperBpd(stride, rules)
    found = grouping(open_set, field)
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, slowly(slow, open_set, field, stride, rules))
    assert grouping.fallbacks == 0


@pytest.mark.parametrize("seed", range(3))
def test_touching_objects_are_told_apart(voronoi, seed):
    labels, field = voronoi(30, 40, 7, noise=0.2, seed=seed)
    open_set = np.where(labels < 5, 255, 1).astype(np.uint8)
    found = SuperBpd(4)(open_set, field)
    assert not found[open_set == 1].any()
    metric = GossMetric(2)
    truth = np.where(labels < 5, labels + 1, 0).astype(np.int32)
    metric.update(open_set, found, np.where(labels < 5, 255, 1).astype(np.uint8), truth)
    assert metric.compute().gq_unknown > 0.9
    assert connected_components(open_set).max() < 5


def test_what_lies_outside_the_mask_does_not_matter(voronoi):
    labels, field = voronoi(20, 30, 6, noise=0.2, seed=4)
    open_set = np.zeros(labels.shape, np.uint8)
    open_set[20:60, 36:100] = 255
    before = SuperBpd(4)(open_set, field)
    elsewhere = field.copy()
    elsewhere[:, :3], elsewhere[:, 17:], elsewhere[..., :7], elsewhere[..., 27:] = 9, -9, 5, -5
    np.testing.assert_array_equal(SuperBpd(4)(open_set, elsewhere), before)
    assert before.max() > 1


def test_one_grouping_serves_many_images(voronoi):
    frames = []
    for seed in range(6):
        labels, field = voronoi(10 + seed, 16 + 3 * seed, 5, noise=0.2, seed=seed)
        open_set = np.where(labels != seed % 4, 255, 0).astype(np.uint8)
        frames.append((open_set, field))
    alone = [SuperBpd(4)(*frame) for frame in frames]
    shared = SuperBpd(4)
    for _ in range(2):
        for frame, wanted in zip(frames, alone, strict=True):
            np.testing.assert_array_equal(shared(*frame), wanted)
    with ThreadPoolExecutor(4) as pool:
        for k, found in enumerate(pool.map(lambda frame: shared(*frame), 5 * frames)):
            np.testing.assert_array_equal(found, alone[k % len(frames)])


def test_arrays_as_engines_give_them(voronoi):
    labels, field = voronoi(12, 16, 4, seed=1)
    open_set = np.where(labels > 0, 255, 0).astype(np.uint8)
    wanted = SuperBpd(4)(open_set, field)
    frozen, frozen_field = open_set.copy(), field.astype(np.float32)
    frozen.setflags(write=False)
    frozen_field.setflags(write=False)
    np.testing.assert_array_equal(SuperBpd(4)(frozen, frozen_field), wanted)
    strided = np.repeat(open_set, 2, axis=1)[:, ::2]
    np.testing.assert_array_equal(SuperBpd(4)(strided, np.asfortranarray(field)), wanted)
    half = field.astype(np.float16)
    again = SuperBpd(4)(open_set, half)
    np.testing.assert_array_equal(again, SuperBpd(4)(open_set, half.astype(np.float32)))
    np.testing.assert_array_equal(open_set == 255, labels > 0)


# Giving up -------------------------------------------------------------------------------------


def test_without_unknown_pixels_there_is_nothing_to_do():
    grouping = SuperBpd(4)
    assert not grouping(np.full((24, 32), 254, np.uint8), np.zeros((2, 6, 8), np.float32)).any()
    assert grouping.fallbacks == 0


@pytest.mark.parametrize("bad", [0.0, 1e-9, np.nan, np.inf, -np.inf])
def test_a_field_that_says_nothing_leaves_components(bad):
    field = np.random.default_rng(0).normal(size=(2, 6, 8)).astype(np.float32)
    if np.isfinite(bad):
        field[:] = bad
    else:
        field[1, 3, 3] = bad
    open_set = np.zeros((24, 32), np.uint8)
    open_set[2:9, 2:30] = 255
    open_set[15:20, 3:9] = 255
    grouping = SuperBpd(4)
    np.testing.assert_array_equal(grouping(open_set, field), connected_components(open_set))
    assert grouping.fallbacks == 1


def test_noise_leaves_components():
    rng = np.random.default_rng(0)
    field = rng.normal(size=(2, 32, 32)).astype(np.float32)
    open_set = np.zeros((128, 128), np.uint8)
    open_set[:60], open_set[64:, 40:] = 255, 255
    grouping = SuperBpd(4)
    np.testing.assert_array_equal(grouping(open_set, field), connected_components(open_set))
    assert grouping.fallbacks == 1
    lenient = SuperBpd(4, PartitionRules(max_roots=1.0))
    assert lenient(open_set, field).max() > 2
    assert lenient.fallbacks == 0


def test_small_lonely_regions_get_no_id():
    open_set = np.zeros((96, 128), np.uint8)
    open_set[8:11, 8:11] = 255  # 9 pixels, of which 4 cells; 2.5e-4 of the image are 3 pixels
    open_set[40, 40] = 255  # one cell of 4 pixels
    field = np.ones((2, 24, 32), np.float32)
    rules = PartitionRules(max_roots=1.0, min_share=5 / open_set.size)
    found = SuperBpd(4, rules)(open_set, field)
    assert (found[8:11, 8:11] == 1).all()
    assert found[40, 40] == 0


@pytest.mark.parametrize(
    "direction", [None, np.zeros((2, 6, 9), np.float32), np.zeros((6, 8, 2), np.float32)]
)
def test_another_field_is_refused(direction):
    with pytest.raises(UsageError, match=r"needs a direction map of shape \(2, 6, 8\), got"):
        SuperBpd(4)(np.zeros((24, 32), np.uint8), direction)


@pytest.mark.parametrize("stride", [0, -4])
def test_another_stride_is_refused(stride):
    with pytest.raises(UsageError, match="stride of a direction field must be 1 or more"):
        SuperBpd(stride)


# Compiling -------------------------------------------------------------------------------------


@pytest.mark.parametrize("stride", [1, 4, 8])
def test_after_warming_up_nothing_is_compiled(stride):
    grouping = GROUPINGS["super_bpd"](stride)
    assert grouping.needs_direction
    grouping.warm_up()
    assert grouping.fallbacks == 0
    functions = compiled_functions()
    before = {name: len(function.signatures) for name, function in functions.items()}
    rng = np.random.default_rng(0)
    open_set = np.full((64, 96), 255, np.uint8)
    grouping(open_set, rng.normal(size=(2, 64 // stride, 96 // stride)).astype(np.float32))
    after = {name: len(function.signatures) for name, function in functions.items()}
    assert before == after
    assert max(after.values()) > 0


def compiled_functions():
    from owseg.grouping import _regions, _trees

    return {
        f"{module.__name__}.{name}": function
        for module in (kernels, _trees, _regions)
        for name, function in vars(module).items()
        if hasattr(function, "py_func")
    }


def test_the_command_line_does_not_import_numba():
    code = (
        "import sys, owseg.cli.main, owseg.grouping, owseg.pipeline; print('numba' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert result.stdout.strip() == "False"
