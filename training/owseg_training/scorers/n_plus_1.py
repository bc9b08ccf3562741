"""The (N+1)th class: how likely a pixel is unknown rather than the best known class.

With the softmax c of an N+1-model, the score is c_u / (c_u + max_k c_k) = sigmoid(z_u - max_k z_k):
above 1/2 the unknown class wins.

Confidence adjustment multiplies c_u by beta > 1 after the softmax, since the class has never seen
an example of what is unknown later. The sum of the scores does not matter to the comparison, so
that this is log(beta) on the logit; it shifts where the unknown class wins, and keeps the order
of the pixels.

Source: GOSS, Sections 4.1.2 and 4.2.1.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from owseg_training.scorers.evidence import Evidence


def n_plus_1(evidence: Evidence, beta: float = 1.0) -> Tensor:
    """Return beta c_u / (beta c_u + max_k c_k) as (B, H, W) in [0, 1].

    Args:
        evidence: of a network with a logit for unknown pixels.
        beta: scale of the confidence of the unknown class, above 0; 1 = no adjustment.
    """
    return torch.sigmoid(margin(evidence) + math.log(beta))


def margin(evidence: Evidence) -> Tensor:
    """Return z_u - max_k z_k as (B, H, W): the order of the score, without its saturation."""
    assert evidence.unknown is not None, "n_plus_1 needs a logit for unknown pixels"
    return evidence.unknown - evidence.logits.amax(dim=1)
