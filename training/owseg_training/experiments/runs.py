"""Networks of an experiment: trained once, continued where a run was killed."""

from __future__ import annotations

from pathlib import Path

from owseg.errors import UsageError
from owseg_training import loop
from owseg_training.checkpoint import load_checkpoint
from owseg_training.config import Recipe


def trained(recipe: Recipe, root: Path, folder: Path) -> Path:
    """Train a network in a folder, or what is left of its training.

    Args:
        recipe: what to run.
        root: folder of the data set.
        folder: of this run; its checkpoint is used if it is there.

    Returns:
        The path of the final checkpoint.

    Raises:
        UsageError: the folder holds a run of another recipe.
        InputError: its checkpoint cannot be read.
        DatasetError: the data set cannot be used.
        OutputError: the folder cannot be written.
    """
    path = folder / loop.CHECKPOINT
    if not path.is_file():
        return loop.train(recipe, root, folder)
    found = load_checkpoint(path)
    if found.recipe != recipe:
        raise UsageError(
            f"{path} was trained by another recipe than '{recipe.name}'; choose another --out"
        )
    if found.step < recipe.loop.steps:
        return loop.train(recipe, root, folder, resume=True)
    return path
