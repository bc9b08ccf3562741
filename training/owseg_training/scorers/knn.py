"""Distance of the embedding to the nearest of a bank of training embeddings.

The bank is capped, drawn alike from all classes, so that it is a constant of the graph: one matrix
product and a minimum, on the network's grid. The distances of whitened embeddings are compared,
since the length of an embedding, which the source removes, tells how sure the network is.

Source: Sun et al., "Out-of-Distribution Detection with Deep Nearest Neighbors", ICML 2022, with
k = 1 as for a bank that is a small sample.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from owseg_training.scorers.cells import Cells
from owseg_training.scorers.evidence import Evidence
from owseg_training.scorers.on_embedding import (
    Nearest,
    Whitening,
    on_grid,
    rows_through,
    whiten_within,
)

BANK = 512
"""Largest number of embeddings in the bank."""


class NearestNeighbour(nn.Module):
    """min_b ||W (f - b)||^2 over the bank.

    Args:
        whitening: W and a centre.
        bank: (M, D) float32 whitened embeddings.
    """

    def __init__(self, whitening: Whitening, bank: Tensor) -> None:
        super().__init__()
        self.whitening = whitening
        self.nearest = Nearest(bank)

    def forward(self, evidence: Evidence) -> Tensor:
        """Return the raw score (B, H, W), at least 0."""
        return on_grid(evidence, lambda flat: self.nearest(self.whitening(flat)))


def fit_knn(cells: Cells) -> NearestNeighbour:
    """Draw the bank, with a fixed seed: an equal share of each class, as far as it has cells.

    Raises:
        UsageError: there is nothing to fit on.
    """
    whitening, _ = whiten_within(cells)
    classes = torch.unique(cells.labels)
    generator = torch.Generator().manual_seed(0)
    share = max(1, BANK // len(classes))
    chosen = []
    for k in classes:
        own = torch.nonzero(cells.labels == k)[:, 0]
        chosen.append(own[torch.randperm(len(own), generator=generator)[:share]])
    bank = cells.embedding[torch.cat(chosen)]
    return NearestNeighbour(whitening, rows_through(whitening, bank))
