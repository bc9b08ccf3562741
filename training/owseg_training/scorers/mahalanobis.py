"""Mahalanobis distance of the embedding to the nearest class.

Classes are Gaussians of one covariance. With its inverse = W^T W, the distance is the Euclidean one
between whitened embeddings: a product with W and one with the whitened means, on the network's
grid; the result is upsampled.

Source: Lee et al., "A Simple Unified Framework for Detecting Out-of-Distribution Samples and
Adversarial Attacks", NeurIPS 2018, Eq. 1 and 2; Uhlemeyer et al., "Detecting and Learning the
Unknown in Semantic Segmentation", Eq. 20 and 21. There it looks at the penultimate layer, here at
the embedding, which is what leaves the network.
"""

from __future__ import annotations

from torch import Tensor, nn

from owseg_training.scorers.cells import Cells
from owseg_training.scorers.evidence import Evidence
from owseg_training.scorers.on_embedding import (
    Nearest,
    Whitening,
    on_grid,
    whiten_within,
)


class Mahalanobis(nn.Module):
    """min_k ||W (f - m_k)||^2.

    Args:
        whitening: W and a centre near the embeddings, which keeps the squares small.
        means: (K, D) float32 whitened means of the classes.
    """

    def __init__(self, whitening: Whitening, means: Tensor) -> None:
        super().__init__()
        self.whitening = whitening
        self.nearest = Nearest(means)

    def forward(self, evidence: Evidence) -> Tensor:
        """Return the raw score (B, H, W), at least 0."""
        return on_grid(evidence, lambda flat: self.nearest(self.whitening(flat)))


def fit_mahalanobis(cells: Cells) -> Mahalanobis:
    """Fit the means of the classes that occur, and their common covariance.

    Raises:
        UsageError: there is nothing to fit on.
    """
    return Mahalanobis(*whiten_within(cells))
