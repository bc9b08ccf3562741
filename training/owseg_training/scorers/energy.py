"""Free energy: -log sum_k exp(z_k).

Source: Liu et al., "Energy-based Out-of-distribution Detection", NeurIPS 2020.
"""

from __future__ import annotations

from torch import Tensor

from owseg_training.scorers.evidence import Evidence


def energy(evidence: Evidence) -> Tensor:
    """Return -logsumexp(logits) as (B, H, W), temperature 1."""
    largest = evidence.logits.amax(dim=1)
    exponents = (evidence.logits - largest[:, None]).exp()
    return -(largest + exponents.sum(dim=1).log())
