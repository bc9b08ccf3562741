"""Every score of a network on a data set: both forms, both protocols, and the time of each.

The constant form maps a raw score to [0, 1] by two constants fitted on training images, so wide
that nothing is cut off: it ranks all pixels as the raw score does. The paper's form scales each
image by itself. Pooled figures rank all pixels of a data set together,
as a fixed threshold does; per-image figures are means over the images that hold anomalies.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from owseg.datasets import DatasetReader, Truth, TruthMap
from owseg.metrics import PixelAnomalyMetric, SegmentationMetric
from owseg.types import FloatArray, UInt8Array
from owseg_export.calibrate import available_scores, constants_of, load_resized, raw_values
from owseg_export.detectors import Detector, DropoutSamples, GraphScore, Odin, to_unit
from owseg_export.fitted import fit_scores
from owseg_export.trained import TrainedNetwork
from owseg_training.scorers import (
    UNKNOWN_SCORERS,
    CalibratedScore,
    Calibration,
    Evidence,
    fit_calibration,
    per_image,
)
from owseg_training.scorers.calibrated import PROBABILITIES

Frame = tuple[UInt8Array, Truth]
"""An image (H, W, 3) uint8 RGB with its truth."""

FORMS = ("constant", "paper")
RAW = "raw"
"""The only form of scores that are probabilities or entropies: they are used as they are."""

PROTOCOLS = ("pooled", "per_image")
FIGURES = ("aupr", "auroc", "fpr95")

FIT_EVERY = 4
"""One of so many training images is used for constants and states."""

OFFLINE_EVERY = 2
"""One of so many of these for the constants of the offline detectors."""

SPARSE = 50
"""One of so many pixels of them."""

ROUNDS = 5


@dataclass(frozen=True, kw_only=True)
class FrameSource:
    """Images of a split at one size, with truth.

    Attributes:
        reader: the split.
        truth: meaning of its labels.
        names: the known classes of the model.
        size: (height, width) in pixels.
        every: one of so many images.
        title: text before the progress bar.
    """

    reader: DatasetReader
    truth: TruthMap
    names: tuple[str, ...]
    size: tuple[int, int]
    every: int = 1
    title: str = ""

    def __iter__(self) -> Iterator[Frame]:
        samples = list(self.reader)[:: self.every]
        for sample in tqdm(samples, desc=self.title, unit="image", leave=False):
            yield load_resized(sample, self.truth, self.names, self.size)


def offline_detectors(trained: TrainedNetwork) -> dict[str, Detector]:
    """Return the detectors that no graph can compute, as far as the network has what they need."""
    found: dict[str, Detector] = {"odin": Odin(trained)}
    if trained.checkpoint.recipe.network.dropout:
        found["mc_dropout"] = DropoutSamples(trained)
    return found


class AllScores:
    """All scores of a network, fitted on training images.

    Args:
        trained: the network.
        training: images to fit constants and states on; gone through more than once.
        detectors: offline detectors beside the scores, by name.
        graph: whether the scores of the graph are wanted.
        exported: take the constants of an exported bundle, which call the lower half of the known
            pixels 0.
    """

    def __init__(
        self,
        trained: TrainedNetwork,
        training: Iterable[Frame],
        detectors: dict[str, Detector],
        *,
        graph: bool = True,
        exported: bool = False,
    ) -> None:
        self.trained, self.detectors = trained, detectors
        config = trained.checkpoint.recipe.score
        self._names = available_scores(trained) if graph else ()
        self._states: dict[str, nn.Module] = {}
        self._scores: dict[tuple[str, str], CalibratedScore] = {}
        if graph:
            self._states, _ = fit_scores(trained, iter(training), self._names)
            raw = raw_values(trained, iter(training), self._names, self._states)
            bundle = constants_of(raw, trained, config.scale_quantile)
            constants = bundle if exported else {name: wide(raw[name]) for name in raw}
            self._add(constants, FORMS if exported else None)
            if trained.metric:
                self._add_mixture(bundle)
        quantile = config.scale_quantile if exported else None
        self._scales = _fit_offline(detectors, training, quantile)

    def _add(self, constants: dict[str, Calibration], forms: Sequence[str] | None) -> None:
        for name in self._names:
            for form in forms or forms_of(name):
                own = "paper" if form == RAW else form
                state = self._states.get(name)
                self._scores[name, form] = CalibratedScore(name, own, constants, fitted=state)

    def _add_mixture(self, constants: dict[str, Calibration]) -> None:
        """Add the mixture, whose gate is about the distance sum of an exported bundle."""
        for form in FORMS:
            self._scores["mixture", form] = CalibratedScore("mixture", form, constants)

    @property
    def keys(self) -> list[tuple[str, str]]:
        """Name and form of each score."""
        return [*self._scores, *((name, form) for name in self.detectors for form in FORMS)]

    def maps(
        self, image: UInt8Array, evidence: Evidence
    ) -> Iterator[tuple[tuple[str, str], FloatArray]]:
        """Yield name and form of each score with its map (H, W) float32 in [0, 1].

        Args:
            image: (H, W, 3) uint8 RGB.
            evidence: of the network for it.
        """
        for key, score in self._scores.items():
            yield key, score(evidence)[0].numpy()
        for name, detector in self.detectors.items():
            raw = detector(image)
            yield (name, "constant"), self._scales[name].apply(raw).numpy()
            yield (name, "paper"), per_image(raw[None], name)[0].numpy()

    def costs(self, image: UInt8Array) -> dict[str, float]:
        """Return the time of each score on an image, in times of the network."""
        alone = {
            name: GraphScore(self.trained, name, self._states.get(name)) for name in self._names
        }
        return costs(self.trained, {**alone, **self.detectors}, image)


def measure(scores: AllScores, frames: Iterable[Frame]) -> dict[str, Any]:
    """Measure all scores on a data set, and the known classes where it has labels of them.

    Returns:
        "images", "scores" (score -> form -> protocol -> figure), "time" (of each score, in times
        of the network), "miou" and "iou" as `closed_set`, ready for JSON.
    """
    metrics = {key: PixelAnomalyMetric() for key in scores.keys}
    classes = _Classes(scores.trained)
    image, images = np.zeros((1, 1, 3), np.uint8), 0
    for image, truth in frames:
        images += 1
        evidence = classes.add(image, truth)
        for key, score_map in scores.maps(image, evidence):
            metrics[key].update(score_map, truth.anomaly, truth.valid)
    table: dict[str, dict[str, Any]] = {}
    for (name, form), metric in metrics.items():
        result = metric.compute()
        figures = {"pooled": asdict(result.pooled), "per_image": asdict(result.per_image)}
        table.setdefault(name, {})[form] = figures
    costs = scores.costs(image)
    return {"images": images, "scores": table, "time": costs, **classes.figures()}


def closed_set(trained: TrainedNetwork, frames: Iterable[Frame]) -> dict[str, Any]:
    """Return mIoU and IoU by class of the best known class of each pixel, in [0, 1] or None."""
    classes = _Classes(trained)
    for image, truth in frames:
        classes.add(image, truth)
    return classes.figures()


class _Classes:
    """Known classes of a network, compared with the truth."""

    def __init__(self, trained: TrainedNetwork) -> None:
        self.trained = trained
        self._metric = SegmentationMetric(len(trained.class_names))

    def add(self, image: UInt8Array, truth: Truth) -> Evidence:
        """Add one image; returns the evidence of the network for it."""
        evidence = self.trained.evidence(torch.from_numpy(image[None]))
        best = evidence.logits.argmax(dim=1)[0].numpy().astype(np.uint8)
        self._metric.update(best, truth.known)
        return evidence

    def figures(self) -> dict[str, Any]:
        """Return "miou" and "iou", in [0, 1] or None."""
        found = self._metric.compute()
        iou = dict(zip(self.trained.class_names, found.iou, strict=True))
        return {"miou": found.miou, "iou": iou}


def forms_of(name: str) -> tuple[str, ...]:
    """Return the forms of a score."""
    return (RAW,) if name in (*PROBABILITIES, *UNKNOWN_SCORERS) else FORMS


def wide(raw_values: Tensor) -> Calibration:
    """Return constants that cut nothing off: room as wide as the values on both sides of them.

    Args:
        raw_values: (n,) raw scores of known training pixels.
    """
    low, high = float(raw_values.min()), float(raw_values.max())
    span = max(high - low, 1e-6)
    return Calibration(low=low - span, high=high + span)


def _fit_offline(
    detectors: dict[str, Detector], training: Iterable[Frame], quantile: float | None
) -> dict[str, Calibration]:
    """Fit the constants of detectors on known pixels of some images; quantile None = wide."""
    values: dict[str, list[Tensor]] = {name: [] for name in detectors}
    for number, (image, truth) in enumerate(training if detectors else ()):
        if number % OFFLINE_EVERY:
            continue
        known = torch.from_numpy(truth.valid & ~truth.anomaly)
        for name, detector in detectors.items():
            values[name].append(detector(image)[known][::SPARSE])
    joined = {name: torch.cat(found) for name, found in values.items()}
    if quantile is None:
        return {name: wide(found) for name, found in joined.items()}
    return {name: fit_calibration(found, quantile) for name, found in joined.items()}


def costs(
    trained: TrainedNetwork, detectors: dict[str, Detector], image: UInt8Array
) -> dict[str, float]:
    """Return the time of each detector on an image, in times of the network: medians of rounds."""

    def network(image: UInt8Array) -> Tensor:
        with torch.no_grad():
            found: Tensor = trained.base(to_unit(image)).embedding
        return found

    runs: dict[str, Callable[[UInt8Array], Tensor]] = {"": network, **detectors}
    laps: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, call in runs.items():
            start = time.perf_counter()
            call(image)
            laps[name].append(time.perf_counter() - start)
    base = median(laps.pop(""))
    return {name: median(times) / base for name, times in laps.items()}
