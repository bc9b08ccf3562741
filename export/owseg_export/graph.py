"""The one graph: image and prototypes in; label, anomaly, open set, direction, embedding out.

Shape legend: B batch, N known classes, K prototype slots, D embedding size,
H, W input size, h, w output grid of the network.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from owseg.types import UNKNOWN_ID
from owseg_training.incremental.labels import merge, own_class
from owseg_training.incremental.network import PLMNetwork
from owseg_training.models import DMLNet
from owseg_training.models.layers import resize
from owseg_training.scorers import CalibratedScore, Evidence, softmax_evidence

FAR = 1.0e9
"""Squared distance to a novel prototype that does not reach a pixel; nobody is as far."""


class GraphOutput(NamedTuple):
    """The outputs of the graph, in the order of the contract."""

    known: Tensor
    anomaly: Tensor
    open_set: Tensor
    direction: Tensor
    embedding: Tensor


class OpenWorldGraph(nn.Module):
    """A trained network with normalisation, distances, scores and decisions.

    Classes 0..N-1 are those of the base; each later head adds the next one and overwrites
    where it predicts its own class (DMLNet, Section 4.3). What a head claims is known: it is
    never unknown, and no novel prototype takes it. Anomaly, direction and embedding are those
    of the base.

    A novel prototype claims a pixel if its radius holds the pixel and it is nearer than every
    known prototype (DMLNet, Eq. 12); of several such prototypes the nearest one. With one
    radius for all this is Eq. 12 as printed; with a radius for each class it keeps a class
    that does not reach a pixel from taking it away from one that does.

    Squared distances are linear in the lifted embedding [f, |f|^2, 1]:
    ||f - m||^2 = [-2 m, 1, |m|^2] . [f, |f|^2, 1]. The lifted embedding is
    upsampled once, and one matrix product gives the distances to the known
    prototypes, another those to the novel ones. They equal upsampled
    distances. Everything after the network is float32.

    Args:
        network: a trained network.
        score: the calibrated score.
        metric: True for a metric head, False for plain logits.
    """

    def __init__(
        self, network: DMLNet | PLMNetwork, score: CalibratedScore, *, metric: bool
    ) -> None:
        super().__init__()
        self.network = network
        self.score = score
        self.metric = metric

    def forward(
        self,
        image: Tensor,
        prototypes: Tensor,
        prototype_radius: Tensor,
        prototype_valid: Tensor,
        anomaly_threshold: Tensor,
    ) -> GraphOutput:
        """Run the graph.

        Args:
            image: (B, H, W, 3) uint8 RGB.
            prototypes: (K, D) float32 novel prototypes.
            prototype_radius: (K,) float32 squared distance within which a slot claims a pixel.
            prototype_valid: (K,) float32, 1 = slot in use.
            anomaly_threshold: (1,) float32 in [0, 1].
        """
        size = (int(image.shape[1]), int(image.shape[2]))
        # TensorRT can only cast uint8, and only from and to floats: first here, last below.
        output = self.network(image.float().permute(0, 3, 1, 2) / 255.0)
        embedding = output.embedding.float()
        lifted = resize(_lift(embedding), size)
        evidence = self._evidence(lifted)._replace(embedding=embedding)
        anomaly = self.score(evidence)
        nearest, slot = _nearest_novel(lifted, prototypes, prototype_radius, prototype_valid)
        claimed = nearest < self._limit(evidence)
        num_base = evidence.logits.shape[1]
        best = evidence.logits.argmax(dim=1)
        unknown = anomaly > anomaly_threshold
        if output.heads:
            best = merge(best, [own_class(head, size) for head in output.heads], num_base)
            by_base = best < num_base
            claimed, unknown = claimed & by_base, unknown & by_base
        known = torch.where(claimed, slot + num_base + len(output.heads), best)
        unknown = unknown & ~claimed
        open_set = torch.where(unknown, torch.full_like(known, UNKNOWN_ID), known)
        return GraphOutput(
            known.float().to(torch.uint8),
            anomaly,
            open_set.float().to(torch.uint8),
            output.direction.float(),
            embedding,
        )

    def _evidence(self, lifted: Tensor) -> Evidence:
        if not self.metric:
            return softmax_evidence(lifted[:, :-2], unknown=self.network.unknown)
        distances = _distances(lifted, _rows(self.network.prototypes.float())).clamp_min(0.0)
        return Evidence(-distances, distances)

    def _limit(self, evidence: Evidence) -> Tensor:
        """Squared distance below which a novel prototype is nearer than every known one.

        At most `FAR`, so that no prototype at all never is, however far the known ones are.
        """
        if evidence.distances is None:
            return torch.full_like(evidence.logits[:, 0], FAR / 2)
        return evidence.distances.amin(dim=1).clamp_max(FAR)


def _lift(f_BDHW: Tensor) -> Tensor:
    """Append |f|^2 and 1 as channels: (B, D, h, w) to (B, D + 2, h, w)."""
    norm = (f_BDHW * f_BDHW).sum(dim=1, keepdim=True)
    return torch.cat([f_BDHW, norm, torch.ones_like(norm)], dim=1)


def _rows(prototypes_KD: Tensor) -> Tensor:
    """Return the rows [-2 m, 1, |m|^2] of each prototype as (K, D + 2)."""
    norms = (prototypes_KD * prototypes_KD).sum(dim=1, keepdim=True)
    return torch.cat([-2.0 * prototypes_KD, torch.ones_like(norms), norms], dim=1)


def _distances(lifted: Tensor, rows_KE: Tensor) -> Tensor:
    """Squared distances (B, K, H, W) from the lifted embedding (B, D + 2, H, W)."""
    batch, channels, height, width = lifted.shape
    flat = torch.matmul(rows_KE, lifted.reshape(batch, channels, height * width))
    return flat.reshape(batch, -1, height, width)


def _nearest_novel(
    lifted: Tensor, prototypes: Tensor, radius: Tensor, valid: Tensor
) -> tuple[Tensor, Tensor]:
    """Distance and slot of the nearest of the novel prototypes whose radius holds the pixel.

    Returns:
        (B, H, W) float32, at least 0, `FAR` where no radius does, and (B, H, W) int64.
    """
    reach = torch.where(valid < 0.5, torch.full_like(radius, -FAR), radius)
    distances = _distances(lifted, _rows(prototypes))
    distances = torch.where(distances < reach[:, None, None], distances, FAR)
    slot = distances.argmin(dim=1, keepdim=True)
    nearest = torch.gather(distances, 1, slot)  # in ONNX Runtime half the time of a second minimum
    return nearest[:, 0].clamp_min(0.0), slot[:, 0]
