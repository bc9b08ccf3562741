"""Scores with a state against independent float64 references, and what they are for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist, mahalanobis
from scipy.stats import multivariate_normal

from owseg.errors import UsageError
from owseg_training.scorers import (
    FITTED_SCORERS,
    CalibratedScore,
    Calibration,
    Cells,
    Evidence,
    density,
    get_scorer,
    knn,
)
from owseg_training.scorers.density import EmbeddingDensity
from owseg_training.scorers.knn import NearestNeighbour
from owseg_training.scorers.mahalanobis import Mahalanobis
from owseg_training.scorers.on_embedding import Whitening
from owseg_training.scorers.standardised_max_logit import StandardisedMaxLogit

N, D = 4, 5
EMBEDDING_ONLY = ("mahalanobis", "knn", "density")


def correlated(count: int, seed: int = 0) -> Cells:
    """Cells of four classes, of unlike means and one skewed covariance; class 2 does not occur."""
    rng = np.random.default_rng(seed)
    labels = rng.choice([0, 1, 3], count, p=[0.7, 0.25, 0.05])
    mixing = np.random.default_rng(7).normal(size=(D, D)) + 2 * np.eye(D)
    means = 8 * np.random.default_rng(8).normal(size=(N, D))
    f = means[labels] + rng.normal(size=(count, D)) @ mixing.T
    logits = torch.from_numpy(f[:, :N]).float()
    return Cells(torch.from_numpy(f).float(), logits, torch.from_numpy(labels))


def evidence_at(points: torch.Tensor, size: tuple[int, int] | None = None) -> Evidence:
    """Evidence whose grid is one row of embeddings."""
    grid = points.T[None, :, None]
    height, width = size or (1, len(points))
    return Evidence(torch.zeros(1, N, height, width), None, embedding=grid)


def queries(count: int = 30) -> torch.Tensor:
    return 10 * torch.randn(count, D, generator=torch.Generator().manual_seed(2))


def test_mahalanobis_is_the_distance_to_the_nearest_class_in_the_common_covariance() -> None:
    cells = correlated(4000)
    f, labels = cells.embedding.double().numpy(), cells.labels.numpy()
    means = {k: f[labels == k].mean(axis=0) for k in (0, 1, 3)}
    within = f - np.stack([means[int(k)] for k in labels])
    inverse = np.linalg.inv(within.T @ within / len(f))
    points = queries()
    expected = [
        min(mahalanobis(x, m, inverse) ** 2 for m in means.values())
        for x in points.double().numpy()
    ]
    found = FITTED_SCORERS["mahalanobis"](cells)(evidence_at(points))[0, 0]
    np.testing.assert_allclose(found.numpy(), expected, rtol=5e-3)  # the ridge


def test_the_nearest_neighbour_is_that_of_the_bank(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knn, "BANK", 90)
    cells = correlated(3000)
    score = FITTED_SCORERS["knn"](cells)
    assert isinstance(score, NearestNeighbour)
    assert score.nearest.points.shape == (90, D)
    points = queries()
    whitened = score.whitening(points.T[None])[0].T
    expected = cdist(
        whitened.double().numpy(), score.nearest.points.double().numpy(), "sqeuclidean"
    ).min(1)
    found = score(evidence_at(points))[0, 0].numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    own = score.whitening.matrix.double().numpy()
    back = (
        score.nearest.points.double().numpy() @ np.linalg.inv(own).T
        + score.whitening.centre[:, 0].numpy()
    )
    nearest = cdist(back, cells.embedding.double().numpy())
    assert nearest.min(axis=1).max() < 1e-3  # the bank is made of what was seen
    of = cells.labels.numpy()[nearest.argmin(axis=1)]
    assert [int((of == k).sum()) for k in range(N)] == [30, 30, 0, 30]


def test_a_class_with_few_cells_gives_all_of_them() -> None:
    cells = correlated(200)
    rare = int((cells.labels == 3).sum())
    score = FITTED_SCORERS["knn"](cells)
    assert isinstance(score, NearestNeighbour)
    common = sum(min(512 // 3, int((cells.labels == k).sum())) for k in (0, 1))
    assert len(score.nearest.points) == common + rare


def test_the_density_of_one_gaussian_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(density, "STEPS", 150)
    rng = np.random.default_rng(1)
    mixing = rng.normal(size=(D, D)) + 2 * np.eye(D)
    centre = 3 * rng.normal(size=D)
    f = torch.from_numpy(centre + rng.normal(size=(20000, D)) @ mixing.T).float()
    score = FITTED_SCORERS["density"](Cells(f, f[:, :N], torch.zeros(len(f), dtype=torch.int64)))
    inside = f[:200]
    found = score(evidence_at(inside))[0, 0].double().numpy()
    truth = multivariate_normal(centre, mixing @ mixing.T)
    expected = -truth.logpdf(inside.double().numpy())
    gap = found - expected  # a constant is left out
    assert np.std(gap) < 0.15
    assert np.std(expected) > 1.0


def test_the_density_learns_what_a_gaussian_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two clusters there is nothing: one Gaussian is densest there."""
    monkeypatch.setattr(density, "STEPS", 150)
    rng = torch.Generator().manual_seed(0)
    side = torch.randint(2, (8000, 1), generator=rng).float() * 2 - 1
    f = 0.3 * torch.randn(8000, D, generator=rng) + 3 * side
    score = FITTED_SCORERS["density"](Cells(f, f[:, :N], torch.zeros(8000, dtype=torch.int64)))
    between, inside = torch.zeros(1, D), torch.full((1, D), 3.0)
    found = score(evidence_at(torch.cat([between, inside])))[0, 0]
    assert found[0] > found[1] + 1  # one Gaussian: about half a unit lower
    assert isinstance(score, EmbeddingDensity)
    assert not any(p.requires_grad for p in score.parameters())


