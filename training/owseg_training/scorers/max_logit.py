"""Maximum logit: -max_k z_k.

Source: Hendrycks et al., "Scaling Out-of-Distribution Detection for Real-World
Settings", ICML 2022.
"""

from __future__ import annotations

from torch import Tensor

from owseg_training.scorers.evidence import Evidence


def max_logit(evidence: Evidence) -> Tensor:
    """Return -max_k logits_k as (B, H, W); for a metric head the smallest squared distance."""
    return -evidence.logits.amax(dim=1)
