"""What the ids of a ground-truth label map mean: known class, anomaly, or ignore.

A truth map is a small JSON file, so that any labelled drive can be scored:

    {"schema": 1, "name": "camvid-A",
     "labels": {"0": "sky", "1": "building", "8": "car", "11": "void"},
     "held_out": ["car"], "ignore": ["void"]}

`held_out` classes are the positives of the anomaly metrics and void in
training; `ignore` classes, and id 255, count nowhere. Classes under `normal`,
which may be left out, are no anomalies and no classes either: negatives of the
anomaly metrics, void in all others and in training. Benchmarks that say only
what is an anomaly have one such class.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from owseg.errors import TruthError, UsageError
from owseg.types import IGNORE_ID, UInt8Array

SCHEMA = 1
_ANOMALY, _UNEXPLAINED = 254, 253


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """Ground truth of one frame, in the ids of a model.

    Attributes:
        known: (H, W) uint8, class id of the model, 255 = ignore (void, anomaly, no class).
        anomaly: (H, W) bool, pixels of held-out classes.
        valid: (H, W) bool, pixels that count in the anomaly metrics.
    """

    known: UInt8Array
    anomaly: npt.NDArray[np.bool_]
    valid: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class TruthMap:
    """The meaning of the ids 0..254 of a label map; 255 is always "ignore"."""

    name: str
    labels: Mapping[int, str]
    held_out: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    normal: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse ids out of range, names that no label has, and names with two meanings."""
        bad = [i for i in self.labels if not 0 <= i <= 254]
        if bad:
            raise UsageError(f"truth map '{self.name}': ids must be 0..254, got {bad[0]}")
        for name in (*self.held_out, *self.ignore, *self.normal):
            if name not in self.labels.values():
                raise UsageError(
                    f"truth map '{self.name}': '{name}' is held out or ignored, but no label has "
                    "that name; add it under 'labels'"
                )
        for name in self.normal:
            if name in (*self.held_out, *self.ignore):
                raise UsageError(
                    f"truth map '{self.name}': '{name}' is normal, and held out or ignored too; "
                    "take it out of one list"
                )

    @property
    def known_names(self) -> tuple[str, ...]:
        """Names of the known classes, each once, in ascending order of their lowest ids."""
        out = (*self.held_out, *self.ignore, *self.normal)
        names = (name for _, name in sorted(self.labels.items()) if name not in out)
        return tuple(dict.fromkeys(names))

    def with_held_out(self, names: Sequence[str]) -> TruthMap:
        """Return the same map with other classes held out."""
        return replace(self, held_out=tuple(names))

    def table(self, class_names: Sequence[str]) -> UInt8Array:
        """Return the lookup table from label id to model id.

        Args:
            class_names: names of the model's classes, in the order of their ids.

        Returns:
            (256,) uint8; 254 = anomaly, 255 = ignore or normal, 253 = an id that the map lacks.

        Raises:
            TruthError: a labelled class is neither known to the model, held out nor ignored,
                or the model has so many classes that their ids meet 253.
        """
        if len(class_names) > _UNEXPLAINED:
            raise TruthError(
                f"truth map '{self.name}': the model has {len(class_names)} classes; "
                f"at most {_UNEXPLAINED} can be compared with ground truth"
            )
        table = np.full(256, _UNEXPLAINED, np.uint8)
        table[IGNORE_ID] = IGNORE_ID
        for label, name in self.labels.items():
            table[label] = self._model_id(name, class_names)
        return table

    def _model_id(self, name: str, class_names: Sequence[str]) -> int:
        if name in (*self.ignore, *self.normal):
            return IGNORE_ID
        if name in self.held_out:
            return _ANOMALY
        if name in class_names:
            return class_names.index(name)
        raise TruthError(
            f"truth map '{self.name}': class '{name}' is not one of the model's classes "
            f"({', '.join(class_names)}); list it under 'held_out', 'ignore' or 'normal'"
        )

    def apply(self, labels: npt.NDArray[np.integer[Any]], class_names: Sequence[str]) -> Truth:
        """Translate a label map into the ids of a model.

        Args:
            labels: (H, W) integer label ids, 0..255.
            class_names: names of the model's classes, in the order of their ids.

        Raises:
            TruthError: the map holds an id that is not listed, or one out of 0..255.
        """
        if labels.ndim != 2 or labels.dtype.kind not in "ui":
            raise TruthError(
                f"expected an (H, W) integer label map, got {labels.shape} {labels.dtype}"
            )
        if labels.dtype != np.uint8:
            if labels.size and (labels.min() < 0 or labels.max() > 255):
                raise TruthError(
                    f"truth map '{self.name}' covers ids 0..255, "
                    f"the ground truth has {int(labels.min())}..{int(labels.max())}"
                )
            labels = labels.astype(np.uint8)
        known = self.table(class_names)[labels]
        self._check_explained(labels, known)
        anomaly = known == _ANOMALY
        valid = (known != IGNORE_ID) | self._normal_table()[labels]
        known[anomaly] = IGNORE_ID
        return Truth(known=known, anomaly=anomaly, valid=valid)

    def _normal_table(self) -> npt.NDArray[np.bool_]:
        """Return (256,) bool, the label ids that are no anomaly and no class."""
        table = np.zeros(256, np.bool_)
        table[[label for label, name in self.labels.items() if name in self.normal]] = True
        return table

    def _check_explained(self, labels: npt.NDArray[np.integer[Any]], known: UInt8Array) -> None:
        unexplained = known == _UNEXPLAINED
        if unexplained.any():
            ids = ", ".join(str(i) for i in np.unique(labels[unexplained])[:8])
            raise TruthError(
                f"the ground truth has ids that truth map '{self.name}' does not list: {ids}; "
                "add them under 'labels'"
            )

    def to_json(self) -> str:
        """Return the JSON text of the map."""
        return json.dumps(
            {
                "schema": SCHEMA,
                "name": self.name,
                "labels": {str(i): n for i, n in sorted(self.labels.items())},
                "held_out": list(self.held_out),
                "ignore": list(self.ignore),
                **({"normal": list(self.normal)} if self.normal else {}),
            },
            indent=2,
        )


