"""The meta classifier as it runs on the vehicle: a JSON file, and numpy.

    {"schema": 1, "kind": "logistic", "classes": [...], "features": [...], "keep_above": 0.31,
     "threshold": 0.81, "fitted_on": "...", "figures": {...}, "model": {...}}

The model of "logistic" has mean, scale, weights and bias; that of "boosting" has start, rate and
trees, each with feature, limit, left, right and value of its nodes (feature -1: a leaf).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from owseg.errors import OutputError, UsageError
from owseg.manifest import Manifest
from owseg.meta.features import feature_names, measure
from owseg.types import FloatArray, UInt8Array, UInt16Array

FloatVector = npt.NDArray[np.float64]

SCHEMA = 1
_CHILDREN = ("left", "right")

Run = Callable[[FloatArray], FloatVector]
"""Features (S, F) float32 -> probabilities (S,)."""


class ObjectJudge(Protocol):
    """Says which unknown objects of a frame are false alarms."""

    def check(self, manifest: Manifest) -> None:
        """Refuse to judge objects of a model that it does not fit (UsageError)."""
        ...

    def false_alarms(
        self, clusters: UInt16Array, anomaly: FloatArray, known: UInt8Array
    ) -> npt.NDArray[np.bool_]:
        """Judge the objects of a frame, see `MetaClassifier.false_alarms`."""
        ...

    def about(self) -> Mapping[str, Any]:
        """Say what it is, ready for JSON."""
        ...


@dataclass(frozen=True, kw_only=True)
class MetaClassifier:
    """Tells unknown objects from false alarms.

    Attributes:
        kind: a name in `KINDS`.
        classes: names of the known classes of the model whose objects it judges.
        model: the numbers of the fit.
        keep_above: objects with a larger probability of being one are kept.
        threshold: anomaly threshold of the objects that it was fitted on.
        fitted_on: the data.
        figures: what the fit noted.
        file: name of the file that it was read from; "" = none.
        sha256: of that file.

    Raises:
        UsageError: numbers that do not belong together.
    """

    kind: str
    classes: tuple[str, ...]
    model: Mapping[str, Any]
    keep_above: float
    threshold: float
    fitted_on: str
    figures: Mapping[str, Any] = field(default_factory=dict)
    file: str = field(default="", compare=False)
    sha256: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        """Refuse what cannot judge anything, and find it out before the first frame."""
        if self.kind not in KINDS:
            raise UsageError(f"no meta classifier '{self.kind}'; there are {', '.join(KINDS)}")
        if not 0.0 <= self.keep_above <= 1.0:
            raise UsageError(f"'keep_above' of a meta classifier is {self.keep_above}, not 0..1")
        nothing = np.zeros((1, len(feature_names(self.classes))), np.float32)
        try:
            with np.errstate(all="ignore"):
                found = self.probability(nothing)
        except (KeyError, IndexError, TypeError, ValueError, RecursionError) as error:
            raise UsageError(
                f"the numbers of the meta classifier are garbled ({error!r})"
            ) from error
        if found.shape != (1,) or not np.isfinite(found).all():
            raise UsageError("the numbers of the meta classifier are garbled; fit it again")

    def probability(self, features: FloatArray) -> FloatVector:
        """Return the probability that objects are ones.

        Args:
            features: (S, F) float32, see `feature_names`.

        Returns:
            (S,) in [0, 1].
        """
        return self._run(features)

    @cached_property
    def _run(self) -> Run:
        return KINDS[self.kind](self.model)

    def false_alarms(
        self, clusters: UInt16Array, anomaly: FloatArray, known: UInt8Array
    ) -> npt.NDArray[np.bool_]:
        """Judge the objects of a frame.

        Args:
            clusters: (H, W) uint16 ids 1, 2, ..., 0 = none.
            anomaly: (H, W) float32 anomaly score, 0..1, not calibrated.
            known: (H, W) uint8 best known class of each pixel.

        Returns:
            (largest id + 1,) bool, True for false alarms; False at 0.
        """
        table = measure(clusters, anomaly, known, len(self.classes))
        out = np.zeros(len(table) + 1, np.bool_)
        if len(table):
            out[1:] = self.probability(table) <= self.keep_above
        return out

    def check(self, manifest: Manifest) -> None:
        """Refuse to judge objects of another model.

        Raises:
            UsageError: the model knows other classes.
        """
        if self.classes != manifest.class_names:
            raise UsageError(
                f"the meta classifier was fitted for the classes {', '.join(self.classes)}; model "
                f"'{manifest.name}' has {', '.join(manifest.class_names)}: fit one for it"
            )

    def about(self) -> dict[str, Any]:
        """Say which one it is: kind, threshold of its objects, limit, data, and the file."""
        return {
            "kind": self.kind,
            "keep_above": self.keep_above,
            "threshold": self.threshold,
            "fitted_on": self.fitted_on,
            "file": self.file,
            "sha256": self.sha256,
        }

    def save(self, path: Path) -> None:
        """Write the JSON file.

        Raises:
            OutputError: it cannot be written.
        """
        content = {
            "schema": SCHEMA,
            "kind": self.kind,
            "classes": list(self.classes),
            "features": list(feature_names(self.classes)),
            "keep_above": self.keep_above,
            "threshold": self.threshold,
            "fitted_on": self.fitted_on,
            "figures": dict(self.figures),
            "model": dict(self.model),
        }
        try:
            path.write_text(json.dumps(content, allow_nan=False) + "\n", "utf-8")
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror}") from error


def load_meta(path: Path) -> MetaClassifier:
    """Read a meta classifier.

    Raises:
        UsageError: no such file, or it is no meta classifier of this version.
    """
    try:
        content = path.read_bytes()
        raw = json.loads(content.decode("utf-8"))
        if raw["schema"] != SCHEMA:
            raise UsageError(
                f"{path} has schema {raw['schema']!r}, this version reads {SCHEMA}; fit it again"
            )
        classes = tuple(str(name) for name in raw["classes"])
        if raw["features"] != list(feature_names(classes)):
            raise UsageError(f"{path} rests on other features than this version; fit it again")
        return MetaClassifier(
            kind=str(raw["kind"]),
            classes=classes,
            model=dict(raw["model"]),
            keep_above=float(raw["keep_above"]),
            threshold=float(raw["threshold"]),
            fitted_on=str(raw["fitted_on"]),
            figures=dict(raw["figures"]),
            file=path.name,
            sha256=hashlib.sha256(content).hexdigest(),
        )
    except OSError as error:
        raise UsageError(f"cannot read the meta classifier {path}: {error.strerror}") from error
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise UsageError(
            f"{path} is not a meta classifier ({error!r}); make one with 'owseg meta fit'"
        ) from error


def _logistic(model: Mapping[str, Any]) -> Run:
    mean, scale, weights = (np.asarray(model[k], np.float64) for k in ("mean", "scale", "weights"))
    bias = float(model["bias"])
    if not mean.shape == scale.shape == weights.shape or not scale.all():
        raise ValueError("there must be a mean, a scale and a weight for each feature")

    def run(features: FloatArray) -> FloatVector:
        if features.shape[1:] != weights.shape:
            raise ValueError(f"{weights.size} weights for {features.shape[1]} features")
        return _sigmoid((features - mean) / scale @ weights + bias)

    return run


def _boosting(model: Mapping[str, Any]) -> Run:
    trees, start, rate = list(model["trees"]), float(model["start"]), float(model["rate"])
    feature = _padded([tree["feature"] for tree in trees], -1).astype(np.intp)
    left, right = (_padded([tree[k] for tree in trees], 0).astype(np.intp) for k in _CHILDREN)
    limit, value = (_padded([tree[k] for tree in trees], 0.0) for k in ("limit", "value"))
    if not feature.shape == left.shape == right.shape == limit.shape == value.shape:
        raise ValueError("the lists of a tree differ in length")
    inner = feature >= 0
    if (np.minimum(left, right) <= np.arange(feature.shape[1]))[inner].any():
        raise ValueError("a tree runs in circles")
    number = np.arange(len(trees))

    def run(features: FloatArray) -> FloatVector:
        node = np.zeros((len(features), len(trees)), np.intp)
        rows = np.arange(len(features))[:, None]
        while (moving := inner[number, node]).any():
            below = features[rows, np.maximum(feature[number, node], 0)] <= limit[number, node]
            child = np.where(below, left[number, node], right[number, node])
            node = np.where(moving, child, node)
        return _sigmoid(start + rate * value[number, node].sum(axis=1))

    return run


def _padded(rows: Sequence[Sequence[float]], fill: float) -> FloatVector:
    """(T, M) the lists of T trees, filled up to the longest."""
    out = np.full((len(rows), max(map(len, rows))), fill, np.float64)
    for row, values in zip(out, rows, strict=True):
        row[: len(values)] = values
    return out


def _sigmoid(z: FloatVector) -> FloatVector:
    out: FloatVector = np.exp(-np.logaddexp(0, -z))
    return out


KINDS: dict[str, Callable[[Mapping[str, Any]], Run]] = {
    "logistic": _logistic,
    "boosting": _boosting,
}
"""Kinds of classifiers: numbers of the fit -> what turns features into probabilities."""
