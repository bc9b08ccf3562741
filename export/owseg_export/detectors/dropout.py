"""Monte-Carlo dropout: what many networks with other channels missing disagree about.

The network needs dropout in front of its last layer (`network.dropout` of the recipe). Everything
before it runs once, so that a sample costs one 1x1 convolution and a softmax.

Source: Gal and Ghahramani, "Dropout as a Bayesian Approximation", ICML 2016; Mukhoti and Gal,
"Evaluating Bayesian Deep Learning Methods for Semantic Segmentation", 2018.
"""

from __future__ import annotations

import torch
from torch import Tensor

from owseg.errors import UsageError
from owseg.types import UInt8Array
from owseg_export.detectors.base import mean_and_spread, to_unit
from owseg_export.trained import TrainedNetwork


class DropoutSamples:
    """Mutual information of the samples.

    Args:
        trained: a network with dropout.
        samples: R, at least 2.

    Raises:
        UsageError: the network has no dropout, or there are too few samples.
    """

    def __init__(self, trained: TrainedNetwork, samples: int = 8) -> None:
        if not trained.checkpoint.recipe.network.dropout:
            raise UsageError(
                "Monte-Carlo dropout needs a network that was trained with dropout; train one by "
                "a recipe with network.dropout, e.g. 0.2"
            )
        if samples < 2:
            raise UsageError(f"Monte-Carlo dropout needs 2 samples or more, not {samples}")
        self.trained, self.samples = trained, samples

    @torch.no_grad()
    def __call__(self, image: UInt8Array) -> Tensor:
        """Return the score map, the same for the same image; see `Detector`."""
        network = self.trained.base
        features = network.features(network.trunk(to_unit(image)))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network.dropout.train()
            try:
                found = [network.embed(network.dropout(features)) for _ in range(self.samples)]
            finally:
                network.dropout.eval()
        size = (image.shape[0], image.shape[1])
        evidence = [self.trained.evidence_from(embedding, size) for embedding in found]
        return mean_and_spread(torch.cat([one.logits.softmax(dim=1) for one in evidence]))[1]
