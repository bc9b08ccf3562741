"""The parity gate: the exported graph against plain torch, on real frames.

Compared are the score map, the labels, and what users measure in the end:
AUROC and AUPR.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch

from owseg.datasets import Truth
from owseg.engines import Engine, PrototypeSlots
from owseg.errors import BundleError
from owseg.metrics import PixelAnomalyMetric
from owseg.types import FloatArray, UInt8Array
from owseg_export.trained import TrainedNetwork
from owseg_training.scorers import CalibratedScore

_DECIMALS = 4


@dataclass(frozen=True, kw_only=True)
class ParityLimits:
    """How far a bundle may differ from torch.

    Attributes:
        score: largest mean absolute difference of the score map, 0..1.
        labels: largest share of pixels with another class.
        ranking: largest difference of AUROC and of AUPR, 0..1.
        unclipped: largest difference of the score of a pixel, see `unclipped.check_unclipped`.
    """

    score: float = 2e-4
    labels: float = 5e-4
    ranking: float = 2e-4
    unclipped: float = 1e-4


@dataclass(frozen=True, kw_only=True)
class ParityFigures:
    """What was measured of whole images, in the words of `ParityLimits`, and their base.

    Attributes:
        score_max: largest difference of a single score.
        auroc: difference of AUROC, None where the frames hold no anomaly.
        aupr: difference of AUPR, likewise.
        frames: frames compared.
    """

    score: float
    score_max: float
    labels: float
    auroc: float | None
    aupr: float | None
    frames: int

    def as_dict(self) -> dict[str, float | int | None]:
        """Plain numbers for the manifest."""
        return asdict(self)


def check_parity(
    trained: TrainedNetwork,
    score: CalibratedScore,
    engine: Engine,
    data: Sequence[tuple[UInt8Array, Truth]],
    limits: ParityLimits | None = None,
) -> ParityFigures:
    """Compare an engine with torch.

    Args:
        trained: the network.
        score: its calibrated score.
        engine: an engine that has loaded the exported graph.
        data: images at the network's size, with truth.
        limits: how far they may differ.

    Raises:
        BundleError: they differ by more; the message has the figures.
    """
    limits = limits or ParityLimits()
    figures = measure(trained, score, engine, data)
    too_far = [
        f"{name} {value:.2g} (limit {limit:g})"
        for name, value, limit in (
            ("score map", figures.score, limits.score),
            ("labels", figures.labels, limits.labels),
            ("AUROC", figures.auroc or 0.0, limits.ranking),
            ("AUPR", figures.aupr or 0.0, limits.ranking),
        )
        if not value <= limit
    ]
    if too_far:
        raise BundleError(
            f"the exported graph differs from torch: {', '.join(too_far)}; no bundle was written"
        )
    return figures


def measure(
    trained: TrainedNetwork,
    score: CalibratedScore,
    engine: Engine,
    data: Sequence[tuple[UInt8Array, Truth]],
) -> ParityFigures:
    """Measure the differences without judging them."""
    slots = PrototypeSlots.empty(engine.manifest)
    rankings = PixelAnomalyMetric(), PixelAnomalyMetric()
    difference, largest, labels = 0.0, 0.0, 0.0
    for image, truth in data:
        outputs = engine.infer(image[None], slots, 1.0, ("known", "anomaly"))
        evidence = trained.evidence(torch.from_numpy(image[None]))
        expected = score(evidence)[0].numpy()
        classes = trained.labels(torch.from_numpy(image[None]), evidence)[0].numpy()
        found = outputs["anomaly"][0].astype(np.float32)
        gap = np.abs(expected - found)
        difference += float(gap.mean())
        largest = max(largest, float(gap.max()))
        labels += float((outputs["known"][0] != classes).mean())
        for metric, scores in zip(rankings, (expected, found), strict=True):
            metric.update(_coarse(scores), truth.anomaly, truth.valid)
    reference, exported = (metric.compute().pooled for metric in rankings)
    return ParityFigures(
        score=difference / len(data),
        score_max=largest,
        labels=labels / len(data),
        auroc=_gap(reference.auroc, exported.auroc),
        aupr=_gap(reference.aupr, exported.aupr),
        frames=len(data),
    )


def _coarse(scores: FloatArray) -> FloatArray:
    """Round scores so that rounding alone does not part ties, of which 1 may have many."""
    clipped: FloatArray = np.clip(scores, 0, 1)
    coarse: FloatArray = clipped.round(_DECIMALS)
    return coarse


def _gap(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else abs(a - b)