def test_the_log_determinant_is_that_of_the_jacobian() -> None:
    torch.manual_seed(4)
    flow = EmbeddingDensity(Whitening(torch.zeros(D), torch.eye(D)), D)
    for parameter in flow.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    x = torch.randn(D)

    def through(v: torch.Tensor) -> torch.Tensor:
        for coupling in flow.couplings:
            v = coupling(v[None, :, None])[0][0, :, 0]
        return v

    jacobian = torch.autograd.functional.jacobian(through, x)
    expected = 0.5 * through(x).square().sum() - torch.linalg.slogdet(jacobian).logabsdet
    found = flow.negative_log_likelihood(x[None, :, None])[0, 0]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_standardised_max_logit_by_hand() -> None:
    logits = torch.tensor([[5.0, 0, 0, 0], [7.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 1.5, 0, 0]])
    score = FITTED_SCORERS["standardised_max_logit"](Cells(logits, logits, torch.arange(4)))
    assert isinstance(score, StandardisedMaxLogit)
    # Class 0: mean 6, deviation 1; class 1: 1.25 and 0.25; the others never win: 3.625, 2.4590
    queries = torch.tensor([[5.0, 1, 1, 1], [0, 2.0, 1, 1], [0, 0, 3.625, 0]]).T[None, :, None]
    found = score(Evidence(queries, None))[0, 0]
    torch.testing.assert_close(found, torch.tensor([1.0, -3.0, 0.0]), atol=1e-5, rtol=0)
    everything = np.array([5, 7, 1, 1.5])
    assert score.std[3] == pytest.approx(everything.std(), rel=1e-5)


