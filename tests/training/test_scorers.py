"""Every score against an independent float64 reference, its range and its sense."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp, softmax
from scipy.stats import entropy as scipy_entropy

from owseg.errors import UsageError
from owseg_training.distances import squared_distances
from owseg_training.scorers import METRIC_ONLY, SCORERS, Evidence, get_scorer

N, T = 10, 3.0
PROTOTYPES = T * torch.eye(N)

REFERENCES = {
    "msp": lambda z: 1 - softmax(z, axis=1).max(axis=1),
    "max_logit": lambda z: -z.max(axis=1),
    "entropy": lambda z: scipy_entropy(softmax(z, axis=1), axis=1) / np.log(z.shape[1]),
    "energy": lambda z: -logsumexp(z, axis=1),
    "mmsp": lambda z: 1 - softmax(z, axis=1).max(axis=1),
    "eds": lambda z: z.sum(axis=1),
}
"""From float64 logits; those of a metric head are the negative distances."""


def metric_evidence(f: torch.Tensor) -> Evidence:
    distances = squared_distances(f, PROTOTYPES)
    return Evidence(-distances, distances)


def test_there_is_a_reference_for_every_score() -> None:
    assert set(REFERENCES) == set(SCORERS)


@pytest.mark.parametrize("name", SCORERS)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**16), scale=st.sampled_from([0.01, 1.0, 6.0]))
def test_equals_the_reference(name: str, seed: int, scale: float) -> None:
    f = scale * torch.randn(2, N, 3, 4, generator=torch.Generator().manual_seed(seed))
    evidence = metric_evidence(f)
    expected = REFERENCES[name](evidence.logits.double().numpy())
    found = SCORERS[name](evidence).numpy()
    assert found.shape == (2, 3, 4)
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", [n for n in SCORERS if n not in METRIC_ONLY])
def test_softmax_heads_need_no_distances(name: str) -> None:
    logits = 4 * torch.randn(1, N, 5, 5, generator=torch.Generator().manual_seed(1))
    found = SCORERS[name](Evidence(logits, None)).numpy()
    expected = REFERENCES[name](logits.double().numpy())
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", SCORERS)
def test_grows_on_the_way_from_a_prototype_to_the_centre(name: str) -> None:
    way = torch.linspace(0, 1, 50)
    centre = PROTOTYPES.mean(dim=0)
    f = PROTOTYPES[3][:, None] * (1 - way) + centre[:, None] * way
    scores = SCORERS[name](metric_evidence(f[None, :, None, :]))[0, 0]
    assert (scores.diff() >= -1e-6).all()
    assert float(scores[-1] - scores[0]) > 0.5


@pytest.mark.parametrize("name", ["msp", "entropy", "energy", "max_logit"])
def test_grows_as_the_winning_logit_falls(name: str) -> None:
    logits = torch.zeros(1, N, 1, 30)
    logits[0, 2, 0] = torch.linspace(8, 0, 30)
    scores = SCORERS[name](Evidence(logits, None))[0, 0]
    assert (scores.diff() > 0).all()


@pytest.mark.parametrize(("name", "top"), [("msp", 1 - 1 / N), ("mmsp", 1 - 1 / N), ("entropy", 1)])
def test_probability_scores_span_their_range(name: str, top: float) -> None:
    at = torch.stack([PROTOTYPES[0] * 20, PROTOTYPES.mean(dim=0)], dim=1)
    sure, unsure = SCORERS[name](metric_evidence(at[None, :, None, :]))[0, 0].tolist()
    assert sure == pytest.approx(0, abs=1e-6)
    assert unsure == pytest.approx(top, abs=1e-6)


def test_eds_lies_between_its_values_at_prototypes_and_centre() -> None:
    at = torch.cat([PROTOTYPES, PROTOTYPES.mean(dim=0)[None]]).t()[None, :, None, :]
    scores = SCORERS["eds"](metric_evidence(at))[0, 0]
    torch.testing.assert_close(scores[:-1], torch.full((N,), -2.0 * (N - 1) * T**2))
    assert float(scores[-1]) == pytest.approx(-(N - 1) * T**2, rel=1e-6)


@pytest.mark.parametrize("name", ["msp", "entropy", "energy"])
def test_huge_logits_do_not_overflow(name: str) -> None:
    logits = torch.tensor([1e4, -1e4, 0.0])[None, :, None, None]
    assert torch.isfinite(SCORERS[name](Evidence(logits, None))).all()


def test_unknown_name_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(UsageError, match=r"no anomaly score 'odin'; there are msp, .*mixture"):
        get_scorer("odin")
