"""What losses of some frames say of all: exact cases, and how often the tests err."""

from __future__ import annotations

import math

import numpy as np
import pytest

from owseg.calibration.bounds import betting_p_value, binomial_p_value, expected_loss


def column(values) -> np.ndarray:
    return np.asarray(values, float).reshape(-1, 1)


@pytest.mark.parametrize(("frames", "hits", "limit"), [(20, 0, 0.1), (59, 0, 0.05), (50, 7, 0.2)])
def test_binomial_is_the_exact_tail(frames, hits, limit) -> None:
    losses = column([1] * hits + [0] * (frames - hits))
    tail = sum(
        math.comb(frames, k) * limit**k * (1 - limit) ** (frames - k) for k in range(hits + 1)
    )
    assert binomial_p_value(losses, limit)[0] == pytest.approx(tail)


def test_binomial_agrees_with_clopper_and_pearson() -> None:
    stats = pytest.importorskip("scipy.stats")
    for hits in (0, 3, 11):
        upper = stats.binomtest(hits, 200).proportion_ci(0.9, method="exact").high  # one side: 95 %
        losses = column([1] * hits + [0] * (200 - hits))
        assert binomial_p_value(losses, upper)[0] == pytest.approx(0.05, rel=1e-6)


def test_binomial_with_many_frames_stays_finite() -> None:
    found = binomial_p_value(np.zeros((100_000, 1)), 0.01)
    assert found[0] == 0.0
    assert binomial_p_value(np.ones((3000, 1)), 0.01)[0] == pytest.approx(1.0)


def test_expected_loss_by_hand() -> None:
    losses = np.array([[0.0, 0.5], [0.0, 0.25], [0.0, 0.0]])
    np.testing.assert_allclose(expected_loss(losses), [1 / 4, 1.75 / 4])


def slow_betting(losses, limit, level):
    """One rule, one frame after the other, with the running mean and variance written out."""
    order = np.random.default_rng(0).permutation(len(losses))
    seen, capital, most = [], 1.0, 1.0
    variance = 0.25
    for number, index in enumerate(order, start=1):
        stake = math.sqrt(2 * math.log(1 / level) / (len(losses) * variance / number))
        capital *= 1 + min(stake, 0.99 / (1 - limit)) * (limit - losses[index])
        most = max(most, capital)
        seen.append(losses[index])
        means = [(0.5 + sum(seen[: k + 1])) / (k + 2) for k in range(number)]
        variance = 0.25 + sum((x - m) ** 2 for x, m in zip(seen, means, strict=True))
    return 1 / most


@pytest.mark.parametrize("limit", [0.02, 0.2])
def test_betting_against_the_slow_one(limit) -> None:
    rng = np.random.default_rng(3)
    losses = rng.beta(0.5, 20, (60, 3))
    found = betting_p_value(losses, limit, 0.05)
    expected = [slow_betting(losses[:, k].tolist(), limit, 0.05) for k in range(3)]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_betting_rises_with_the_losses() -> None:
    base = np.random.default_rng(0).beta(0.5, 20, 200)
    found = betting_p_value(np.stack([base * f for f in (0.0, 0.5, 1.0, 2.0)], axis=1), 0.05, 0.05)
    assert (np.diff(found) >= 0).all()
    assert found[0] < 1e-3
    assert found[-1] > 0.05


@pytest.mark.parametrize("kind", ["rare", "even", "two values"])
def test_betting_errs_no_more_often_than_it_says(kind) -> None:
    """Losses whose mean is the limit exactly: a p-value of 5 % or less in 5 % of draws at most."""
    rng = np.random.default_rng(7)
    limit, draws, frames = 0.1, 1500, 80
    losses = {
        "rare": (rng.random((frames, draws)) < limit).astype(float),
        "even": rng.uniform(0, 2 * limit, (frames, draws)),
        "two values": np.where(rng.random((frames, draws)) < 0.25, 0.4, 0.0),
    }[kind]
    errors = np.mean(betting_p_value(losses, limit, 0.05) <= 0.05)
    assert errors <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / draws)


def test_betting_has_power() -> None:
    """Losses well below the limit are recognised nearly always, with far fewer frames than 1e4."""
    losses = np.random.default_rng(1).beta(1, 99, (300, 200))  # mean 1 %
    assert np.mean(betting_p_value(losses, 0.03, 0.05) <= 0.05) > 0.95
