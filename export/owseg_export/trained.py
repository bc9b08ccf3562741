"""A trained network, as a checkpoint describes it, ready for calibration and export."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from owseg_training.checkpoint import Checkpoint, load_checkpoint
from owseg_training.distances import squared_distances
from owseg_training.models import DMLNet, build_network
from owseg_training.models.layers import resize
from owseg_training.scorers import Evidence


@dataclass(frozen=True, kw_only=True)
class TrainedNetwork:
    """A network with its averaged weights, in evaluation mode.

    Attributes:
        checkpoint: where it came from.
        network: weights rounded to float16 and back, as the bundle stores them.
    """

    checkpoint: Checkpoint
    network: DMLNet

    @property
    def metric(self) -> bool:
        """Whether the head compares distances."""
        return self.checkpoint.recipe.network.head == "metric"

    @torch.no_grad()
    def evidence(self, images_BHW3: Tensor) -> Evidence:
        """Return the evidence at the resolution of the images.

        This is the plain reference of the exported graph: distances at the
        network's stride, upsampled.

        Args:
            images_BHW3: (B, H, W, 3) uint8 RGB.
        """
        size = (int(images_BHW3.shape[1]), int(images_BHW3.shape[2]))
        embedding = self.network(images_BHW3.permute(0, 3, 1, 2).float() / 255.0).embedding
        if not self.metric:
            return Evidence(resize(embedding, size), None)
        distances = squared_distances(embedding, self.network.prototypes)
        distances = resize(distances, size)
        return Evidence(-distances, distances)


def load_trained(path: str | Path) -> TrainedNetwork:
    """Load the averaged network of a checkpoint.

    Raises:
        InputError: the checkpoint cannot be read.
    """
    checkpoint = load_checkpoint(path)
    network = build_network(checkpoint.recipe.network, len(checkpoint.class_names))
    network.load_state_dict(checkpoint.average)
    round_weights(network)
    return TrainedNetwork(checkpoint=checkpoint, network=network.eval().requires_grad_(False))


@torch.no_grad()
def round_weights(network: torch.nn.Module) -> None:
    """Round convolution weights to float16 precision in place: the bundle stores them so."""
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.copy_(parameter.half().float())
