"""The files of a prototype store: where one may be, what lies beside it, and its state."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from owseg.errors import StoreError

NO_STORE = "is not a prototype store, or its start is damaged; give another, or restore a copy"

_SMALLEST = 512
"""Bytes of the smallest SQLite file that is not empty."""


def look_at(path: Path, create: bool) -> None:
    """Say what is wrong with a path before SQLite does.

    Args:
        path: as it was given.
        create: whether a store may be made there.

    Raises:
        StoreError: a folder, no regular file, in no folder, or nothing that could be a store.
    """
    if path.is_dir():
        raise StoreError(f"{path} is a folder, not a prototype store; give a file in it")
    _check_folder(path, create)
    if path.exists() and not path.is_file():
        raise StoreError(f"{path} is not a regular file; a prototype store is one")
    size = path.stat().st_size if path.exists() else 0
    if not size and _size(_wal(path.resolve())):
        raise StoreError(
            f"{path} is gone or empty, but {_wal(path)} is there; restore a copy, or "
            "delete the -wal file to start anew"
        )
    if not size and not create:
        what = f"{path} is empty" if path.exists() else f"no prototype store at {path}"
        raise StoreError(f"{what}; 'owseg prototypes add' makes one, or restore a copy")
    if not size and not can_write(path.resolve()):
        raise StoreError(f"cannot create {path}: it or its folder is read-only; give another path")
    if 0 < size < _SMALLEST:
        raise StoreError(f"{path} {NO_STORE}")


def _check_folder(path: Path, create: bool) -> None:
    try:
        folder = path.resolve().parent
    except RuntimeError as error:  # what Python before 3.13 says of links in a circle
        raise StoreError(f"{path} is a link that leads back to itself; give a file") from error
    if folder.is_dir():
        return
    if folder.exists():
        raise StoreError(f"{folder} is a file, so that {path} cannot be in it; give another path")
    if not create:
        raise StoreError(f"no prototype store at {path}; the folder {folder} does not exist")
    raise StoreError(f"the folder {folder} does not exist; make it first (mkdir -p)")


def can_write(file: Path) -> bool:
    """Whether the file can be changed, or made, and other files beside it."""
    folder = os.access(file.parent, os.W_OK | os.X_OK)
    return folder and (not file.exists() or os.access(file, os.R_OK | os.W_OK))


def identity(path: Path) -> tuple[int, int]:
    """Return device and number of the file at a path; zeros where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return (0, 0)
    return found.st_dev, found.st_ino


def state(file: Path) -> tuple[int, int, bool]:
    """Time of the last change in ns, size in bytes, and whether there are changes elsewhere."""
    found = file.stat()
    return found.st_mtime_ns, found.st_size, has_changes_elsewhere(file)


def is_fresh(file: Path) -> bool:
    """Whether there is nothing to peek at yet: no file, or one that is being made."""
    return not _size(file) or _journal(file).exists()


def has_changes_elsewhere(file: Path) -> bool:
    """Whether the one file is not complete: a process is at work on it, or was killed."""
    return bool(_size(_wal(file))) or _journal(file).exists()


def _size(file: Path) -> int:
    try:
        found = file.stat()
    except FileNotFoundError:
        return 0
    return found.st_size if stat.S_ISREG(found.st_mode) else 0


def _wal(file: Path) -> Path:
    return file.with_name(file.name + "-wal")


def _journal(file: Path) -> Path:
    return file.with_name(file.name + "-journal")
