"""Results of single runs on disk: one small file each, so that finished ones are not run again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from owseg.errors import InputError
from owseg.replay.runner import write_json
from owseg_training.incremental.figures import Counts
from owseg_training.incremental.shots import counted

SCHEMA = 1
_REMEDY = "remove it, and it is run again"


@dataclass(frozen=True, kw_only=True, eq=False)
class Cell:
    """One run of one method.

    Attributes:
        method: "base", "upper", or a name in `runner.METHODS`.
        shots: number of shots; 0 for networks that need none.
        seed: seed of the draw; 0 likewise.
        classes: names of all classes in the order of their ids.
        confusion: (N + k, N + k + 1) true by predicted class.
        details: what else is worth keeping, e.g. the images.
    """

    method: str
    shots: int
    seed: int
    classes: tuple[str, ...]
    confusion: Counts
    details: dict[str, Any] = field(default_factory=dict)


def cell_path(folder: Path, method: str, shots: int, seed: int) -> Path:
    """Return the file of a cell within a run."""
    name = f"{method}_{shots}shot_seed{seed}" if shots else method
    return folder / "cells" / f"{name}.json"


def save_cell(cell: Cell, folder: Path) -> None:
    """Write a cell.

    Raises:
        OutputError: it cannot be written.
    """
    content = {
        "schema": SCHEMA,
        "method": cell.method,
        "shots": cell.shots,
        "seed": cell.seed,
        "classes": list(cell.classes),
        "confusion": cell.confusion.tolist(),
        "details": cell.details,
    }
    write_json(cell_path(folder, cell.method, cell.shots, cell.seed), content)


def load_cell(
    folder: Path, classes: Sequence[str], method: str, shots: int = 0, seed: int = 0
) -> Cell:
    """Read a cell.

    Raises:
        InputError: the file cannot be read, is no cell, another one than its name says, or
            about other classes.
    """
    path = cell_path(folder, method, shots, seed)
    try:
        cell = _parse(json.loads(path.read_text(encoding="utf-8")))
        if (cell.method, cell.shots, cell.seed) != (method, shots, seed):
            raise _WrongError(
                f"is the result of {cell.method}, {counted(cell.shots)}, seed {cell.seed}"
            )
        if cell.classes != tuple(classes):
            raise _WrongError(f"is about the classes {', '.join(cell.classes)}")
    except _WrongError as error:
        raise InputError(f"{path} {error}; {_REMEDY}") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is not a readable result ({error!r}); {_REMEDY}") from error
    return cell


def check_images(cell: Cell, folder: Path, images: Mapping[str, Sequence[str]]) -> None:
    """Refuse a cell that came from other shots.

    Args:
        cell: a cell that came from shots.
        folder: of the run.
        images: names of the images that its shots have now, by class.

    Raises:
        InputError: they are others.
    """
    if cell.details.get("images") != {name: list(shots) for name, shots in images.items()}:
        path = cell_path(folder, cell.method, cell.shots, cell.seed)
        raise InputError(
            f"{path} came from other shots than those in {folder / 'shots'}; {_REMEDY}"
        )


def _parse(raw: Any) -> Cell:
    if raw["schema"] != SCHEMA:
        raise ValueError(f"another schema than {SCHEMA}")
    confusion = np.asarray(raw["confusion"], np.int64)
    if confusion.shape != (len(raw["classes"]), len(raw["classes"]) + 1):
        raise ValueError(f"a confusion matrix of shape {confusion.shape}")
    return Cell(
        method=str(raw["method"]),
        shots=int(raw["shots"]),
        seed=int(raw["seed"]),
        classes=tuple(raw["classes"]),
        confusion=confusion,
        details=dict(raw["details"]),
    )


class _WrongError(Exception):
    """A cell of something else; says of what."""
