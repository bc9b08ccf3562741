"""What the results in a folder were made with, so that nothing else is mixed with them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from owseg.datasets import DatasetReader
from owseg.errors import InputError, UsageError
from owseg.replay.runner import write_json
from owseg_training.config import recipe_from_dict

FILE = "settings.json"
RECIPE = "recipe"
"""Key of a recipe, as of `Recipe.to_dict`."""
DATA = "data set"
"""Key of the digest of the images."""


def check_settings(folder: Path, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Refuse a folder whose results were made with something else; a new one is fine.

    Args:
        folder: of the results.
        wanted: some settings or all of them, ready for JSON; those that were not noted yet are
            fine.

    Returns:
        What was noted; nothing for a new folder.

    Raises:
        InputError: the file cannot be read.
        UsageError: a setting differs.
    """
    path = folder / FILE
    if not path.exists():
        return {}
    try:
        found = dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path} is not readable ({error}); choose another --out") from error
    same = json.loads(json.dumps(wanted))
    different = [key for key in same if key in found and not _equal(key, found[key], same[key])]
    if different:
        raise UsageError(
            f"{folder} holds results with another {' and '.join(different)}; choose another --out, "
            "or run with what they were made with"
        )
    return found


def _equal(key: str, found: Any, wanted: Any) -> bool:
    """Compare a setting; recipes as such, so that one written before a field existed still fits."""
    if key != RECIPE:
        return bool(found == wanted)
    try:
        return recipe_from_dict(found) == recipe_from_dict(wanted)
    except (UsageError, AttributeError, TypeError):
        return False


def note_settings(folder: Path, settings: Mapping[str, Any]) -> None:
    """Write the settings of a run.

    Raises:
        OutputError: they cannot be written.
    """
    write_json(folder / FILE, dict(settings))


def data_digest(readers: Sequence[DatasetReader]) -> str:
    """Return a SHA-256 of the names of all images."""
    names = [[reader.name, reader.split, *(sample.name for sample in reader)] for reader in readers]
    return hashlib.sha256(json.dumps(names).encode()).hexdigest()
