"""A trained network, as a checkpoint describes it, ready for calibration and export."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils import fuse_conv_bn_eval

from owseg_training.checkpoint import Checkpoint
from owseg_training.distances import squared_distances
from owseg_training.incremental.checkpoint import (
    PLMCheckpoint,
    base_network,
    load_any,
    plm_network,
)
from owseg_training.incremental.network import BranchHead, PLMNetwork
from owseg_training.models import DMLNet
from owseg_training.models.layers import resize
from owseg_training.scorers import Evidence, softmax_evidence


@dataclass(frozen=True, kw_only=True)
class TrainedNetwork:
    """A network with its averaged weights, in evaluation mode.

    Attributes:
        checkpoint: where it came from; that of the base where there are heads.
        network: batch normalisation folded into the convolutions, and their weights rounded to
            float16 and back, as the bundle stores them.
        learnt: the checkpoint with heads of classes that were learnt later.
    """

    checkpoint: Checkpoint
    network: DMLNet | PLMNetwork
    learnt: PLMCheckpoint | None = None

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of all classes, those of later heads last."""
        return self.checkpoint.class_names if self.learnt is None else self.learnt.class_names

    @property
    def base(self) -> DMLNet:
        """The network of the base classes."""
        return self.network.base if isinstance(self.network, PLMNetwork) else self.network

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
        return self.evidence_of(images_BHW3.permute(0, 3, 1, 2).float() / 255.0, size)

    def evidence_of(self, x_B3HW: Tensor, size: tuple[int, int] | None = None) -> Evidence:
        """Return the evidence at a size, or at the network's stride; the same with gradients.

        Args:
            x_B3HW: (B, 3, H, W) RGB in 0..1.
            size: (height, width); None = as the network gives it.
        """
        return self.evidence_from(self.base(x_B3HW).embedding, size)

    def evidence_from(
        self, embedding_BDHW: Tensor, size: tuple[int, int] | None = None
    ) -> Evidence:
        """Return the evidence of an embedding at the network's stride; otherwise as above."""
        f = embedding_BDHW
        size = size or (int(f.shape[-2]), int(f.shape[-1]))
        if not self.metric:
            evidence = softmax_evidence(resize(f, size), unknown=self.base.unknown)
        else:
            distances = resize(squared_distances(f, self.network.prototypes), size)
            evidence = Evidence(-distances, distances)
        return evidence._replace(embedding=f)

    @torch.no_grad()
    def labels(self, images_BHW3: Tensor, evidence: Evidence) -> Tensor:
        """Return the class of each pixel as (B, H, W) int64, without novel prototypes.

        The plain reference of the exported graph: the nearest prototype of the base; then each
        head, in their order, takes the pixels that are nearest to its own prototype.

        Args:
            images_BHW3: (B, H, W, 3) uint8 RGB.
            evidence: result of `evidence` for them.
        """
        labels = evidence.logits.argmax(dim=1)
        if not isinstance(self.network, PLMNetwork):
            return labels
        size = (int(images_BHW3.shape[1]), int(images_BHW3.shape[2]))
        output = self.network(images_BHW3.permute(0, 3, 1, 2).float() / 255.0)
        for new_id, (embedding, head) in enumerate(
            zip(output.heads, self.network.heads, strict=True), start=self.network.num_base
        ):
            assert isinstance(head, BranchHead)
            distances = resize(squared_distances(embedding, head.prototypes), size)
            labels = torch.where(distances.argmin(dim=1) == new_id, new_id, labels)
        return labels


def load_trained(path: str | Path) -> TrainedNetwork:
    """Load the averaged network of a checkpoint, with the heads that it may have.

    Raises:
        InputError: the checkpoint cannot be read, or its weights do not fit its recipe.
    """
    found = load_any(path)
    network: DMLNet | PLMNetwork
    if isinstance(found, PLMCheckpoint):
        network, learnt, checkpoint = plm_network(found, path), found, found.base
    else:
        network, learnt, checkpoint = base_network(found, path), None, found
    fold_batch_norm(network)
    round_weights(network)
    network.requires_grad_(False)
    return TrainedNetwork(checkpoint=checkpoint, network=network, learnt=learnt)


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
