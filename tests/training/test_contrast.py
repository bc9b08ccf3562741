"""The contrastive loss against a slow reference, and what it compares."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from owseg_training.config import ContrastConfig
from owseg_training.losses.contrast import (
    Choice,
    contrast_loss,
    draw_per_class,
    info_nce,
    semi_hard,
)

EVERYTHING = ContrastConfig(
    temperature=0.5, anchors=10**6, views=10**6, negatives=10**6, pool=10**6, hard_share=1.0
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def case(images: int = 2, size: int = 5, classes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """Return embeddings (B, 4, H, W) and labels with some void."""
    embedding = torch.randn(images, 4, size, size, generator=generator(1))
    labels = torch.randint(-1, classes, (images, size, size), generator=generator(2))
    return embedding.requires_grad_(), labels


def slow_loss(embedding: torch.Tensor, labels: torch.Tensor, temperature: float) -> float:
    """Evaluate Eq. 3 pixel by pixel, with every candidate."""
    e = embedding.detach().double().numpy()
    y = labels.numpy()
    places = [tuple(p) for p in np.argwhere(y >= 0)]

    def cosine(p: tuple[int, ...], q: tuple[int, ...]) -> float:
        a, b = e[p[0], :, p[1], p[2]], e[q[0], :, q[1], q[2]]
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)) / temperature

    losses = []
    for p in places:
        near = [q for q in places if q != p and y[q] == y[p] and q[0] == p[0]]
        far = sum(math.exp(cosine(p, q)) for q in places if y[q] != y[p])
        terms = [math.exp(cosine(p, q)) for q in near]
        if terms and far:
            losses.append(np.mean([-math.log(t / (t + far)) for t in terms]))
    return float(np.mean(losses))


def test_with_every_candidate_it_is_the_formula() -> None:
    embedding, labels = case()
    found = contrast_loss(embedding, labels, labels, EVERYTHING, generator())
    assert found.item() == pytest.approx(slow_loss(embedding, labels, 0.5), rel=1e-5)


def test_it_depends_on_the_direction_of_an_embedding_alone() -> None:
    embedding, labels = case()
    long = embedding.detach() * torch.linspace(0.1, 9, 25).reshape(5, 5)
    a, b = (contrast_loss(e, labels, labels, EVERYTHING, generator()) for e in (embedding, long))
    torch.testing.assert_close(a, b)


def test_descending_pulls_classes_together_and_apart() -> None:
    embedding, labels = case(classes=2)
    optimizer = torch.optim.Adam([embedding], lr=0.1)
    config = replace(EVERYTHING, views=5, negatives=8, hard_share=0.3)
    for step in range(60):
        optimizer.zero_grad()
        contrast_loss(embedding, labels, labels, config, generator(step)).backward()
        optimizer.step()
    unit = torch.nn.functional.normalize(embedding.detach(), dim=1)
    zero, one = (unit[0][:, labels[0] == k] for k in (0, 1))
    assert float((zero.t() @ zero).mean()) > 0.9
    assert float((zero.t() @ one).mean()) < 0.0


def test_void_and_lonely_pixels_have_no_gradient() -> None:
    embedding, labels = case()
    labels[0] = torch.where(labels[0] == 2, -1, labels[0])
    labels[0, 0, 0] = 2  # the only one of its class in its image: a negative, but no anchor
    loss = contrast_loss(embedding, labels, labels, EVERYTHING, generator())
    loss.backward()
    assert embedding.grad is not None
    touched = embedding.grad.abs().sum(dim=1) > 0
    assert not touched[labels < 0].any()
    assert touched[labels >= 0].all()


@pytest.mark.parametrize("value", [-1, 1])
def test_nothing_to_compare_is_zero_and_finite(value: int) -> None:
    embedding, labels = case()
    loss = contrast_loss(embedding, torch.full_like(labels, value), labels, EVERYTHING)
    loss.backward()
    assert loss.item() == 0.0
    assert embedding.grad is not None
    assert torch.isfinite(embedding.grad).all()


def test_the_same_randomness_gives_the_same_loss() -> None:
    embedding, labels = case(size=12)
    config = ContrastConfig(anchors=40, views=3, negatives=5, pool=60)
    one, two, other = (
        contrast_loss(embedding, labels, labels, config, generator(seed)).item()
        for seed in (3, 3, 4)
    )
    assert one == two != other


def test_info_nce_hand_worked() -> None:
    logits = torch.tensor([[1.0, 2.0, 0.5, -1.0], [3.0, 0.0, 0.0, 0.0]])
    positives = Choice(torch.tensor([[0, 1], [0, 1]]), torch.tensor([[True, False], [False] * 2]))
    negatives = Choice(torch.tensor([[2, 3], [2, 3]]), torch.tensor([[True, True]] * 2))
    near, far = math.e, math.exp(0.5) + math.exp(-1.0)  # the second anchor has no positive
    found = info_nce(logits, positives, negatives).item()
    assert found == pytest.approx(-math.log(near / (near + far)), rel=1e-6)


# Semi-hard sampling -----------------------------------------------------------------------------


def test_candidates_come_from_the_hardest_share_without_repetition() -> None:
    hardness = torch.rand(20, 100, generator=generator())
    candidates = torch.rand(20, 100, generator=generator(1)) < 0.8
    index, valid = semi_hard(hardness, candidates, 4, 0.1, generator())
    assert valid.all()
    for row in range(20):
        allowed = hardness[row].masked_fill(~candidates[row], -1).argsort(descending=True)
        share = math.ceil(int(candidates[row].sum()) * 0.1)
        chosen = index[row].tolist()
        assert set(chosen) <= set(allowed[:share].tolist())
        assert len(set(chosen)) == 4


def test_it_draws_at_random_within_the_share() -> None:
    hardness, everything = torch.arange(100.0)[None], torch.ones(1, 100, dtype=torch.bool)
    seen = {int(semi_hard(hardness, everything, 1, 0.1, generator(s)).place) for s in range(200)}
    assert seen == set(range(90, 100))


def test_few_candidates_are_all_there_is() -> None:
    hardness = torch.rand(3, 6, generator=generator())
    candidates = torch.zeros(3, 6, dtype=torch.bool)
    candidates[1, 4], candidates[2, :5] = True, True
    index, valid = semi_hard(hardness, candidates, 4, 0.5, generator())
    assert valid.sum(dim=1).tolist() == [0, 1, 3]  # half of five, rounded up
    assert index[1][valid[1]].tolist() == [4]
    assert 5 not in index[2][valid[2]].tolist()


def test_the_hardest_positive_is_the_least_alike_and_the_hardest_negative_the_most() -> None:
    embedding, labels = case(images=1)
    unit = torch.nn.functional.normalize(embedding.detach()[0].flatten(1), dim=0)
    alike, classes = (unit.t() @ unit).double(), labels.flatten()
    losses = []
    for anchor in np.flatnonzero(classes >= 0).tolist():
        others = (classes >= 0) & (classes != classes[anchor])
        same = (classes == classes[anchor]) & (torch.arange(len(classes)) != anchor)
        gap = alike[anchor][others].max() - alike[anchor][same].min()
        losses.append(math.log1p(math.exp(float(gap) / 0.5)))
    config = replace(EVERYTHING, hard_share=1e-6)  # one of each
    found = contrast_loss(embedding, labels, labels, config, generator())
    assert found.item() == pytest.approx(np.mean(losses), rel=1e-5)


# Drawing pixels ---------------------------------------------------------------------------------


def test_classes_of_an_image_are_drawn_equally_and_void_never() -> None:
    labels = torch.tensor([0] * 50 + [1] * 5 + [-1] * 20 + [0] * 30 + [2] * 30)
    image = torch.tensor([0] * 75 + [1] * 60)
    drawn = draw_per_class(labels, image, 28, 100, None, generator())
    assert len(set(drawn.tolist())) == len(drawn)
    groups = [(int(image[i]), int(labels[i])) for i in drawn]
    assert {g: groups.count(g) for g in set(groups)} == {(0, 0): 7, (0, 1): 5, (1, 0): 7, (1, 2): 7}
    most = draw_per_class(labels, image, 1000, 3, None, generator())
    assert len(most) == 12


@pytest.mark.parametrize(("wrong", "expected"), [(40, 5), (3, 3), (97, 7)])
def test_half_of_the_anchors_are_wrongly_classified_as_far_as_there_are(
    wrong: int, expected: int
) -> None:
    labels, image = torch.zeros(100, dtype=torch.long), torch.zeros(100, dtype=torch.long)
    preferred = torch.arange(100) < wrong
    drawn = draw_per_class(labels, image, 1000, 10, preferred, generator())
    assert len(set(drawn.tolist())) == 10
    assert int(preferred[drawn].sum()) == expected


def test_positives_are_of_the_same_image_and_negatives_of_any() -> None:
    labels = torch.tensor([[[0, 0]], [[0, 1]]])
    embedding = torch.zeros(2, 2, 1, 2)
    embedding[0, :, 0, 0] = torch.tensor([1.0, 0.0])
    embedding[0, :, 0, 1] = torch.tensor([0.0, 1.0])
    embedding[1, :, 0, 0] = torch.tensor([1.0, 0.0])  # would be the better positive
    embedding[1, :, 0, 1] = torch.tensor([1.0, 0.0])
    found = contrast_loss(embedding, labels, labels, replace(EVERYTHING, temperature=1.0))
    # anchors: the two of the first image, each with positive 0 and negative 1 or 0
    expected = (math.log(1 + math.e) + math.log(2.0)) / 2
    assert found.item() == pytest.approx(expected, rel=1e-6)
