"""What the scores of the embedding share: the grid, whitening, distances to the nearest point."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from owseg_training.models.layers import resize
from owseg_training.scorers.cells import Cells, class_means
from owseg_training.scorers.evidence import Evidence

RIDGE = 1e-4
"""Share of the mean variance that is added to each variance, for directions without any."""


class Whitening(nn.Module):
    """x -> W (x - centre), after which the covariance within the classes is one.

    The buffers of this module and of the next are as the graph uses them, so that they are its
    constants.

    Args:
        centre: (D,).
        matrix: (D, D), W.
    """

    centre: Tensor
    matrix: Tensor

    def __init__(self, centre: Tensor, matrix: Tensor) -> None:
        super().__init__()
        self.register_buffer("centre", centre.float()[:, None])
        self.register_buffer("matrix", matrix.float())

    def forward(self, x_BDn: Tensor) -> Tensor:
        """Map (B, D, n) to (B, D, n)."""
        return torch.matmul(self.matrix, x_BDn - self.centre)


def whiten(centre_D: Tensor, deviations_nD: Tensor) -> Whitening:
    """Return W with W^T W = the inverse of the covariance of the deviations."""
    covariance = deviations_nD.T @ deviations_nD / len(deviations_nD)
    size = covariance.shape[0]
    ridge = RIDGE * covariance.trace() / size + 1e-9
    lower = torch.linalg.cholesky(covariance + ridge * torch.eye(size, dtype=covariance.dtype))
    matrix = torch.linalg.solve_triangular(
        lower, torch.eye(size, dtype=covariance.dtype), upper=False
    )
    return Whitening(centre_D, matrix)


def whiten_within(cells: Cells) -> tuple[Whitening, Tensor]:
    """Return what whitens the embeddings within their classes, and the whitened means (K, D).

    Raises:
        UsageError: there is nothing to fit on.
    """
    f = cells.embedding.double()
    classes, means = class_means(f, cells.labels)
    within = f - means[torch.searchsorted(classes, cells.labels)]
    whitening = whiten(f.mean(dim=0), within)
    return whitening, rows_through(whitening, means)


def rows_through(whitening: Whitening, points_nD: Tensor) -> Tensor:
    """Return the whitened points (n, D) as float32."""
    whitened: Tensor = whitening(points_nD.float().T[None])
    return whitened[0].T.contiguous()


def on_grid(evidence: Evidence, score: Callable[[Tensor], Tensor]) -> Tensor:
    """Score the embedding on its grid, then upsample.

    Args:
        evidence: with an embedding (B, D, h, w).
        score: maps (B, D, n) to (B, n).

    Returns:
        (B, H, W).
    """
    assert evidence.embedding is not None, "the score needs the embedding"
    batch, channels, height, width = evidence.embedding.shape
    flat = score(evidence.embedding.reshape(batch, channels, height * width))
    size = (int(evidence.logits.shape[-2]), int(evidence.logits.shape[-1]))
    return resize(flat.reshape(batch, 1, height, width), size)[:, 0]


class Nearest(nn.Module):
    """min_k ||x - p_k||^2 = ||x||^2 + min_k (||p_k||^2 - 2 p_k.x).

    Args:
        points: (K, D), p.
    """

    rows: Tensor
    norms: Tensor

    def __init__(self, points: Tensor) -> None:
        super().__init__()
        self.register_buffer("rows", -2.0 * points.float())
        self.register_buffer("norms", points.float().square().sum(dim=1, keepdim=True))

    @property
    def points(self) -> Tensor:
        """The points (K, D) float32."""
        return -0.5 * self.rows

    def forward(self, x_BDn: Tensor) -> Tensor:
        """Map (B, D, n) to squared distances (B, n), at least 0."""
        reach = torch.matmul(self.rows, x_BDn) + self.norms
        return (x_BDn.square().sum(dim=1) + reach.amin(dim=1)).clamp_min(0.0)
