"""A score of the exported graph as a detector, computed in torch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from owseg.types import UInt8Array
from owseg_export.detectors.base import to_unit
from owseg_export.trained import TrainedNetwork
from owseg_training.scorers import get_scorer


class GraphScore:
    """A raw score by name.

    Args:
        trained: the network.
        name: of the score; not the mixture, which blends two calibrated ones.
        fitted: its state, for a score that has one.

    Raises:
        UsageError: no score has this name.
    """

    def __init__(self, trained: TrainedNetwork, name: str, fitted: nn.Module | None = None) -> None:
        self.trained = trained
        self.scorer = get_scorer(name, fitted)

    @torch.no_grad()
    def __call__(self, image: UInt8Array) -> Tensor:
        """Return the score map; see `Detector`."""
        size = (image.shape[0], image.shape[1])
        return self.scorer(self.trained.evidence_of(to_unit(image), size))[0]
