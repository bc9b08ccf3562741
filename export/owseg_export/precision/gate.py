"""What a conversion costs: the figures of a bundle before and after, and what is allowed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy.typing as npt
from tqdm import tqdm

from owseg.bundle import load_bundle
from owseg.datasets import TruthMap
from owseg.engines import OnnxRuntimeEngine
from owseg.errors import MissedLimitError, UsageError
from owseg.evaluation import Evaluation
from owseg.pipeline import Pipeline
from owseg.types import Frame, UInt8Array

Labelled = tuple[UInt8Array, "npt.NDArray[Any]"]


class LabelledImages(Protocol):
    """Images with label ids, at the size of the camera; can be gone through again."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Labelled]: ...


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much worse the figures may become, as shares (0.01 is one point).

    Attributes:
        miou: largest loss of mIoU.
        auroc: largest loss of AUROC, pooled.
        fpr95: largest rise of FPR95, pooled.
    """

    miou: float = 0.01
    auroc: float = 0.01
    fpr95: float = 0.03


@dataclass(frozen=True, kw_only=True)
class Quality:
    """Figures of a bundle on a validation set, 0..1; None = undefined there."""

    miou: float | None
    auroc: float | None
    fpr95: float | None

    def as_dict(self) -> dict[str, float | None]:
        """Plain numbers for the manifest."""
        return asdict(self)


def quality(path: Path, data: LabelledImages, truth_map: TruthMap, title: str) -> Quality:
    """Run a bundle over labelled images.

    Args:
        path: the bundle.
        data: the images.
        truth_map: meaning of the ids.
        title: what the progress bar says.
    """
    with OnnxRuntimeEngine(load_bundle(path), "cpu") as engine:
        pipeline = Pipeline(engine)
        evaluation = Evaluation(engine.manifest, truth_map)
        for index, (image, labels) in enumerate(tqdm(data, desc=title, unit="image")):
            result = pipeline.process(Frame(image=image, index=index), group=False)
            evaluation.update(result, labels)
    figures = evaluation.metrics()
    anomaly = figures["anomaly"]
    return Quality(miou=figures["miou"], auroc=anomaly["auroc"], fpr95=anomaly["fpr95"])


def check_limits(before: Quality, after: Quality, limits: Limits, what: str) -> None:
    """Compare two bundles.

    Raises:
        MissedLimitError: a figure became worse by more than is allowed, or undefined.
        UsageError: there was no figure to begin with, so that nothing is known of the loss.
    """
    if before.miou is None and before.auroc is None and before.fpr95 is None:
        raise UsageError(
            f"the loss of {what} cannot be measured: the validation images have labels of no "
            "class; name others with --validation, or their meaning with --truth-map"
        )
    missed = [
        f"{name} {_percent(old)} to {_percent(new)} (may {verb} by {100 * limit:g})"
        for name, old, new, limit, verb, sign in (
            ("mIoU", before.miou, after.miou, limits.miou, "fall", 1.0),
            ("AUROC", before.auroc, after.auroc, limits.auroc, "fall", 1.0),
            ("FPR95", before.fpr95, after.fpr95, limits.fpr95, "rise", -1.0),
        )
        if old is not None and (new is None or not sign * (old - new) <= limit)
    ]
    if missed:
        raise MissedLimitError(
            f"{what} costs too much: {', '.join(missed)}; nothing was written. Calibrate with "
            "more images, or allow more with --max-miou-loss, --max-auroc-loss, --max-fpr95-rise"
        )


def _percent(value: float | None) -> str:
    return "undefined" if value is None else f"{100 * value:.1f} %"