def test_a_class_whose_logit_never_varies_has_a_finite_score() -> None:
    logits = torch.tensor([[5.0, 0, 0, 0]] * 3)
    score = FITTED_SCORERS["standardised_max_logit"](Cells(logits, logits, torch.zeros(3)))
    assert torch.isfinite(score(Evidence(torch.randn(1, N, 2, 2), None))).all()


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the fit of the flow end early, where its quality does not matter."""
    monkeypatch.setattr(density, "STEPS", 20)
    monkeypatch.setattr(density, "BATCH", 128)


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("name", EMBEDDING_ONLY)
def test_what_is_far_from_all_classes_scores_higher(name: str) -> None:
    cells = correlated(3000)
    score = FITTED_SCORERS[name](cells)
    seen = correlated(300, seed=5).embedding
    far = seen + 60 * torch.nn.functional.normalize(queries(300), dim=1)
    low, high = (score(evidence_at(points)).flatten() for points in (seen, far))
    assert high.median() > low.quantile(0.99)


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("name", EMBEDDING_ONLY)
def test_a_grid_is_scored_cell_by_cell_and_upsampled(name: str) -> None:
    score = FITTED_SCORERS[name](correlated(1000))
    points = queries(12)
    grid = points.T.reshape(1, D, 3, 4)
    alone = score(evidence_at(points))[0, 0].reshape(1, 1, 3, 4)
    two = torch.cat([grid, grid.flip(3)])
    found = score(Evidence(torch.zeros(2, N, 12, 16), None, embedding=two))
    expected = torch.nn.functional.interpolate(alone, (12, 16), mode="bilinear")[:, 0]
    torch.testing.assert_close(found[:1], expected, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(found[1:], expected.flip(2), rtol=1e-4, atol=1e-3)


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("name", FITTED_SCORERS)
def test_a_fit_is_reproducible_and_leaves_the_random_numbers_alone(name: str) -> None:
    torch.manual_seed(11)
    states = [FITTED_SCORERS[name](correlated(500)).state_dict() for _ in range(2)]
    after = torch.rand(1)
    torch.manual_seed(11)
    assert torch.equal(after, torch.rand(1))
    for key, value in states[0].items():
        assert torch.equal(value, states[1][key]), key
        assert value.dtype == torch.float32


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("name", FITTED_SCORERS)
def test_degenerate_cells_give_finite_scores(name: str) -> None:
    """One class, and channels that never vary."""
    f = torch.zeros(20, D)
    f[:, 0] = torch.arange(20.0)
    score = FITTED_SCORERS[name](Cells(f, f[:, :N], torch.zeros(20, dtype=torch.int64)))
    evidence = evidence_at(queries())._replace(logits=queries(30)[:, :N].T[None, :, None])
    assert torch.isfinite(score(evidence)).all()


@pytest.mark.parametrize("name", FITTED_SCORERS)
def test_without_cells_there_is_one_clear_line(name: str) -> None:
    empty = Cells(torch.zeros(0, D), torch.zeros(0, N), torch.zeros(0, dtype=torch.int64))
    with pytest.raises(UsageError, match="no pixel of a known class to fit the score on"):
        FITTED_SCORERS[name](empty)


def test_a_single_channel_has_no_density() -> None:
    one = Cells(torch.randn(9, 1), torch.randn(9, 1), torch.zeros(9, dtype=torch.int64))
    with pytest.raises(UsageError, match="at least two classes"):
        FITTED_SCORERS["density"](one)


def test_the_calibrated_score_uses_the_state() -> None:
    state = FITTED_SCORERS["mahalanobis"](correlated(1000))
    assert isinstance(state, Mahalanobis)
    constants = {"mahalanobis": Calibration(low=2.0, high=40.0)}
    score = CalibratedScore("mahalanobis", "constant", constants, fitted=state)
    evidence = evidence_at(queries() / 3)
    expected = ((state(evidence) - 2) / 38).clamp(0, 1)
    assert ((expected > 0) & (expected < 1)).float().mean() > 0.05
    torch.testing.assert_close(score(evidence), expected)
    printed = CalibratedScore("mahalanobis", "paper", {}, fitted=state)(evidence)
    assert (printed.min(), printed.max()) == (0, 1)
    assert {"fitted.nearest.rows", "fitted.whitening.matrix"} <= set(score.state_dict())


def test_unknown_names_list_all_scores() -> None:
    with pytest.raises(
        UsageError, match=r"no anomaly score 'x'; there are msp,.*n_plus_1.*knn.*mix"
    ):
        get_scorer("x")
