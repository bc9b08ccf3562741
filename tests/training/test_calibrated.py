"""Scores in [0, 1]: fitted constants, the paper's per-image form, and the mixture."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from owseg_training.distances import squared_distances
from owseg_training.scorers import (
    SCORERS,
    CalibratedScore,
    Calibration,
    Evidence,
    Mixture,
    fit_calibration,
    per_image,
)

N, T = 10, 3.0
PROTOTYPES = T * torch.eye(N)
AT_PROTOTYPE, AT_CENTRE = -2 * (N - 1) * T**2, -(N - 1) * T**2
CONSTANTS = {"eds": Calibration(low=AT_PROTOTYPE, high=AT_CENTRE)}


def evidence_at(points: torch.Tensor) -> Evidence:
    """One image with one pixel a point."""
    distances = squared_distances(points.t()[None, :, None, :], PROTOTYPES)
    return Evidence(-distances, distances)


def random_evidence(seed: int = 0) -> Evidence:
    f = 2 * torch.randn(3, N, 6, 7, generator=torch.Generator().manual_seed(seed))
    distances = squared_distances(f, PROTOTYPES)
    return Evidence(-distances, distances)


def test_calibration_maps_low_to_0_and_high_to_1_and_clips() -> None:
    raw = torch.tensor([-30.0, -20.0, -15.0, -10.0, 5.0])
    found = Calibration(low=-20.0, high=-10.0).apply(raw)
    torch.testing.assert_close(found, torch.tensor([0.0, 0.0, 0.5, 1.0, 1.0]))


def test_fit_hand_worked() -> None:
    values = torch.arange(101.0)
    fitted = fit_calibration(values, 0.99)
    assert (fitted.low, fitted.high) == (pytest.approx(1.0), 100.0)
    assert fit_calibration(values, 0.99, high=250.0).high == 250.0


def test_fit_leaves_the_wanted_share_above_zero() -> None:
    values = torch.randn(5000, generator=torch.Generator().manual_seed(3))
    fitted = fit_calibration(values, 0.9)
    assert float((fitted.apply(values) > 0).float().mean()) == pytest.approx(0.9, abs=0.001)


def test_fit_of_equal_values_has_no_division_by_zero() -> None:
    fitted = fit_calibration(torch.full((10,), 4.0), 0.99)
    assert torch.isfinite(fitted.apply(torch.tensor([3.0, 4.0, 5.0]))).all()


def test_fit_takes_more_values_than_torch_quantile_does() -> None:
    fitted = fit_calibration(torch.zeros(2**24 + 1), 0.99, high=1.0)
    assert (fitted.low, fitted.high) == (0.0, 1.0)


def test_paper_form_of_the_distance_sum_is_equation_8() -> None:
    evidence = random_evidence()
    assert evidence.distances is not None
    sums = evidence.distances.double().numpy().sum(axis=1)
    expected = np.stack([1 - image / image.max() for image in sums])
    found = CalibratedScore("eds", "paper", {})(evidence).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("name", ["energy", "max_logit"])
def test_paper_form_of_unbounded_scores_is_min_max_of_each_image(name: str) -> None:
    evidence = random_evidence()
    raw = SCORERS[name](evidence).double().numpy()
    expected = np.stack([(r - r.min()) / (r.max() - r.min()) for r in raw])
    found = CalibratedScore(name, "paper", {})(evidence).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_min_max_of_a_constant_image_is_finite() -> None:
    assert torch.isfinite(per_image(torch.full((1, 4, 4), 2.0), "energy")).all()


@pytest.mark.parametrize("form", ["constant", "paper"])
@pytest.mark.parametrize("name", [*SCORERS, "mixture"])
def test_all_scores_lie_in_0_to_1_in_both_forms(name: str, form: str) -> None:
    tied = evidence_at(PROTOTYPES.mean(dim=0)[None].expand(4, N) * (1 + 1e-7))
    for evidence in (random_evidence(1), tied):
        raw = {n: s(evidence).flatten() for n, s in SCORERS.items()}
        constants = {n: fit_calibration(values, 0.9) for n, values in raw.items()}
        found = CalibratedScore(name, form, constants)(evidence)
        assert float(found.min()) >= 0.0
        assert float(found.max()) <= 1.0


def test_rounding_never_lifts_the_entropy_above_1() -> None:
    logits = 1e-4 * torch.randn(1, 3, 100, 100, generator=torch.Generator().manual_seed(0))
    evidence = Evidence(logits, None)
    assert SCORERS["entropy"](evidence).max() > 1  # by one unit in the last place
    assert CalibratedScore("entropy", "paper", {})(evidence).max() <= 1


def test_constant_form_of_a_pixel_ignores_the_rest_of_the_image() -> None:
    alone = evidence_at(PROTOTYPES[:1] * 0.6)
    beside = evidence_at(torch.stack([PROTOTYPES[0] * 0.6, PROTOTYPES.mean(dim=0)]))
    score = CalibratedScore("eds", "constant", CONSTANTS)
    assert float(score(alone)[0, 0, 0]) == float(score(beside)[0, 0, 0])


def test_paper_form_of_a_pixel_depends_on_the_rest_of_the_image() -> None:
    alone = evidence_at(PROTOTYPES[:1] * 0.6)
    beside = evidence_at(torch.stack([PROTOTYPES[0] * 0.6, PROTOTYPES[1]]))
    score = CalibratedScore("eds", "paper", {})
    assert float(score(alone)[0, 0, 0]) == 0.0
    assert float(score(beside)[0, 0, 0]) > 0.1


def test_mixture_hand_worked() -> None:
    p_eds, p_mmsp = torch.tensor([0.8, 0.2]), torch.tensor([0.4, 0.6])
    alpha = 1 / (1 + np.exp(-20 * (0.2 - 0.8)))
    found = Mixture().blend(p_eds, p_mmsp).tolist()
    assert found == pytest.approx([(0.8 + 0.4) / 2, alpha * 0.2 + (1 - alpha) * 0.6], rel=1e-5)


def test_as_the_paper_writes_it_the_gate_never_opens() -> None:
    image = evidence_at(torch.cat([PROTOTYPES, PROTOTYPES.mean(dim=0)[None]]))
    mixed = CalibratedScore("mixture", "paper", {})(image)
    torch.testing.assert_close(mixed, SCORERS["mmsp"](image), rtol=0, atol=1e-3)


def test_with_constants_the_gate_opens_at_the_centre_and_stays_shut_at_prototypes() -> None:
    image = evidence_at(torch.cat([PROTOTYPES, PROTOTYPES.mean(dim=0)[None]]))
    mixed = CalibratedScore("mixture", "constant", CONSTANTS)(image)[0, 0]
    mmsp = SCORERS["mmsp"](image)[0, 0]
    torch.testing.assert_close(mixed[:-1], mmsp[:-1], rtol=0, atol=1e-3)
    assert float(mmsp[-1]) == pytest.approx(0.9, abs=1e-5)
    assert float(mixed[-1]) > 0.99
