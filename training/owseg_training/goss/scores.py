"""Scores of a method on one network: scales and thresholds, fitted on training images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from owseg.datasets import TruthMap
from owseg.datasets.base import Sample
from owseg_training.data.resize import load_at
from owseg_training.distances import squared_distances
from owseg_training.goss.methods import FITTED, METHODS, Method
from owseg_training.incremental.bank import to_tensor
from owseg_training.models import DMLNet
from owseg_training.models.layers import resize
from owseg_training.scorers import (
    UNKNOWN_SCORERS,
    CalibratedScore,
    Calibration,
    Evidence,
    get_scorer,
    softmax_evidence,
)
from owseg_training.scorers.n_plus_1 import margin

PIXELS_PER_IMAGE = 2000


@dataclass(frozen=True, kw_only=True)
class FittedScore:
    """A method on one network.

    Attributes:
        method: the method.
        scale: from its raw score to [0, 1], in the same order.
        thresholds: of the scaled score, by name in `FITTED`.
    """

    method: Method
    scale: Calibration
    thresholds: Mapping[str, float]

    def score(self, evidence: Evidence) -> Tensor:
        """Return the scaled score (B, H, W) in [0, 1]."""
        return self.scale.apply(raw_score(self.method, evidence))

    def printed(self, evidence: Evidence) -> Tensor:
        """Return the score as the papers print it, (B, H, W) in [0, 1]."""
        score = CalibratedScore(self.method.printed, "paper", {}, beta=self.method.beta)
        found: Tensor = score(evidence)
        return found

    def unknown(self, evidence: Evidence) -> Iterator[tuple[str, Tensor]]:
        """Yield the name of each rule and the pixels that it calls unknown, (B, H, W) bool."""
        yield "half", self.printed(evidence) > 0.5
        score = self.score(evidence)
        for rule, threshold in self.thresholds.items():
            yield rule, score > threshold


def evidence_of(network: DMLNet, image_B3HW: Tensor) -> tuple[Evidence, Tensor]:
    """Return evidence at the resolution of the image, and the direction field (B, 2, h, w)."""
    size = (int(image_B3HW.shape[-2]), int(image_B3HW.shape[-1]))
    output = network(image_B3HW)
    embedding = output.embedding.float()
    if network.head == "softmax":
        found = softmax_evidence(resize(embedding, size), unknown=network.unknown)
    else:
        distances = resize(squared_distances(embedding, network.prototypes), size)
        found = Evidence(-distances, distances)
    return found, output.direction.float()


@torch.no_grad()
def fit_scores(
    network: DMLNet,
    samples: Iterable[Sample],
    truth_map: TruthMap,
    size: tuple[int, int],
    names: Sequence[str],
    device: torch.device,
) -> dict[str, FittedScore]:
    """Fit scales and thresholds of methods on known pixels of training images.

    Args:
        network: in evaluation mode.
        samples: of the training split.
        truth_map: says which pixels are known.
        size: (height, width) of the network's input.
        names: names in `METHODS`.
        device: where the network is.
    """
    rng = np.random.default_rng(0)
    values: dict[str, list[Tensor]] = {name: [] for name in names}
    for sample in samples:
        image, labels = load_at(sample, size)
        known = np.flatnonzero(truth_map.apply(labels, truth_map.known_names).known != 255)
        if not known.size:
            continue
        chosen = torch.from_numpy(rng.choice(known, min(PIXELS_PER_IMAGE, known.size), False))
        evidence, _ = evidence_of(network, to_tensor(image, device))
        for name in names:
            values[name].append(raw_score(METHODS[name], evidence).flatten().cpu()[chosen])
    return {name: fitted(METHODS[name], torch.cat(values[name])) for name in names}


def fitted(method: Method, raw: Tensor) -> FittedScore:
    """Fit a method.

    The scale leaves room on both sides, so that nothing is cut off.

    Args:
        method: the method.
        raw: (n,) raw scores of known training pixels.
    """
    low, high = float(raw.min()), float(raw.max())
    span = max(high - low, 1e-6)
    scale = Calibration(low=low - span, high=high + span)
    scaled = scale.apply(raw).double().numpy()
    return FittedScore(
        method=method,
        scale=scale,
        thresholds={
            name: float(np.quantile(scaled, 1.0 - share)) for name, share in FITTED.items()
        },
    )


def raw_score(method: Method, evidence: Evidence) -> Tensor:
    """Return the raw score of a method, (B, H, W): for N+1-models the margin of the class."""
    if method.score in UNKNOWN_SCORERS:
        return margin(evidence)
    return get_scorer(method.score)(evidence)
