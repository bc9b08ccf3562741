"""Learning-rate schedule, optimiser groups and the weight average against their closed forms."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import nn

from owseg_training.config import OptimConfig
from owseg_training.ema import WeightAverage
from owseg_training.optim import build_optimizer, learning_rate


def rates(schedule: Any, steps: int = 104, warmup: int = 4) -> list[float]:
    config = OptimConfig(lr=2.0, warmup=warmup, schedule=schedule)
    return [learning_rate(step, steps, config) for step in range(steps + 1)]


@pytest.mark.parametrize("schedule", ["poly", "cosine"])
def test_linear_warm_up_then_peak(schedule: str) -> None:
    assert rates(schedule)[:5] == pytest.approx([0.5, 1.0, 1.5, 2.0, 2.0])


def test_poly_values() -> None:
    found = rates("poly")
    assert found[54] == pytest.approx(2.0 * 0.5**0.9)
    assert found[79] == pytest.approx(2.0 * 0.25**0.9)
    assert found[104] == 0.0


def test_cosine_values() -> None:
    found = rates("cosine")
    assert found[54] == pytest.approx(1.0)
    assert found[29] == pytest.approx(2.0 * (1 + math.cos(math.pi / 4)) / 2)
    assert found[104] == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("schedule", ["poly", "cosine"])
def test_never_rises_after_the_warm_up_and_stays_positive(schedule: str) -> None:
    found = rates(schedule)
    assert all(a >= b for a, b in itertools.pairwise(found[4:]))
    assert min(found[:-1]) > 0


def test_no_warm_up_starts_at_the_peak() -> None:
    assert rates("poly", warmup=0)[0] == 2.0


@pytest.mark.parametrize(
    ("name", "kind"),
    [("adamw", torch.optim.AdamW), ("adam", torch.optim.Adam), ("sgd", torch.optim.SGD)],
)
def test_optimisers_by_name(name: Any, kind: type) -> None:
    made = build_optimizer(nn.Linear(2, 2), OptimConfig(optimizer=name, lr=0.5))
    assert type(made) is kind
    assert {group["lr"] for group in made.param_groups} == {0.5}


def test_only_matrices_and_kernels_are_decayed() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2))
    optimizer = build_optimizer(network, OptimConfig(weight_decay=0.1))
    decayed, plain = optimizer.param_groups
    assert [p.ndim for p in decayed["params"]] == [4, 2]
    assert [p.ndim for p in plain["params"]] == [1, 1, 1, 1]
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.1, 0.0)


def test_sgd_has_the_papers_momentum() -> None:
    optimizer = build_optimizer(nn.Linear(2, 2), OptimConfig(optimizer="sgd"))
    assert isinstance(optimizer, torch.optim.SGD)
    assert optimizer.param_groups[0]["momentum"] == 0.9


def averaged(decay: float, weights: list[float], start: float = 4.0) -> float:
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, start)
    average = WeightAverage(network, decay)
    for step, weight in enumerate(weights):
        nn.init.constant_(network.weight, weight)
        average.update(network, step)
    return average.network.get_parameter("weight").item()


def test_average_with_constant_decay() -> None:
    # (1 + t) / (10 + t) is at least 0.1, so this decay is constant from the first step on.
    weights = [1.0, -2.0, 3.0]
    expected = 0.1**3 * 4.0 + sum(0.9 * 0.1 ** (2 - i) * w for i, w in enumerate(weights))
    assert averaged(0.1, weights) == pytest.approx(expected, rel=1e-6)


def test_average_warms_its_decay_up() -> None:
    expected = 4.0
    for step, weight in enumerate([1.0, -2.0, 3.0]):
        decay = (1 + step) / (10 + step)
        expected = decay * expected + (1 - decay) * weight
    assert averaged(0.999, [1.0, -2.0, 3.0]) == pytest.approx(expected, rel=1e-6)


def test_no_decay_keeps_the_weights_themselves() -> None:
    assert averaged(0.0, [1.0, -2.0, 3.3]) == pytest.approx(3.3)


def test_average_follows_running_statistics_and_copies_counters() -> None:
    network = nn.BatchNorm2d(2)
    average = WeightAverage(network, 0.1)
    network.train()(torch.randn(4, 2, 3, 3) + 5)
    average.update(network, 0)
    kept = average.network.state_dict()
    torch.testing.assert_close(kept["running_mean"], 0.9 * network.running_mean)
    assert int(kept["num_batches_tracked"]) == 1
    assert not average.network.training
    assert not any(p.requires_grad for p in average.network.parameters())
