"""Results of single networks on disk: one small file each, so that they are made once."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from owseg.errors import InputError
from owseg.replay.runner import write_json
from owseg_training.goss.methods import RULES, methods_of

SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class CellKey:
    """Which result.

    Attributes:
        network: name in `NETWORKS`.
        grouping: "super_bpd", "components" or "dfc".
        seed: of the training.
    """

    network: str
    grouping: str
    seed: int

    def path(self, folder: Path) -> Path:
        """Return its file within a folder of results."""
        return folder / "cells" / f"{self.network}_{self.grouping}_seed{self.seed}.json"


def save_cell(key: CellKey, figures: dict[str, Any], folder: Path) -> None:
    """Write a result.

    Raises:
        OutputError: it cannot be written.
    """
    head = {"schema": SCHEMA, "network": key.network, "grouping": key.grouping, "seed": key.seed}
    write_json(key.path(folder), {**head, "figures": figures})


def load_cell(key: CellKey, folder: Path) -> dict[str, Any]:
    """Read the figures of a result.

    Raises:
        InputError: the file cannot be read, or is not what its name says.
    """
    path, remedy = key.path(folder), "remove it, and it is made again"
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        found = CellKey(network=raw["network"], grouping=raw["grouping"], seed=raw["seed"])
        figures = dict(raw["figures"])
        fits = raw["schema"] == SCHEMA and all(
            set(RULES) <= set(figures["methods"][name]["rules"]) for name in methods_of(key.network)
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is not a readable result ({error!r}); {remedy}") from error
    if found != key or not fits:
        raise InputError(f"{path} is the result of something else than its name says; {remedy}")
    return figures
