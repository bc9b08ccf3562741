"""Offline detectors against slow references: finite differences, samples by hand, two networks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import softmax
from scipy.stats import entropy

from owseg.errors import UsageError
from owseg_export.detectors import DropoutSamples, Ensemble, GraphScore, Odin, to_unit
from owseg_export.detectors.base import mean_and_spread
from owseg_export.trained import TrainedNetwork, load_trained
from owseg_training.scorers import SCORERS

SIZE = (64, 96)


@pytest.fixture(scope="module")
def trained(softmax_checkpoint: Path) -> TrainedNetwork:
    return load_trained(softmax_checkpoint)


@pytest.fixture(scope="module")
def metric(checkpoint: Path) -> TrainedNetwork:
    return load_trained(checkpoint)


def with_dropout(trained: TrainedNetwork, share: float) -> TrainedNetwork:
    recipe = trained.checkpoint.recipe
    recipe = replace(recipe, network=replace(recipe.network, dropout=share))
    trained.base.dropout.p = share
    return replace(trained, checkpoint=replace(trained.checkpoint, recipe=recipe))


def image(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*SIZE, 3)).astype(np.uint8)


def upsampled(logits: torch.Tensor) -> np.ndarray:
    return torch.nn.functional.interpolate(logits, SIZE, mode="bilinear")[0].numpy()


@pytest.mark.parametrize("name", SCORERS)
def test_a_score_of_the_graph_is_a_detector(name: str, metric: TrainedNetwork) -> None:
    expected = SCORERS[name](metric.evidence(torch.from_numpy(image()[None])))[0]
    torch.testing.assert_close(GraphScore(metric, name)(image()), expected)


def test_odin_without_a_step_is_msp_at_the_temperature(trained: TrainedNetwork) -> None:
    logits = trained.evidence(torch.from_numpy(image()[None])).logits[0].double().numpy()
    expected = 1 - softmax(logits / 4, axis=0).max(axis=0)
    found = Odin(trained, temperature=4, step=0)(image()).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_odin_steps_where_the_network_becomes_surer(trained: TrainedNetwork) -> None:
    """A step up the gradient lowers the score; and by what finite differences say."""
    still, moved = (Odin(trained, 4, step)(image()).double() for step in (0.0, 1e-4))
    rise = torch.log1p(-moved).sum() - torch.log1p(-still).sum()
    assert rise > 0
    x = to_unit(image())
    generator = torch.Generator().manual_seed(0)
    other = torch.randn(x.shape, generator=generator).sign()
    odin = Odin(trained, 4, 0.0)
    with torch.no_grad():
        start, end = (odin._log_best(x + step * other, SIZE).sum() for step in (0.0, 1e-4))
    assert rise > 3 * abs(end - start)  # steeper than a step of the same length elsewhere


def test_a_high_temperature_keeps_the_order(trained: TrainedNetwork) -> None:
    """Seven digits would leave a few dozen values."""
    found = Odin(trained, 1000, 0)(image()).double()
    logits = trained.evidence(torch.from_numpy(image()[None])).logits[0].double()
    margin = logits.mean(dim=0) - logits.amax(dim=0)
    order = torch.argsort(margin.flatten())
    ranked = found.flatten()[order]
    assert len(torch.unique(found)) > 1000
    assert torch.corrcoef(torch.stack([ranked, margin.flatten()[order]]))[0, 1] > 0.999


@pytest.mark.parametrize(("temperature", "step"), [(0, 0.1), (-1, 0.1), (1, -0.1)])
def test_odin_refuses(trained: TrainedNetwork, temperature: float, step: float) -> None:
    with pytest.raises(UsageError, match="ODIN needs a temperature above 0"):
        Odin(trained, temperature, step)


def test_mutual_information_is_what_the_samples_disagree_about() -> None:
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(4), (6, 3, 2)).transpose(0, 3, 1, 2)
    total = entropy(p.mean(axis=0), axis=0)
    spread = total - entropy(p, axis=1).mean(axis=0)
    found = mean_and_spread(torch.from_numpy(p))
    np.testing.assert_allclose(found[0].numpy(), total)
    np.testing.assert_allclose(found[1].numpy(), spread)
    same = torch.from_numpy(p[:1]).expand(5, -1, -1, -1)
    assert mean_and_spread(same)[1].abs().max() < 1e-12
    certain = torch.tensor([[1.0, 0.0], [0.0, 1.0]])[:, :, None, None]
    assert float(mean_and_spread(certain)[1]) == pytest.approx(np.log(2))


def test_dropout_samples_leave_channels_out(metric: TrainedNetwork) -> None:
    trained = with_dropout(metric, 0.5)
    state = torch.get_rng_state()
    found = DropoutSamples(trained, samples=4)(image())
    assert found.shape == SIZE
    assert found.std() > 1e-3
    assert found.min() >= 0
    assert torch.equal(state, torch.get_rng_state())
    assert not trained.base.dropout.training
    torch.testing.assert_close(found, DropoutSamples(trained, samples=4)(image()))
    assert DropoutSamples(with_dropout(metric, 1e-9), samples=4)(image()).max() < 1e-5


def test_dropout_samples_by_hand(metric: TrainedNetwork) -> None:
    trained = with_dropout(metric, 0.5)
    network = trained.base
    with torch.no_grad():
        features = network.features(network.trunk(to_unit(image())))
        torch.manual_seed(0)
        logits = []
        for _ in range(3):
            kept = (torch.nn.functional.dropout2d(features, 0.5)).double()
            weight = network.embed.weight.double()[..., 0, 0]
            f = torch.einsum("kc,bchw->bkhw", weight, kept) + network.embed.bias[:, None, None]
            gap = f[:, None] - network.prototypes.double()[None, :, :, None, None]
            logits.append(upsampled(-gap.square().sum(dim=2)))
    p = softmax(np.stack(logits), axis=1)
    expected = entropy(p.mean(axis=0), axis=0) - entropy(p, axis=1).mean(axis=0)
    found = DropoutSamples(trained, samples=3)(image()).double()
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-3, atol=1e-4)


def test_dropout_needs_dropout(trained: TrainedNetwork, metric: TrainedNetwork) -> None:
    with pytest.raises(UsageError, match="needs a network that was trained with dropout"):
        DropoutSamples(trained)
    with pytest.raises(UsageError, match="2 samples or more, not 1"):
        DropoutSamples(with_dropout(metric, 0.5), samples=1)


def test_an_ensemble_of_a_softmax_and_a_metric_network(
    trained: TrainedNetwork, metric: TrainedNetwork
) -> None:
    probabilities = []
    for one in (trained, metric):
        with torch.no_grad():
            logits = upsampled(one.evidence_of(to_unit(image())).logits.double())
        probabilities.append(softmax(logits, axis=0))
    expected = entropy(np.mean(probabilities, axis=0), axis=0)
    found = Ensemble([trained, metric])(image()).double()
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-3, atol=1e-5)


def test_an_ensemble_refuses(trained: TrainedNetwork) -> None:
    with pytest.raises(UsageError, match="needs 2 networks or more, not 1"):
        Ensemble([trained])
    other = replace(trained, checkpoint=replace(trained.checkpoint, class_names=("a", "b")))
    with pytest.raises(UsageError, match=r"must have the same classes: sky, .* and a, b"):
        Ensemble([trained, other])
