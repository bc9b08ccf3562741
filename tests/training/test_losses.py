"""Loss terms: hand-worked values, gradients, ignored pixels, and the sum of a recipe."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from owseg_training.config import LossConfig, NetworkConfig, Recipe
from owseg_training.data import OUTLIER_ID, Batch
from owseg_training.distances import centre_distance, squared_distances
from owseg_training.losses import (
    LossTerms,
    direction_loss,
    discriminative_cross_entropy,
    outlier_loss,
    total_loss,
    variance_loss,
)
from owseg_training.losses.outlier import uniformity_loss
from owseg_training.models import NetworkOutput

IGNORE = 255
PROTOTYPES = 3.0 * torch.eye(3)


def pixels(*distances: tuple[float, ...]) -> torch.Tensor:
    """(1, N, 1, W) from one tuple of N values a pixel."""
    return torch.tensor(distances).t()[None, :, None, :]


def labels(*ids: int) -> torch.Tensor:
    return torch.tensor(ids)[None, None, :]


def hand_cross_entropy(distances: tuple[float, ...], label: int) -> float:
    return distances[label] + math.log(sum(math.exp(-d) for d in distances))


DISTANCES = ((0.5, 2.0, 3.0), (1.0, 0.2, 4.0), (9.0, 9.0, 9.0))


def test_dce_hand_worked_with_an_ignored_pixel() -> None:
    found = discriminative_cross_entropy(pixels(*DISTANCES), labels(0, 2, IGNORE))
    expected = (hand_cross_entropy(DISTANCES[0], 0) + hand_cross_entropy(DISTANCES[1], 2)) / 2
    assert found.item() == pytest.approx(expected, rel=1e-6)


def test_dce_class_weights_make_a_weighted_mean() -> None:
    weights = torch.tensor([1.0, 1.0, 3.0])
    found = discriminative_cross_entropy(pixels(*DISTANCES), labels(0, 2, IGNORE), weights)
    terms = hand_cross_entropy(DISTANCES[0], 0), hand_cross_entropy(DISTANCES[1], 2)
    assert found.item() == pytest.approx((terms[0] + 3 * terms[1]) / 4, rel=1e-6)


def test_variance_loss_hand_worked_with_an_ignored_pixel() -> None:
    found = variance_loss(pixels(*DISTANCES), labels(0, 2, IGNORE))
    assert found.item() == pytest.approx((0.5 + 4.0) / 2)


def test_variance_loss_pulls_each_pixel_to_its_own_prototype() -> None:
    f = pixels((1.0, 0.5, -0.2), (0.3, 2.0, 0.1)).requires_grad_()
    variance_loss(squared_distances(f, PROTOTYPES), labels(0, 1)).backward()
    assert f.grad is not None
    own = PROTOTYPES[[0, 1]].t()[None, :, None, :]
    torch.testing.assert_close(f.grad, 2 * (f.detach() - own) / 2)


def test_outlier_loss_is_zero_at_the_centre_and_only_counts_outliers() -> None:
    centre = PROTOTYPES.mean(dim=0)[None, :, None, None].expand(1, 3, 1, 2)
    mask = torch.tensor([[[True, True]]])
    assert outlier_loss(centre_distance(centre, PROTOTYPES), mask).item() < 1e-10
    distances = torch.tensor([[[4.0, 100.0]]])
    assert float(outlier_loss(distances, torch.tensor([[[True, False]]]))) == 4.0
    assert float(outlier_loss(distances, torch.zeros(1, 1, 2, dtype=torch.bool))) == 0.0


def test_uniformity_loss_is_smallest_where_all_logits_are_equal() -> None:
    mask = torch.ones(1, 1, 1, dtype=torch.bool)
    assert float(uniformity_loss(pixels((2.0, 2.0, 2.0)), mask)) == pytest.approx(math.log(3))
    assert float(uniformity_loss(pixels((2.0, 2.1, 2.0)), mask)) > math.log(3)


def unit(*angles: float) -> torch.Tensor:
    """(1, 2, 1, W) unit vectors of angles in radians."""
    a = torch.tensor(angles)
    return torch.stack([a.sin(), a.cos()])[None, :, None, :]


def test_direction_loss_hand_worked() -> None:
    predicted, target = 5 * unit(0.0, math.pi / 2, 1.0), unit(0.0, 0.0, 0.0)
    weight = torch.tensor([[[1.0, 3.0, 0.0]]])
    right_angle = 2.0 + (math.pi / 2) ** 2
    found = float(direction_loss(predicted, target, weight))
    assert found == pytest.approx((0.0 + 3 * right_angle) / 4, abs=2e-4)


def test_direction_loss_is_zero_and_finite_when_all_is_void() -> None:
    predicted = torch.zeros(1, 2, 1, 2, requires_grad=True)
    loss = direction_loss(predicted, torch.zeros(1, 2, 1, 2), torch.zeros(1, 1, 2))
    loss.backward()
    assert loss.item() == 0.0
    assert predicted.grad is not None
    assert torch.isfinite(predicted.grad).all()


def test_direction_sum_is_that_of_the_pixels_of_an_image() -> None:
    # One segment of 16 x 16 pixels, at right angles everywhere: 256 pixels of weight 1/16.
    weight = torch.full((3, 4, 4), 1 / math.sqrt(8 * 8))
    predicted, target = (unit(a).expand(3, 2, 4, 4) for a in (math.pi / 2, 0.0))
    output = NetworkOutput(torch.zeros(3, 3, 4, 4), predicted)
    batch = Batch(
        torch.zeros(3, 3, 16, 16),
        torch.zeros(3, 16, 16, dtype=torch.long),
        target,
        weight,
    )
    error = 2.0 + (math.pi / 2) ** 2
    mean, total = (
        evaluate(recipe(direction_sum=chosen), output, batch).direction.item()
        for chosen in (False, True)
    )
    assert mean == pytest.approx(error, rel=1e-5)
    assert total == pytest.approx(256 / 16 * error, rel=1e-5)


def test_direction_gradient_is_finite_at_exact_and_opposite_directions() -> None:
    predicted = unit(0.0, math.pi).requires_grad_()
    direction_loss(predicted, unit(0.0, 0.0), torch.ones(1, 1, 2)).backward()
    assert predicted.grad is not None
    assert torch.isfinite(predicted.grad).all()


# The weighted sum of a recipe.


def recipe(head: str = "metric", **weights: Any) -> Recipe:
    return Recipe(
        name="test",
        network=NetworkConfig(head=head),  # type: ignore[arg-type]
        loss=LossConfig(**{"class_balance": 0.0, "outlier": 0.5, **weights}),
    )


def case(seed: int = 0) -> tuple[NetworkOutput, Batch]:
    generator = torch.Generator().manual_seed(seed)
    output = NetworkOutput(
        torch.randn(2, 3, 4, 4, generator=generator).requires_grad_(),
        torch.randn(2, 2, 4, 4, generator=generator).requires_grad_(),
    )
    ids = torch.randint(0, 3, (2, 16, 16), generator=generator)
    ids[0, :3], ids[1, :, :2] = IGNORE, OUTLIER_ID
    target = torch.nn.functional.normalize(torch.randn(2, 2, 4, 4, generator=generator), dim=1)
    return output, Batch(torch.zeros(2, 3, 16, 16), ids, target, torch.ones(2, 4, 4))


def evaluate(wanted: Recipe, output: NetworkOutput, batch: Batch) -> LossTerms:
    return total_loss(output, batch, wanted, PROTOTYPES, None)


@pytest.mark.parametrize("head", ["metric", "softmax"])
def test_total_is_the_weighted_sum(head: str) -> None:
    terms = evaluate(recipe(head, variance=0.01, direction=2.0), *case())
    expected = (
        terms.classification + 0.01 * terms.variance + 0.5 * terms.outlier + 2.0 * terms.direction
    )
    torch.testing.assert_close(terms.total, expected)
    unused = {"variance", "contrast"}
    assert all(t.item() > 0 for name, t in terms._asdict().items() if name not in unused)


def test_variance_loss_is_really_in_the_total_and_in_its_gradient() -> None:
    output, batch = case()
    (with_it,) = torch.autograd.grad(
        evaluate(recipe(variance=0.01), output, batch).total, output.embedding
    )
    plain = evaluate(recipe(variance=0.0), output, batch)
    (without,) = torch.autograd.grad(plain.total, output.embedding, retain_graph=True)
    (own,) = torch.autograd.grad(plain.variance, output.embedding)
    assert float(own.abs().sum()) > 0.1
    torch.testing.assert_close(with_it - without, 0.01 * own, rtol=1e-3, atol=1e-7)


def test_the_classification_can_be_left_out_so_that_the_variance_alone_learns() -> None:
    output, batch = case()
    assert Recipe(name="any").loss.dce == 1.0
    chosen = {"outlier": 0.0, "direction": 0.0, "variance": 1.0}
    terms = evaluate(recipe(dce=0.0, **chosen), output, batch)
    assert terms.classification.item() > 0
    torch.testing.assert_close(terms.total, terms.variance)
    half = evaluate(recipe(dce=0.5, **chosen), output, batch)
    torch.testing.assert_close(half.total, half.variance + 0.5 * half.classification)


def test_default_recipes_apply_the_variance_loss_with_the_papers_weight() -> None:
    assert Recipe(name="any").loss.variance == 0.01


def test_ignored_and_outlier_pixels_do_not_enter_the_classification() -> None:
    output, batch = case()
    silent = (batch.labels == IGNORE) | (batch.labels == OUTLIER_ID)
    full = torch.nn.functional.interpolate(
        squared_distances(output.embedding, PROTOTYPES), scale_factor=4, mode="bilinear"
    )
    expected = [
        hand_cross_entropy(tuple(full[b, :, y, x].tolist()), int(batch.labels[b, y, x]))
        for b, y, x in (~silent).nonzero().tolist()
    ]
    found = evaluate(recipe(), output, batch).classification.item()
    assert found == pytest.approx(sum(expected) / len(expected), rel=1e-5)


@pytest.mark.parametrize("head", ["metric", "softmax"])
def test_all_void_batch_has_zero_loss_and_finite_gradients(head: str) -> None:
    output, batch = case()
    void = replace_labels(batch, torch.full_like(batch.labels, IGNORE))
    terms = evaluate(recipe(head), output, void)
    terms.total.backward()
    assert terms.total.item() == 0.0
    assert output.embedding.grad is not None
    assert torch.isfinite(output.embedding.grad).all()


def replace_labels(batch: Batch, ids: torch.Tensor) -> Batch:
    return batch._replace(labels=ids, direction_weight=torch.zeros(2, 4, 4))


def test_terms_that_a_recipe_switches_off_are_zero() -> None:
    wanted = replace(recipe(outlier=0.0), network=NetworkConfig(direction=False))
    terms = evaluate(wanted, *case())
    assert terms.outlier.item() == 0.0
    assert terms.direction.item() == 0.0
