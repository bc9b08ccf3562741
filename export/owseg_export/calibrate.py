"""Constants of the anomaly score and thresholds of the operating points, fitted on data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from owseg.datasets import DatasetReader, Sample, Truth, TruthMap
from owseg.manifest import OperatingPoint
from owseg.metrics import PixelAnomalyMetric
from owseg.types import UInt8Array
from owseg_export.trained import TrainedNetwork
from owseg_training.config import ScoreConfig
from owseg_training.data.resize import load_at
from owseg_training.scorers import (
    FITTED_SCORERS,
    METRIC_ONLY,
    SCORERS,
    UNKNOWN_SCORERS,
    CalibratedScore,
    Calibration,
    fit_calibration,
    get_scorer,
)

PIXELS_PER_IMAGE = 2000

OPERATING_POINTS: dict[str, Callable[[PixelAnomalyMetric], float | None]] = {
    "fpr_1": lambda metric: metric.threshold_at_fpr(0.01),
    "fpr_5": lambda metric: metric.threshold_at_fpr(0.05),
    "tpr_95": lambda metric: metric.threshold_at_tpr(0.95),
    "best_f1": lambda metric: metric.threshold_at_best_f1(),
}
"""Named thresholds; None where the data have no pixels to fit one on."""


def frames(
    reader: DatasetReader, truth_map: TruthMap, names: Sequence[str], size: tuple[int, int]
) -> Iterator[tuple[UInt8Array, Truth]]:
    """Yield each image at the network's size with its truth at the same size."""
    for sample in tqdm(list(reader), desc=f"{reader.name} {reader.split}", unit="image"):
        yield load_resized(sample, truth_map, names, size)


def load_resized(
    sample: Sample, truth_map: TruthMap, names: Sequence[str], size: tuple[int, int]
) -> tuple[UInt8Array, Truth]:
    """Load a sample at (height, width): the image by area or bilinear, labels by nearest."""
    image, labels = load_at(sample, size)
    return image, truth_map.apply(labels, names)


def needed_scores(method: str) -> tuple[str, ...]:
    """Return the raw scores whose constants a method needs."""
    if method in UNKNOWN_SCORERS:
        return ()
    return ("eds",) if method == "mixture" else (method,)


def available_scores(trained: TrainedNetwork) -> tuple[str, ...]:
    """Return the raw scores that a network's head supports."""
    own = UNKNOWN_SCORERS if trained.base.unknown else {}
    usable = (name for name in SCORERS if trained.metric or name not in METRIC_ONLY)
    return (*usable, *own, *FITTED_SCORERS)


def fit_constants(
    trained: TrainedNetwork,
    data: Iterator[tuple[UInt8Array, Truth]],
    config: ScoreConfig,
    methods: Sequence[str],
    fitted: Mapping[str, nn.Module] | None = None,
) -> dict[str, Calibration]:
    """Fit the constants of raw scores on the known-class pixels of a data set.

    Args:
        trained: the network.
        data: images with truth, at the network's size.
        config: the quantile.
        methods: names in `SCORERS` or `FITTED_SCORERS`.
        fitted: states of the latter, by name.
    """
    values = raw_values(trained, data, methods, fitted)
    return constants_of(values, trained, config.scale_quantile)


def raw_values(
    trained: TrainedNetwork,
    data: Iterator[tuple[UInt8Array, Truth]],
    methods: Sequence[str],
    fitted: Mapping[str, nn.Module] | None = None,
) -> dict[str, Tensor]:
    """Return raw scores (n,) of known-class pixels by method; arguments as in `fit_constants`.

    At most `PIXELS_PER_IMAGE` are drawn from an image, with a fixed seed.
    """
    states = fitted or {}
    rng = np.random.default_rng(0)
    values: dict[str, list[Tensor]] = {method: [] for method in methods}
    for image, truth in data:
        evidence = trained.evidence(torch.from_numpy(image[None]))
        known = np.flatnonzero(truth.valid & ~truth.anomaly)
        if not known.size:
            continue
        chosen = torch.from_numpy(rng.choice(known, min(PIXELS_PER_IMAGE, known.size), False))
        for method in methods:
            raw = get_scorer(method, states.get(method))(evidence)
            values[method].append(raw.flatten()[chosen])
    return {method: torch.cat(found) for method, found in values.items()}


def constants_of(
    values: Mapping[str, Tensor], trained: TrainedNetwork, quantile: float
) -> dict[str, Calibration]:
    """Return the constants of raw scores; share of pixels above 0 as in `ScoreConfig`."""
    return {
        method: fit_calibration(found, quantile, _ceiling(method, trained))
        for method, found in values.items()
    }


def _ceiling(method: str, trained: TrainedNetwork) -> float | None:
    """Raw score of the most anomalous point where theory knows it."""
    count = len(trained.checkpoint.class_names)
    if method in ("msp", "mmsp"):
        return 1.0 - 1.0 / count
    if method == "entropy":
        return 1.0
    if method == "eds":
        prototypes = trained.network.prototypes
        return -float((prototypes - prototypes.mean(dim=0)).square().sum())
    return None


def operating_points(metric: PixelAnomalyMetric, fitted_on: str) -> tuple[OperatingPoint, ...]:
    """Return the named thresholds that the accumulated scores allow."""
    return tuple(
        OperatingPoint(name=name, threshold=float(np.clip(value, 0, 1)), fitted_on=fitted_on)
        for name, fit in OPERATING_POINTS.items()
        if (value := fit(metric)) is not None
    )


def accumulate(
    trained: TrainedNetwork, score: CalibratedScore, data: Iterator[tuple[UInt8Array, Truth]]
) -> PixelAnomalyMetric:
    """Run the calibrated score over labelled images."""
    metric = PixelAnomalyMetric()
    for image, truth in data:
        evidence = trained.evidence(torch.from_numpy(image[None]))
        metric.update(score(evidence)[0].numpy(), truth.anomaly, truth.valid)
    return metric
