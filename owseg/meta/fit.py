"""Fitting a meta classifier; needs scikit-learn, running one does not.

Which objects are dropped is decided on probabilities that no object's own drive has influenced:
drives are left out one after the other, and where there is but one, stretches of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from owseg.errors import InputError, MissingDependencyError, UsageError
from owseg.meta.model import KINDS, MetaClassifier
from owseg.meta.run import MeasuredObjects
from owseg.meta.truth import LEFT_OUT, TRUE
from owseg.metrics.pixel import figures_of
from owseg.metrics.score_bins import count_scores
from owseg.types import FloatArray

FloatVector = npt.NDArray[np.float64]

STRETCHES = 5
"""Parts that a single drive is cut into."""


@dataclass(frozen=True, kw_only=True)
class MetaOptions:
    """How a meta classifier is fitted.

    Attributes:
        kind: "logistic" or "boosting".
        max_missed: share of the true objects that are found, 0..1, that may be lost on drives
            which the fit has not seen. An object is lost if all that touches it is dropped.
        threshold: anomaly threshold of the objects.
        fitted_on: the data, in words.
        seed: of what is drawn.
    """

    kind: str = "boosting"
    max_missed: float = 0.02
    threshold: float
    fitted_on: str
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        if self.kind not in KINDS:
            raise UsageError(f"no meta classifier '{self.kind}'; there are {', '.join(KINDS)}")
        if not 0.0 <= self.max_missed < 1.0:
            raise UsageError(f"the share that may be missed is 0..1, got {self.max_missed}")


def fit_meta(
    objects: MeasuredObjects, classes: tuple[str, ...], options: MetaOptions
) -> MetaClassifier:
    """Fit a meta classifier.

    Raises:
        InputError: too few objects, or all true, or all false.
        MissingDependencyError: scikit-learn is not installed.
    """
    used = objects.verdicts != LEFT_OUT
    features, true = objects.features[used], objects.verdicts[used] == TRUE
    parts, kind_of_parts = _parts(objects, objects.frames[used])
    _check(true, parts, options.fitted_on)
    others = _by_others(features, true, parts, options)
    everywhere = np.ones(len(used))
    everywhere[used] = others
    best = np.array([everywhere[list(rows)].max() for rows in objects.found])
    keep_above = _cut(best, options.max_missed)
    model = _FITS[options.kind](features, true, options.seed)
    return MetaClassifier(
        kind=options.kind,
        classes=classes,
        model=model,
        keep_above=keep_above,
        threshold=options.threshold,
        fitted_on=options.fitted_on,
        figures={
            "true": int(true.sum()),
            "false": int((~true).sum()),
            "left_out_in_turn": kind_of_parts,
            "auroc": _auroc(others, true),
            "found": len(best),
            "found_lost": float(np.mean(best <= keep_above)) if best.size else None,
            "false_dropped": float(np.mean(others[~true] <= keep_above)),
        },
    )


def _parts(
    objects: MeasuredObjects, frames: npt.NDArray[np.intp]
) -> tuple[npt.NDArray[np.intp], str]:
    """Return the number of the part of each object, and what the parts are."""
    names = list(dict.fromkeys(objects.drives))
    if len(names) > 1:
        drives = np.array([names.index(name) for name in objects.drives])
        return drives[frames], "drives"
    return frames * STRETCHES // max(1, len(objects.drives)), "stretches of one drive"


def _check(true: npt.NDArray[np.bool_], parts: npt.NDArray[np.intp], fitted_on: str) -> None:
    for part in np.unique(parts):
        rest = true[parts != part]
        if not (rest.any() and (~rest).any()):
            raise InputError(
                f"{fitted_on}: {int(true.sum())} true objects and {int((~true).sum())} false ones "
                "are too few for a meta classifier, each of its parts left out in turn; give more "
                "images, or a lower threshold"
            )
    if not len(true):
        raise InputError(f"{fitted_on}: nothing is called unknown; give a lower threshold")


def _by_others(
    features: FloatArray,
    true: npt.NDArray[np.bool_],
    parts: npt.NDArray[np.intp],
    options: MetaOptions,
) -> FloatVector:
    """(S,) probability of each object by a classifier that has not seen its part."""
    out = np.zeros(len(true))
    for part in np.unique(parts):
        own = parts == part
        model = _FITS[options.kind](features[~own], true[~own], options.seed)
        out[own] = KINDS[options.kind](model)(features[own])
    return out


def _cut(probabilities: FloatVector, max_missed: float) -> float:
    """Return the largest cut, between two probabilities, that drops at most such a share."""
    if not probabilities.size:
        return 0.0
    ordered = np.concatenate(([0.0], np.sort(probabilities)))
    lost = int(np.floor(max_missed * probabilities.size + 1e-9))
    while lost and ordered[lost] == ordered[lost + 1]:
        lost -= 1
    return float((ordered[lost] + ordered[lost + 1]) / 2) if ordered[lost + 1] > 0 else 0.0


def _auroc(probabilities: FloatVector, true: npt.NDArray[np.bool_]) -> float | None:
    scores = probabilities.astype(np.float32)[None]
    return figures_of(count_scores(scores, true[None], np.ones_like(true)[None])).auroc


def _logistic(features: FloatArray, true: npt.NDArray[np.bool_], seed: int) -> dict[str, Any]:
    linear = _sklearn("linear_model")
    mean, scale = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
    scale = np.where(scale > 1e-6, scale, 1.0)
    fitted = linear.LogisticRegression(solver="liblinear", random_state=seed)
    fitted.fit((features - mean) / scale, true)
    return {
        "mean": mean.tolist(),
        "scale": scale.tolist(),
        "weights": fitted.coef_[0].tolist(),
        "bias": float(fitted.intercept_[0]),
    }


def _boosting(features: FloatArray, true: npt.NDArray[np.bool_], seed: int) -> dict[str, Any]:
    ensemble = _sklearn("ensemble")
    fitted = ensemble.GradientBoostingClassifier(subsample=0.5, random_state=seed)
    fitted.fit(features, true)
    share = float(true.mean())
    return {
        "start": float(np.log(share / (1 - share))),
        "rate": float(fitted.learning_rate),
        "trees": [_tree(stage[0].tree_) for stage in fitted.estimators_],
    }


def _tree(tree: Any) -> dict[str, list[float]]:
    leaf = tree.children_left < 0
    return {
        "feature": np.where(leaf, -1, tree.feature).tolist(),
        "limit": np.where(leaf, 0.0, tree.threshold).tolist(),
        "left": tree.children_left.tolist(),
        "right": tree.children_right.tolist(),
        "value": tree.value[:, 0, 0].tolist(),
    }


def _sklearn(module: str) -> Any:
    try:
        import importlib

        return importlib.import_module(f"sklearn.{module}")
    except ImportError as error:
        raise MissingDependencyError(
            f"fitting a meta classifier needs scikit-learn ({error}): pip install scikit-learn, "
            "or 'owseg_ros[train]'"
        ) from error


_FITS = {"logistic": _logistic, "boosting": _boosting}
