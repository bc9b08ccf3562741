"""Results of single networks on disk: one small file each, so that they are made once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from owseg.errors import InputError, OwsegError, UsageError
from owseg.replay.runner import make_folder, write_json
from owseg_export.tables.measure import PROTOCOLS, forms_of
from owseg_export.tables.networks import scores_of
from owseg_export.tables.segments import TAUS
from owseg_training.config import Recipe, recipe_from_dict

SCHEMA = 1

SCORES, SEGMENTS = "scores", "segments"
"""Kinds of cells: figures of all scores; unknown segments at thresholds of the entropy."""

REMEDY = "remove it, and it is made again"


@dataclass(frozen=True, kw_only=True)
class CellKey:
    """Which result.

    Attributes:
        kind: "scores" or "segments".
        benchmark: name in `BENCHMARKS`.
        network: name in `NETWORKS`, or "ensemble".
        seeds: of the training; one, or those of the members of an ensemble.
    """

    kind: str
    benchmark: str
    network: str
    seeds: tuple[int, ...]

    @property
    def name(self) -> str:
        """Network and seeds."""
        return "-".join([self.network, *map(str, self.seeds)])

    def path(self, out: Path) -> Path:
        """Return its file within a folder of runs."""
        return out / "cells" / self.benchmark / self.kind / f"{self.name}.json"

    def as_dict(self) -> dict[str, Any]:
        """Return the key as plain JSON types."""
        return {
            "kind": self.kind,
            "benchmark": self.benchmark,
            "network": self.network,
            "seeds": list(self.seeds),
        }


def save_cell(
    key: CellKey, recipe: Recipe, data: str, figures: Mapping[str, Any], out: Path
) -> None:
    """Write a result.

    Args:
        key: which one.
        recipe: of the network.
        data: digest of the images.
        figures: what was measured, ready for JSON.
        out: folder of the runs.

    Raises:
        OutputError: it cannot be written.
    """
    path = key.path(out)
    make_folder(path.parent)
    head = {"schema": SCHEMA, **key.as_dict(), "recipe": recipe.to_dict(), "data": data}
    write_json(path, {**head, "figures": dict(figures)})


def load_cell(key: CellKey, recipe: Recipe, data: str | None, out: Path) -> dict[str, Any]:
    """Read the figures of a result.

    Args:
        key: which one.
        recipe: of the network, which must be that of the result.
        data: digest of the images, which must be that of the result; None = not known.
        out: folder of the runs.

    Raises:
        InputError: the file cannot be read, or is not what its name says.
        UsageError: it was made with another recipe, or on other images.
    """
    path = key.path(out)
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        named = raw["schema"] == SCHEMA and key.as_dict() == {k: raw[k] for k in key.as_dict()}
        figures = dict(raw["figures"])
        made_by = recipe_from_dict(raw["recipe"])
        made_on = str(raw["data"])
        complete = _complete(key, figures)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OwsegError) as error:
        raise InputError(f"{path} is not a readable result ({error!r}); {REMEDY}") from error
    if not named or not complete:
        raise InputError(f"{path} is the result of something else than its name says; {REMEDY}")
    if _comparable(made_by) != _comparable(recipe):
        raise UsageError(
            f"{path} was made with another recipe than '{recipe.name}' is now; {REMEDY}"
        )
    if data is not None and data != made_on:
        raise UsageError(f"{path} was made on other images; {REMEDY}, or give their --root")
    return figures


def _complete(key: CellKey, figures: Mapping[str, Any]) -> bool:
    """Say whether all is there that a table shows."""
    if key.kind == SEGMENTS:
        rows = [figures["thresholds"][f"{tau:.2f}"] for tau in TAUS]
        return all({"before", "after", "why_no_meta"} <= set(row) for row in rows)
    scores = {name: figures["scores"][name] for name in scores_of(key.network)}
    shown = all(
        set(PROTOCOLS) <= set(found[form])
        for name, found in scores.items()
        for form in forms_of(name)
    )
    return shown and {"images", "time", "miou"} <= set(figures)


def _comparable(recipe: Recipe) -> Recipe:
    """Return a recipe without the folder of its outliers, which may have moved."""
    outliers = replace(recipe.data.outliers, root="")
    return replace(recipe, data=replace(recipe.data, outliers=outliers))
