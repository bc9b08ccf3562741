"""A trained network, as a checkpoint describes it, ready for calibration and export."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils import fuse_conv_bn_eval

from owseg.errors import InputError
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
        network: batch normalisation folded into the convolutions, and their weights rounded to
            float16 and back, as the bundle stores them.
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
        InputError: the checkpoint cannot be read, or its weights do not fit its recipe.
    """
    checkpoint = load_checkpoint(path)
    network = build_network(checkpoint.recipe.network, len(checkpoint.class_names))
    try:
        network.load_state_dict(checkpoint.average)
    except RuntimeError as error:
        raise InputError(f"the weights in {path} do not fit the network of its recipe") from error
    network.eval()
    fold_batch_norm(network)
    round_weights(network)
    return TrainedNetwork(checkpoint=checkpoint, network=network.requires_grad_(False))


@torch.no_grad()
def fold_batch_norm(network: nn.Module) -> None:
    """Fold each batch normalisation into the convolution defined right before it, in place.

    The exporter would fold them anyway; done here, the weights that are rounded are those that
    the bundle stores.
    """
    for module in network.modules():
        children = list(module.named_children())
        for (name, conv), (norm_name, norm) in itertools.pairwise(children):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, name, fuse_conv_bn_eval(conv, norm))
                setattr(module, norm_name, nn.Identity())


@torch.no_grad()
def round_weights(network: nn.Module) -> None:
    """Round convolution weights to float16 precision in place: the bundle stores them so."""
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.copy_(parameter.half().float())
