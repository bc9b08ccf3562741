"""Differentiable feature clustering: it separates what is trivially separable."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from owseg_training.goss.dfc import DfcConfig, cluster_image, clustering_loss

QUICK = DfcConfig(size=(32, 48), features=12, steps=40, lr=0.1, min_clusters=2)


def two_halves() -> np.ndarray:
    """Return a red half and a blue half with a little noise."""
    rng = np.random.default_rng(0)
    image = np.zeros((64, 96, 3))
    image[:, :40, 0], image[:, 40:, 2] = 220, 180
    return np.clip(image + rng.normal(0, 6, image.shape), 0, 255).astype(np.uint8)


def test_two_colours_become_two_clusters() -> None:
    clusters = cluster_image(two_halves(), QUICK)
    assert (clusters.shape, clusters.dtype) == ((64, 96), np.uint8)
    left, right = clusters[:, 2:36], clusters[:, 46:94]
    main = [int(np.bincount(part.ravel()).argmax()) for part in (left, right)]
    assert main[0] != main[1]
    assert (left == main[0]).mean() > 0.95
    assert (right == main[1]).mean() > 0.95


def test_it_stops_when_few_clusters_are_left() -> None:
    many = cluster_image(two_halves(), replace(QUICK, steps=1))
    assert len(np.unique(many)) > 4
    stopped = cluster_image(two_halves(), replace(QUICK, min_clusters=12))
    np.testing.assert_array_equal(stopped, many)


def test_the_seed_decides() -> None:
    one, two = (cluster_image(two_halves(), replace(QUICK, steps=3)) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    other = cluster_image(two_halves(), replace(QUICK, steps=3, seed=1))
    assert not np.array_equal(one, other)


def test_it_learns_where_gradients_are_switched_off() -> None:
    with torch.no_grad():
        inside = cluster_image(two_halves(), replace(QUICK, steps=5))
    np.testing.assert_array_equal(inside, cluster_image(two_halves(), replace(QUICK, steps=5)))


def test_loss_hand_worked() -> None:
    response = torch.tensor([[[[2.0, 0.0]], [[0.0, 1.0]]]])  # two channels, one row, two pixels
    clusters = response.argmax(dim=1)
    similarity = (np.log(1 + np.exp(-2.0)) + np.log(1 + np.exp(-1.0))) / 2
    tall = response.transpose(2, 3)
    for r, c in ((response, clusters), (tall, clusters.transpose(1, 2))):
        padded = torch.cat([r, r], dim=2) if r.shape[2] == 1 else torch.cat([r, r], dim=3)
        doubled = torch.cat([c, c], dim=1) if c.shape[1] == 1 else torch.cat([c, c], dim=2)
        found = clustering_loss(padded, doubled, 5.0).item()
        assert found == pytest.approx(similarity + 5.0 * 1.5, rel=1e-6)  # |2 - 0|, |0 - 1|
