"""Algorithm 1 by hand and pixel by pixel; both ways to predict."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from owseg_training.distances import squared_distances
from owseg_training.incremental.labels import merge, own_class, pseudo_labels
from owseg_training.models.layers import resize

BASE = torch.tensor([[[0, 1, 2, 0, 1, 2, 0, 1]]])
FIRST = torch.tensor([[[0, 0, 1, 1, 0, 1, 0, 0]]]).bool()
SECOND = torch.tensor([[[0, 0, 0, 1, 1, 0, 0, 0]]]).bool()
ANNOTATION = torch.tensor([[[0, 0, 0, 0, 1, 1, 1, 255]]], dtype=torch.uint8)


def test_algorithm_1_hand_worked() -> None:
    """Three base classes, two older heads (3 and 4), the new class is 5; void stays void."""
    found = pseudo_labels(BASE, [FIRST, SECOND], ANNOTATION, 3)
    assert found[0, 0].tolist() == [0, 1, 3, 4, 5, 5, 5, 255]


def test_first_new_class_overwrites_the_base_alone() -> None:
    found = pseudo_labels(BASE, [], ANNOTATION, 3)
    assert found[0, 0].tolist() == [0, 1, 2, 0, 3, 3, 3, 255]


def test_pasted_pixels_keep_the_label_of_the_base() -> None:
    strange = ANNOTATION.clone()
    strange[0, 0, 4] = 254
    assert pseudo_labels(BASE, [], strange, 3)[0, 0].tolist() == [0, 1, 2, 0, 1, 3, 3, 255]


def test_merging_leaves_its_arguments_alone() -> None:
    before = BASE.clone()
    assert merge(BASE, [FIRST, SECOND], 3)[0, 0].tolist() == [0, 1, 3, 4, 4, 3, 0, 1]
    assert torch.equal(BASE, before)
    assert torch.equal(merge(BASE, [], 3), BASE)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**16), st.integers(0, 3), st.integers(1, 5))
def test_algorithm_1_equals_a_loop_over_pixels(seed: int, heads: int, num_base: int) -> None:
    rng = np.random.default_rng(seed)
    base = rng.integers(0, num_base, (2, 3, 4))
    claims = rng.random((heads, 2, 3, 4)) < 0.4
    annotation = rng.choice(np.array([0, 1, 254, 255], np.uint8), (2, 3, 4))
    expected = base.copy()
    for place in np.ndindex(base.shape):
        for t in range(heads):
            if claims[(t, *place)]:
                expected[place] = num_base + t
        if annotation[place] == 1:
            expected[place] = num_base + heads
        if annotation[place] == 255:
            expected[place] = 255
    found = pseudo_labels(
        torch.from_numpy(base),
        [torch.from_numpy(claim) for claim in claims],
        torch.from_numpy(annotation),
        num_base,
    )
    np.testing.assert_array_equal(found.numpy(), expected)


@pytest.mark.parametrize("size", [(6, 8), (11, 15), (24, 32)])
def test_own_class_is_the_nearest_prototype_of_the_upsampled_distances(
    size: tuple[int, int],
) -> None:
    f = torch.randn(2, 4, 6, 8, generator=torch.Generator().manual_seed(1)) * 2
    distances = resize(squared_distances(f, 3 * torch.eye(4)), size)
    expected = distances.argmin(dim=1) == 3
    found = own_class(f, size)
    assert found.dtype == torch.bool
    assert 0.1 < float(expected.float().mean()) < 0.6
    assert float((found != expected).float().mean()) < 0.002
