"""A folder for stores that does not wait for a disk."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

MEMORY = Path("/dev/shm")


@pytest.fixture
def quick(tmp_path):
    """Give an empty folder, in memory where there is one: each change syncs its file twice."""
    if not os.access(MEMORY, os.W_OK | os.X_OK):
        yield tmp_path
        return
    with TemporaryDirectory(dir=MEMORY, prefix="owseg_") as folder:
        yield Path(folder)
