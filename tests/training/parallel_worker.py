"""What each process of the tests of several processes does: python parallel_worker.py FOLDER ROOT.

Runs `owseg train` into FOLDER/command; trains the recipes FOLDER/*.json one after the other, each
into the folder of its name, in float64; and runs `owseg train` into FOLDER/damaged, where the
second process finds its second image gone.
"""

from __future__ import annotations

import atexit
import json
import sys
from pathlib import Path

from owseg.cli import main
from owseg.errors import DatasetError
from owseg_training import loop
from owseg_training.checkpoint import Checkpoint, save_checkpoint
from owseg_training.config import recipe_from_dict
from owseg_training.data import TrainingStream
from owseg_training.data.stream import Draw
from owseg_training.models import build_network
from owseg_training.parallel import this_process


class DamagedStream(TrainingStream):
    """Fails from the second step on, in one process only."""

    def __getitem__(self, index: int) -> Draw:
        if this_process().rank == 1 and index >= self.recipe.loop.batch:
            raise DatasetError("an image is gone")
        return super().__getitem__(index)


def save_and_keep(checkpoint: Checkpoint, path: Path) -> None:
    """Save, and keep a copy of each step."""
    save_checkpoint(checkpoint, path)
    save_checkpoint(checkpoint, path.with_name(f"step_{checkpoint.step}.pt"))


def train_all(folder: Path, root: Path) -> None:
    loop.build_network = lambda *args: build_network(*args).double()  # type: ignore[attr-defined]
    loop.save_checkpoint = save_and_keep  # type: ignore[attr-defined]
    for path in sorted(folder.glob("*.json")):
        recipe = recipe_from_dict(json.loads(path.read_text()))
        loop.train(recipe, root, folder / path.stem)


def command(root: Path, out: Path, steps: int) -> int:
    options = ("--root", str(root), "--out", str(out), "--steps", str(steps))
    return main(["train", "camvid_tiny", *options])


if __name__ == "__main__":
    folder, root = Path(sys.argv[1]), Path(sys.argv[2])
    assert command(root, folder / "command", 1) == 0
    train_all(folder, root)
    loop.TrainingStream = DamagedStream  # type: ignore[attr-defined,misc]
    atexit.register(print, "took the time to clean up")
    raise SystemExit(command(root, folder / "damaged", 2))
