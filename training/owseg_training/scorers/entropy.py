"""Entropy of the softmax, as a share of its maximum.

Source: Chan et al., "Entropy Maximization and Meta Classification for
Out-of-Distribution Detection in Semantic Segmentation", ICCV 2021.
"""

from __future__ import annotations

import math

from torch import Tensor

from owseg_training.scorers.evidence import Evidence


def entropy(evidence: Evidence) -> Tensor:
    """Return H(p) / log N as (B, H, W) in [0, 1].

    With e = exp(z - max z) and s = sum e: H = log s - sum(e (z - max z)) / s.
    """
    logits = evidence.logits
    shifted = logits - logits.amax(dim=1, keepdim=True)
    exponents = shifted.exp()
    total = exponents.sum(dim=1)
    nats = total.log() - (exponents * shifted).sum(dim=1) / total
    return nats / math.log(logits.shape[1])
