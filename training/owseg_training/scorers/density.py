"""Learned embedding density: the negative log-likelihood of the embedding under a normalising flow.

The flow is a whitening followed by affine couplings (Real NVP): each keeps half of the channels
and scales and shifts the other half by what a small network says of the first. It looks at each
cell of the network's grid by itself; the score is upsampled.

Source: Blum et al., "The Fishyscapes Benchmark: Measuring Blind Spots in Semantic Segmentation",
IJCV 2021; Dinh et al., "Density Estimation using Real NVP", ICLR 2017; Uhlemeyer et al.,
"Detecting and Learning the Unknown in Semantic Segmentation", Eq. 24.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from owseg.errors import UsageError
from owseg_training.scorers.cells import Cells, class_means
from owseg_training.scorers.evidence import Evidence
from owseg_training.scorers.on_embedding import Whitening, on_grid, rows_through, whiten

COUPLINGS = 4
HIDDEN = 32
STEPS = 800
BATCH = 1024
RATE = 3e-3
LARGEST_SCALE = 2.0
"""Bound of the logarithm of a coupling's scale."""


class Coupling(nn.Module):
    """(a, b) -> (b exp(s(a)) + t(a), a): the halves also change places.

    Args:
        size: D, channels; the half that is kept has D // 2.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.kept = size // 2
        changed = size - self.kept
        self.first = nn.Parameter(torch.randn(HIDDEN, self.kept) / math.sqrt(self.kept))
        self.first_bias = nn.Parameter(torch.zeros(HIDDEN, 1))
        self.last = nn.Parameter(torch.zeros(2 * changed, HIDDEN))
        self.last_bias = nn.Parameter(torch.zeros(2 * changed, 1))

    def forward(self, x_BDn: Tensor) -> tuple[Tensor, Tensor]:
        """Return the image (B, D, n) and the log-determinant (B, n)."""
        kept, changed = x_BDn[:, : self.kept], x_BDn[:, self.kept :]
        hidden = torch.relu(torch.matmul(self.first, kept) + self.first_bias)
        both = torch.matmul(self.last, hidden) + self.last_bias
        width = changed.shape[1]
        scale = LARGEST_SCALE * torch.tanh(both[:, :width] / LARGEST_SCALE)
        return torch.cat([changed * scale.exp() + both[:, width:], kept], dim=1), scale.sum(dim=1)


class EmbeddingDensity(nn.Module):
    """-log p(f) of the flow, up to the constants of the whitening and of the normal distribution.

    Args:
        whitening: the first step of the flow.
        size: D, channels of the embedding, at least 2.
    """

    def __init__(self, whitening: Whitening, size: int) -> None:
        super().__init__()
        self.whitening = whitening
        self.couplings = nn.ModuleList(Coupling(size) for _ in range(COUPLINGS))

    def forward(self, evidence: Evidence) -> Tensor:
        """Return the raw score (B, H, W)."""
        return on_grid(evidence, lambda flat: self.negative_log_likelihood(self.whitening(flat)))

    def negative_log_likelihood(self, x_BDn: Tensor) -> Tensor:
        """Return the score of whitened embeddings (B, D, n) as (B, n)."""
        total = torch.zeros_like(x_BDn[:, 0])
        for coupling in self.couplings:
            x_BDn, log_determinant = coupling(x_BDn)
            total = total + log_determinant
        return 0.5 * x_BDn.square().sum(dim=1) - total


def fit_density(cells: Cells) -> EmbeddingDensity:
    """Fit the flow by maximum likelihood, with a fixed seed.

    Raises:
        UsageError: there is nothing to fit on, or the embedding has a single channel.
    """
    f = cells.embedding.double()
    class_means(f, cells.labels)
    size = f.shape[1]
    if size < 2:
        raise UsageError("the density of the embedding needs at least two classes")
    centre = f.mean(dim=0)
    whitening = whiten(centre, f - centre)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        flow = EmbeddingDensity(whitening, size)
    _maximise_likelihood(flow, rows_through(whitening, cells.embedding))
    return flow.eval().requires_grad_(False)


@torch.enable_grad()
def _maximise_likelihood(flow: EmbeddingDensity, points_nD: Tensor) -> None:
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(flow.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for _ in range(STEPS):
        chosen = torch.randint(len(points_nD), (BATCH,), generator=generator)
        loss = flow.negative_log_likelihood(points_nD[chosen].T[None]).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(flow.parameters(), 5.0)
        optimizer.step()
        schedule.step()
