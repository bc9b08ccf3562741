"""The direction target against a hand-worked rectangle and a brute-force search."""

from __future__ import annotations

import numpy as np
import pytest

from owseg_training.data.direction_target import direction_target

VOID = 255


def rectangle() -> np.ndarray:
    """Region 1 in rows 8..23, columns 8..55 of a 32x64 map of region 0."""
    labels = np.zeros((32, 64), np.uint8)
    labels[8:24, 8:56] = 1
    return labels


def directions_from_nearest(inside: np.ndarray, pixel: np.ndarray, slack: float) -> np.ndarray:
    """Return unit vectors (k, 2) to a pixel from its nearest outside pixels, up to the slack.

    Searched by brute force; the image border counts as outside.
    """
    away = pixel + 1 - np.argwhere(~np.pad(inside, 1))
    lengths = np.sqrt((away**2).sum(axis=1))
    near = lengths <= lengths.min() * (1 + slack)
    return away[near] / lengths[near][:, None]


def connected(inside: np.ndarray) -> list[tuple[np.ndarray, int]]:
    """Return the 8-connected segments of a mask, found by filling, with their sizes."""
    left, found = {(int(y), int(x)) for y, x in np.argwhere(inside)}, []
    while left:
        front = [left.pop()]
        segment = np.zeros(inside.shape, bool)
        while front:
            y, x = front.pop()
            segment[y, x] = True
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            front += near
        found.append((segment, int(segment.sum())))
    return found


def test_a_small_segment_weighs_more_than_a_large_one_of_its_class() -> None:
    labels = rectangle()
    labels[26:30, 2:6] = 1
    _, weight = direction_target(labels, 2)
    assert weight[13, 2] == pytest.approx(1 / 2)  # 2 x 2 pixels of half the resolution
    assert weight[8, 16] == pytest.approx(1 / np.sqrt(8 * 24))


@pytest.mark.parametrize("seed", range(4))
def test_against_brute_force(seed: int) -> None:
    rng = np.random.default_rng(seed)
    small = np.kron(rng.integers(0, 3, (4, 5)), np.ones((7, 7))).astype(np.uint8)
    small[rng.random(small.shape) < 0.02] = VOID
    field, weight = direction_target(np.kron(small, np.ones((2, 2), np.uint8)), 2)
    for region in range(3):
        inside = small == region
        for y, x in np.argwhere(inside):
            allowed = directions_from_nearest(inside, np.array([y, x]), slack=0.04)
            assert np.abs(allowed - field[:, y, x]).max(axis=1).min() < 1e-5
        for segment, size in connected(inside):
            np.testing.assert_allclose(weight[segment], 1 / np.sqrt(size), rtol=1e-6)


@pytest.mark.parametrize(("stride", "shape"), [(2, (32, 64)), (4, (45, 61)), (8, (90, 122))])
def test_unit_length_wherever_it_counts_on_the_grid_of_the_network(
    stride: int, shape: tuple[int, int]
) -> None:
    labels = np.zeros(shape, np.uint8)
    labels[5:30, 10:50] = 1
    labels[25:, 40:] = VOID
    field, weight = direction_target(labels, stride)
    grid = (-(-shape[0] // stride), -(-shape[1] // stride))
    assert (field.shape, weight.shape) == ((2, *grid), grid)
    assert (field.dtype, weight.dtype) == (np.float32, np.float32)
    lengths = np.linalg.norm(field, axis=0)
    np.testing.assert_allclose(lengths[weight > 0], 1, atol=1e-5)
    assert np.count_nonzero(weight) > weight.size // 2


def test_void_has_no_weight_but_ends_a_region() -> None:
    labels = np.zeros((16, 32), np.uint8)
    labels[:, 16:] = VOID
    field, weight = direction_target(labels, 2)
    assert (weight[:, 8:] == 0).all()
    assert (weight[:, :8] > 0).all()
    np.testing.assert_allclose(field[:, 4, 7], [0, -1], atol=1e-6)


def test_all_void_is_finite_and_weightless() -> None:
    field, weight = direction_target(np.full((16, 16), VOID, np.uint8), 4)
    assert np.isfinite(field).all()
    assert not weight.any()
