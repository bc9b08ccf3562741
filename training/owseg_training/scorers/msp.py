"""Maximum softmax probability: 1 - max_k p_k.

Source: Hendrycks and Gimpel, "A Baseline for Detecting Misclassified and
Out-of-Distribution Examples in Neural Networks", ICLR 2017.
"""

from __future__ import annotations

from torch import Tensor

from owseg_training.scorers.evidence import Evidence


def msp(evidence: Evidence) -> Tensor:
    """Return 1 - max_k softmax(logits)_k as (B, H, W) in [0, 1 - 1/N].

    The largest exponent after the shift is 1, so the largest probability is 1
    over the sum of exponents.
    """
    logits = evidence.logits
    shifted = logits - logits.amax(dim=1, keepdim=True)
    return 1.0 - 1.0 / shifted.exp().sum(dim=1)
