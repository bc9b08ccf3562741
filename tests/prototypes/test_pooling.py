"""Pooling: shares of cells against counting pixels, means and clusters against hand-worked ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from owseg.errors import EngineError, ShotError
from owseg.prototypes.examples import CLASS, IGNORE, OTHER
from owseg.prototypes.pooling import (
    Cells,
    coverage,
    halves,
    make_cells,
    pool,
    prototypes_of,
    squared_distances,
)

RNG = np.random.default_rng(5)


def cells_of(vectors, inside, places=None):
    inside = np.asarray(inside, np.float64)
    if places is None:
        places = np.stack([np.zeros(len(inside), int), np.arange(len(inside))], axis=1)
    return Cells(
        vectors=np.asarray(vectors, np.float32),
        inside=inside,
        outside=1.0 - inside,
        places=np.asarray(places),
    )


# Coverage --------------------------------------------------------------------------------------


def counted(mask, grid):
    """Split pixels so finely that each part lies in one cell, and count."""
    fine = mask.repeat(grid[0], 0).repeat(grid[1], 1)
    return fine.reshape(grid[0], mask.shape[0], grid[1], mask.shape[1]).mean(axis=(1, 3))


@pytest.mark.parametrize(
    ("size", "grid"), [((24, 32), (6, 8)), ((25, 35), (5, 7)), ((9, 10), (6, 6)), ((6, 8), (6, 8))]
)
def test_coverage_is_the_share_of_pixels(size, grid):
    mask = RNG.random(size) < 0.4
    shares = coverage(mask, grid)
    assert (shares.shape, shares.dtype) == (grid, np.float64)
    np.testing.assert_allclose(shares, counted(mask, grid), atol=1e-6)


def test_cells_keep_class_other_and_ignored_apart():
    mask = np.full((8, 8), OTHER, np.uint8)
    mask[:4, :4] = CLASS
    mask[:4, 4:6] = CLASS
    mask[4:, :4] = IGNORE
    mask[4:, 4:5] = IGNORE
    embedding = np.arange(12, dtype=np.float32).reshape(3, 2, 2)
    cells = make_cells(embedding, mask)
    np.testing.assert_allclose(cells.inside, [1, 0.5, 0, 0])
    np.testing.assert_allclose(cells.outside, [0, 0.5, 0, 0.75])
    np.testing.assert_array_equal(cells.vectors, [[0, 4, 8], [1, 5, 9], [2, 6, 10], [3, 7, 11]])
    np.testing.assert_array_equal(cells.places, [[0, 0], [0, 1], [1, 0], [1, 1]])


def test_cells_that_the_class_fills_stand_for_it():
    vectors, weights = cells_of([[1], [2], [3], [4]], [1, 0.99, 0, 1]).members()
    np.testing.assert_array_equal(vectors, [[1], [4]])
    np.testing.assert_array_equal(weights, [1, 1])
    vectors, weights = cells_of([[1], [2], [3]], [0.9, 0.3, 0]).members()
    np.testing.assert_array_equal(vectors, [[1], [2]])
    np.testing.assert_allclose(weights, [0.9, 0.3])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_broken_embedding(value):
    embedding = np.zeros((3, 2, 2), np.float32)
    embedding[1, 1, 0] = value
    with pytest.raises(EngineError, match=r"sofa\.png: the embedding holds NaN or infinite"):
        make_cells(embedding, np.full((8, 8), CLASS, np.uint8), "sofa.png")


def test_a_mask_smaller_than_a_cell():
    mask = np.full((8, 8), OTHER, np.uint8)
    mask[:3, 2:7] = CLASS  # 15 pixels; a cell has 16
    with pytest.raises(ShotError, match=r"x\.png: the mask covers 0\.94 of one cell .* \(4x4 pix"):
        make_cells(np.zeros((3, 2, 2), np.float32), mask, "x.png")
    mask[3, 2] = CLASS
    assert make_cells(np.zeros((3, 2, 2), np.float32), mask).inside.sum() == pytest.approx(1)


# Means -----------------------------------------------------------------------------------------


def test_pixel_and_image_pooling():
    large = cells_of([[0, 0], [2, 0], [4, 0]], [1, 1, 1])
    small = cells_of([[10, 8], [99, 99]], [0.5, 0])  # fills no cell: all that it touches
    vectors, weights = pool([large, small])
    np.testing.assert_allclose(prototypes_of(vectors, weights), [[(0 + 2 + 4 + 5) / 3.5, 4 / 3.5]])
    vectors, weights = pool([large, small], "image")
    np.testing.assert_allclose(weights, [1 / 3, 1 / 3, 1 / 3, 1])
    np.testing.assert_allclose(prototypes_of(vectors, weights), [[(2 + 10) / 2, 4]])


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 40))
@settings(max_examples=30, deadline=None)
def test_one_prototype_is_the_weighted_mean(seed, count):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(count, 4)).astype(np.float32)
    weights = rng.random(count) + 1e-3
    found = prototypes_of(vectors, weights)
    assert (found.shape, found.dtype) == ((1, 4), np.float32)
    want = sum(w * v for w, v in zip(weights, vectors, strict=True)) / sum(weights)
    np.testing.assert_allclose(found[0], want, rtol=1e-5, atol=1e-6)


# Clusters --------------------------------------------------------------------------------------


def blobs(sizes=(50, 20, 80), far=10.0):
    centers = far * np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]])
    points = [RNG.normal(c, 0.1, (n, 3)) for c, n in zip(centers, sizes, strict=True)]
    return np.concatenate(points).astype(np.float32), centers


def test_clusters_are_found_the_heaviest_first():
    points, centers = blobs()
    found = prototypes_of(points, np.ones(len(points)), 3)
    np.testing.assert_allclose(found, centers[[2, 0, 1]], atol=0.1)


def test_weights_move_the_order_and_the_centres():
    points, centers = blobs()
    weights = np.ones(len(points))
    weights[50:70] = 100.0
    points[50:60] += 1.0
    weights[50:60] = 300.0
    found = prototypes_of(points, weights, 3)
    np.testing.assert_allclose(found[0], centers[1] + 0.75, atol=0.1)


def test_the_same_input_gives_the_same_prototypes():
    points = RNG.normal(size=(300, 5)).astype(np.float32)
    first = prototypes_of(points, np.ones(300), 4)
    np.testing.assert_array_equal(first, prototypes_of(points, np.ones(300), 4))
    assert len(first) == 4


def test_more_prototypes_never_lie_farther_away():
    points = RNG.normal(size=(300, 5)).astype(np.float32)
    errors = [
        squared_distances(points, prototypes_of(points, np.ones(300), count)).min(axis=1).sum()
        for count in (1, 2, 4, 8)
    ]
    assert errors == sorted(errors, reverse=True)


@pytest.mark.parametrize(("distinct", "wanted"), [(1, 3), (2, 4), (3, 3)])
def test_no_more_prototypes_than_different_vectors(distinct, wanted):
    points = np.eye(3, dtype=np.float32)[np.arange(30) % distinct]
    found = prototypes_of(points, np.ones(30), wanted)
    np.testing.assert_allclose(np.sort(found, 0), np.sort(np.eye(3)[:distinct], 0), atol=1e-6)


def test_many_cells_are_thinned_out():
    points, centers = blobs((4000, 3000, 6000))
    found = prototypes_of(points, np.ones(len(points)), 3)
    np.testing.assert_allclose(found, centers[[2, 0, 1]], atol=0.1)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_squared_distances(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(7, 3)), rng.normal(size=(4, 3))
    want = [[sum((x - y) ** 2) for y in b] for x in a]
    np.testing.assert_allclose(squared_distances(a, b), want, atol=1e-12)
    same = a.astype(np.float32)
    assert (squared_distances(same, same) >= 0).all()


# Halves ----------------------------------------------------------------------------------------


def grid_cells(inside):
    inside = np.asarray(inside, np.float64)
    places = np.indices(inside.shape).reshape(2, -1).T
    vectors = np.arange(inside.size)[:, None]
    return cells_of(vectors, inside.reshape(-1), places)


def test_a_wide_object_is_cut_upright():
    cells = grid_cells([[0, 0, 0, 0, 0, 0], [0, 1, 1, 1, 1, 0], [0, 0, 0, 0, 0, 0]])
    left, right = halves(cells)
    assert (left.inside.sum(), right.inside.sum()) == (2, 2)
    assert set(left.places[:, 1].tolist()) == {0, 1, 2}
    assert set(right.places[:, 1].tolist()) == {3, 4, 5}
    assert len(left.vectors) + len(right.vectors) == 18
    np.testing.assert_allclose(left.outside, 1 - left.inside)


def test_a_tall_object_is_cut_across():
    cells = grid_cells([[0, 1, 0], [0, 1, 0], [0, 1, 0], [0, 1, 0], [0, 0, 0]])
    upper, lower = halves(cells)
    assert set(upper.places[:, 0].tolist()) == {0, 1}
    assert set(lower.places[:, 0].tolist()) == {2, 3, 4}


def test_halves_have_equal_shares_not_equal_lengths():
    cells = grid_cells([[1, 0.2, 0.2, 0.2, 0.2, 0.2]] * 2)
    left, right = halves(cells)
    assert set(left.places[:, 1].tolist()) == {0}
    assert right.inside.sum() == pytest.approx(2.0)


@pytest.mark.parametrize("inside", [[[0, 1, 0]], [[0, 1, 0.9]], [[1.5 / 3] * 3]])
def test_what_is_too_small_is_not_cut(inside):
    cells = grid_cells(inside)
    assert halves(cells) == [cells]
