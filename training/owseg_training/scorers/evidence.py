"""What the scores look at."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Evidence(NamedTuple):
    """Per-pixel evidence for the known classes.

    Attributes:
        logits: (B, N, H, W) float32; for a metric head the negative squared distances.
        distances: (B, N, H, W) float32 squared distances to the prototypes;
            None for a softmax head.
        unknown: (B, H, W) float32 logit of unknown pixels; None for networks without one.
        embedding: (B, D, h, w) float32, all that the head gives, at the network's stride; None
            where no fitted score is asked for.
    """

    logits: Tensor
    distances: Tensor | None
    unknown: Tensor | None = None
    embedding: Tensor | None = None


def softmax_evidence(logits: Tensor, *, unknown: bool) -> Evidence:
    """Return the evidence of a softmax head.

    Args:
        logits: (B, N, H, W), or (B, N + 1, H, W) where the last is that of unknown pixels.
        unknown: whether it is.
    """
    return Evidence(logits[:, :-1], None, logits[:, -1]) if unknown else Evidence(logits, None)
