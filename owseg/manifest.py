"""The manifest of a model bundle: everything a vehicle must know about a graph, as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from owseg.calibration.table import CalibrationTable, table_of
from owseg.errors import BundleError
from owseg.types import ClassInfo, FloatArray

SCHEMA = 1
METADATA_KEY = "owseg.manifest"
"""Key of the manifest in the ONNX metadata."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingPoint:
    """A threshold with a meaning.

    Attributes:
        name: e.g. "fpr_1" (false-positive rate 1 %) or "tpr_95" (95 % of anomalies found).
        threshold: pixels with a larger anomaly score are unknown; 0..1.
        fitted_on: the data it was fitted on.
        promise: what it keeps with which confidence, see `owseg.calibration.promise`; empty =
            it promises nothing.
    """

    name: str
    threshold: float
    fitted_on: str
    promise: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a bundle says of itself.

    Attributes:
        name: name of the model.
        classes: known classes; ids 0..N-1 in order.
        height: input height in pixels.
        width: input width in pixels.
        mean: mean of the input normalisation in the graph, RGB in 0..1.
        std: standard deviation of the input normalisation, RGB in 0..1.
        stride: output stride of embedding and direction.
        prototypes: (N, D) float32 prototypes of the known classes; (0, D) without metric head.
        slots: K, number of novel-prototype slots of the graph.
        score: method and constants of the anomaly score.
        operating_points: named thresholds, at least one.
        default_operating_point: the one that is used unless another is chosen.
        provenance: recipe, data set, split, commit, metrics.
        license: terms of the training data and of the weights.
        heads: number of classes, the last ones, that heads of their own decide; they have no
            prototype.
        calibration: from the anomaly score, which the graph and all thresholds speak of, to the
            probability of anomaly; None = nobody has fitted one.
        space: embedding space of the network, where the file is not the one that came out of
            the export but has its weights; "" = it is.
    """

    name: str
    classes: tuple[ClassInfo, ...]
    height: int
    width: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    stride: int
    prototypes: FloatArray
    slots: int
    score: Mapping[str, Any]
    operating_points: tuple[OperatingPoint, ...]
    default_operating_point: str
    provenance: Mapping[str, Any] = field(default_factory=dict)
    license: Mapping[str, str] = field(default_factory=dict)
    heads: int = 0
    calibration: CalibrationTable | None = None
    space: str = ""

    def __post_init__(self) -> None:
        """Refuse a manifest that contradicts itself."""
        self._check_classes()
        self._check_sizes()
        self._check_prototypes()
        for point in self.operating_points:
            if not 0.0 <= point.threshold <= 1.0:
                raise BundleError(
                    f"model '{self.name}': threshold of '{point.name}' is {point.threshold}, "
                    "expected 0..1"
                )
        self.threshold(self.default_operating_point)

    def _check_classes(self) -> None:
        if [c.id for c in self.classes] != list(range(len(self.classes))) or not self.classes:
            raise BundleError(f"model '{self.name}': class ids must be 0, 1, 2, ... in order")
        if len(set(self.class_names)) < len(self.classes):
            raise BundleError(f"model '{self.name}': two classes have the same name")
        for info in self.classes:
            if not all(0 <= value <= 255 for value in info.color):
                raise BundleError(
                    f"model '{self.name}': the colour of '{info.name}' is {info.color}, "
                    "expected three values in 0..255"
                )

    def _check_sizes(self) -> None:
        sizes = {
            "height": self.height,
            "width": self.width,
            "stride": self.stride,
            "slots": self.slots,
        }
        for name, value in sizes.items():
            if value < 1:
                raise BundleError(f"model '{self.name}': {name} is {value}, expected 1 or more")
        if len(self.classes) + self.slots > 255:
            raise BundleError(
                f"model '{self.name}': {len(self.classes)} classes and {self.slots} slots do not "
                "fit into the ids 0..254"
            )

    def _check_prototypes(self) -> None:
        if not 0 <= self.heads < len(self.classes):
            raise BundleError(
                f"model '{self.name}': {self.heads} of {len(self.classes)} classes have heads of "
                "their own; at least one must be of the base"
            )
        expected = len(self.classes) - self.heads
        if self.prototypes.ndim != 2 or self.prototypes.shape[0] not in (0, expected):
            raise BundleError(
                f"model '{self.name}': expected one prototype per class without a head, "
                f"got an array of shape {self.prototypes.shape}"
            )
        if not np.isfinite(self.prototypes).all():
            raise BundleError(f"model '{self.name}': a prototype has NaN or infinite values")

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the known classes in the order of their ids."""
        return tuple(c.name for c in self.classes)

    @property
    def embedding_size(self) -> int:
        """D, length of the embedding."""
        return int(self.prototypes.shape[1])

    @property
    def grid(self) -> tuple[int, int]:
        """(height, width) of embedding and direction."""
        return -(-self.height // self.stride), -(-self.width // self.stride)

    @property
    def precision(self) -> str:
        """What the network computes in: "fp32", or what the export noted, "fp16" or "int8"."""
        noted = self.provenance.get("precision")
        return str(noted.get("name", "fp32")) if isinstance(noted, Mapping) else "fp32"

    def threshold(self, operating_point: str | None = None) -> float:
        """Return the anomaly threshold of an operating point.

        Raises:
            BundleError: the manifest has no such operating point.
        """
        wanted = operating_point or self.default_operating_point
        for point in self.operating_points:
            if point.name == wanted:
                return point.threshold
        names = ", ".join(p.name for p in self.operating_points) or "none"
        raise BundleError(f"model '{self.name}' has no operating point '{wanted}'; it has {names}")

    def for_other_weights(self) -> Manifest:
        """Return it for weights that were changed: what holds for the old scores alone is dropped.

        Thresholds stay, since scores are still close; promises, calibration and space go.
        """
        points = tuple(
            replace(p, promise={}, fitted_on=f"{p.fitted_on}; void since the weights changed")
            if p.promise
            else p
            for p in self.operating_points
        )
        return replace(self, operating_points=points, calibration=None, space="")

    def to_json(self) -> str:
        """Return the JSON text that is embedded in the graph."""
        return json.dumps(
            {
                "schema": SCHEMA,
                "name": self.name,
                "classes": [
                    {"id": c.id, "name": c.name, "color": list(c.color)} for c in self.classes
                ],
                "input": {
                    "height": self.height,
                    "width": self.width,
                    "mean": list(self.mean),
                    "std": list(self.std),
                },
                "stride": self.stride,
                "embedding_size": self.embedding_size,
                "prototypes": self.prototypes.tolist(),
                "slots": self.slots,
                "score": dict(self.score),
                "operating_points": [
                    {
                        "name": p.name,
                        "threshold": p.threshold,
                        "fitted_on": p.fitted_on,
                        **({"promise": dict(p.promise)} if p.promise else {}),
                    }
                    for p in self.operating_points
                ],
                "default_operating_point": self.default_operating_point,
                "provenance": dict(self.provenance),
                "license": dict(self.license),
                **({"heads": self.heads} if self.heads else {}),
                **({"calibration": self.calibration.as_dict()} if self.calibration else {}),
                **({"space": self.space} if self.space else {}),
            }
        )


def parse_manifest(text: str, source: str) -> Manifest:
    """Read a manifest.

    Args:
        text: JSON text.
        source: what to call the bundle in messages.

    Raises:
        BundleError: not JSON, another schema, a missing or wrong field, a contradiction.
    """
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{source}: the manifest is not JSON ({error}); export again") from error
    schema = raw.get("schema") if isinstance(raw, dict) else None
    if schema != SCHEMA:
        raise BundleError(
            f"{source}: the manifest has schema {schema!r}, this version of owseg reads {SCHEMA}; "
            "export the model again, or install the matching version"
        )
    try:
        return _from_dict(raw)
    except BundleError as error:
        raise BundleError(f"{source}: {error}; export again") from error
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise BundleError(
            f"{source}: the manifest lacks or garbles a field ({error!r}); export again"
        ) from error


def _from_dict(raw: dict[str, Any]) -> Manifest:
    size = int(raw["embedding_size"])
    return Manifest(
        name=str(raw["name"]),
        classes=tuple(
            ClassInfo(id=int(c["id"]), name=str(c["name"]), color=_triple(c["color"], int))
            for c in raw["classes"]
        ),
        height=int(raw["input"]["height"]),
        width=int(raw["input"]["width"]),
        mean=_triple(raw["input"]["mean"], float),
        std=_triple(raw["input"]["std"], float),
        stride=int(raw["stride"]),
        prototypes=np.asarray(raw["prototypes"], np.float32).reshape(-1, size),
        slots=int(raw["slots"]),
        score=dict(raw["score"]),
        operating_points=tuple(
            OperatingPoint(
                name=str(p["name"]),
                threshold=float(p["threshold"]),
                fitted_on=str(p["fitted_on"]),
                promise=dict(p.get("promise", {})),
            )
            for p in raw["operating_points"]
        ),
        default_operating_point=str(raw["default_operating_point"]),
        provenance=dict(raw["provenance"]),
        license=dict(raw["license"]),
        heads=int(raw.get("heads", 0)),
        calibration=table_of(raw["calibration"]) if raw.get("calibration") else None,
        space=str(raw.get("space", "")),
    )


def _triple(values: Any, kind: type) -> Any:
    first, second, third = values
    return kind(first), kind(second), kind(third)
