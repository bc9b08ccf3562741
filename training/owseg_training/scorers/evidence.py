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
    """

    logits: Tensor
    distances: Tensor | None
