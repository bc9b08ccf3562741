"""Distances in matmul form equal the definition and the closed forms for prototypes T * e_k."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from owseg_training.distances import centre_distance, squared_distances

T, N = 3.0, 5
EYE = T * torch.eye(N)


def by_definition(f: np.ndarray, prototypes: np.ndarray) -> np.ndarray:
    """||f - m||^2 pixel by pixel, in float64."""
    batch, _, height, width = f.shape
    out = np.zeros((batch, len(prototypes), height, width))
    for b, k, y, x in np.ndindex(out.shape):
        out[b, k, y, x] = sum((f[b, :, y, x].astype(np.float64) - prototypes[k]) ** 2)
    return out


def embedding(seed: int, scale: float = 3.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(2, N, 3, 4, generator=generator)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**16), st.integers(1, 4), st.floats(0.1, 20))
def test_equals_the_definition_for_any_prototypes(seed: int, count: int, scale: float) -> None:
    f = embedding(seed, scale)
    prototypes = embedding(seed + 1, scale)[0, :, 0, :].t()[:count]
    expected = by_definition(f.numpy(), prototypes.numpy())
    found = squared_distances(f, prototypes).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * scale**2)


def test_closed_form_for_fixed_prototypes() -> None:
    f = embedding(0).double()
    norm = f.square().sum(dim=1, keepdim=True)
    torch.testing.assert_close(
        squared_distances(f, EYE).double(), norm - 2 * T * f + T**2, rtol=1e-5, atol=1e-5
    )


def test_sum_form() -> None:
    f = embedding(1).double()
    expected = N * f.square().sum(dim=1) - 2 * T * f.sum(dim=1) + N * T**2
    found = squared_distances(f, EYE).sum(dim=1).double()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)


def test_distance_sum_is_n_times_centre_distance_plus_a_constant() -> None:
    f = embedding(2).double()
    constant = N * T**2 * (1 - 1 / N)
    expected = N * centre_distance(f, EYE).double() + constant
    found = squared_distances(f, EYE).sum(dim=1).double()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)


def test_two_fixed_prototypes_are_18_apart_and_own_distance_is_0() -> None:
    at_prototypes = EYE.t()[None, :, None, :]
    found = squared_distances(at_prototypes, EYE)[0, :, 0]
    torch.testing.assert_close(found, 18.0 * (1 - torch.eye(N)))


def test_never_negative_where_terms_cancel() -> None:
    f = (100.0 + embedding(3, 1e-3)).float()
    assert (squared_distances(f, f[0, :, 0, :].t()) >= 0).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_input_is_computed_in_float32(dtype: torch.dtype) -> None:
    f = embedding(4).to(dtype)
    found = squared_distances(f, EYE)
    assert found.dtype == torch.float32
    expected = by_definition(f.float().numpy(), EYE.numpy())
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-4)