def load_truth_map(name_or_path: str | Path) -> TruthMap:
    """Load a truth map by the name of a built-in one or from a JSON file.

    Raises:
        UsageError: no such file or name, or the file is not a truth map.
    """
    builtin = builtin_truth_maps()
    if str(name_or_path) in builtin:
        text = builtin[str(name_or_path)]
    else:
        try:
            text = Path(name_or_path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(
                f"truth map '{name_or_path}' is neither a readable file nor one of "
                f"{', '.join(sorted(builtin))} ({error})"
            ) from error
    return _parse(text, str(name_or_path))


def builtin_truth_maps() -> dict[str, str]:
    """Return the JSON texts of the truth maps that come with the package, by name."""
    folder = resources.files("owseg.datasets") / "manifests"
    return {
        entry.name.removesuffix(".json"): entry.read_text(encoding="utf-8")
        for entry in folder.iterdir()
        if entry.name.endswith(".json")
    }


def _parse(text: str, source: str) -> TruthMap:
    try:
        raw = json.loads(text)
        if raw["schema"] != SCHEMA:
            raise UsageError(
                f"truth map '{source}' has schema {raw['schema']}, this version reads {SCHEMA}"
            )
        return TruthMap(
            name=str(raw["name"]),
            labels={int(i): str(n) for i, n in raw["labels"].items()},
            held_out=_names(raw.get("held_out", [])),
            ignore=_names(raw.get("ignore", [])),
            normal=_names(raw.get("normal", [])),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(
            f"'{source}' is not a truth map: {error!r}; it needs the keys schema, name, labels"
        ) from error


def _names(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list):
        raise TypeError(f"held_out, ignore and normal are lists of names, got {values!r}")
    return tuple(str(value) for value in values)
