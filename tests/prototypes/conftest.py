"""A folder for stores that does not wait for a disk, and stores in it."""

from __future__ import annotations

import itertools
import os
import runpy
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from owseg.prototypes import PrototypeStore

plain = runpy.run_path(str(Path(__file__).with_name("store_model.py")))
MEMORY = Path("/dev/shm")


@pytest.fixture
def quick(tmp_path):
    """Give an empty folder, in memory where there is one: each change syncs its file twice."""
    if not os.access(MEMORY, os.W_OK | os.X_OK):
        yield tmp_path
        return
    with TemporaryDirectory(dir=MEMORY, prefix="owseg_") as folder:
        yield Path(folder)


@pytest.fixture
def ticks():
    """Give a clock that counts 1, 2, 3, ..."""
    return itertools.count(1).__next__


@pytest.fixture
def store(quick, ticks):
    """Give a new store."""
    with PrototypeStore(quick / "classes.db", create=True, clock=ticks) as opened:
        yield opened


@pytest.fixture
def good(quick):
    """Give the path of a store in a folder of its own."""
    (quick / "store").mkdir()
    return plain["make_store"](quick / "store" / "classes.db")
