"""Files that are there as a whole or not at all, and locks that end with their process."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO

from owseg.errors import OutputError

_MB = 1e6
_STEM = 16
"""Characters of a name that begin the name of a piece that is being written."""


def pieces_of(stem: str) -> str:
    """Return the pattern of what writers leave that were killed.

    Args:
        stem: how the names of the files begin that they were writing.
    """
    return f".{stem[:_STEM]}*"


def write_whole(path: Path, content: bytes) -> None:
    """Write a file: the old or the new one is there, never a part of one.

    Raises:
        OutputError: it cannot be written, or the disk is full.
    """
    name = ""
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:_STEM]}-")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
        _sync(path.parent)
    except OSError as error:
        raise unwritable(path, error, len(content)) from error
    finally:
        with contextlib.suppress(OSError):
            os.unlink(name)


def _sync(folder: Path) -> None:
    if sys.platform != "win32":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def remove(paths: Iterable[Path]) -> None:
    """Remove files; what cannot be removed stays."""
    for path in paths:
        with contextlib.suppress(OSError):
            path.unlink()


def unwritable(path: Path, error: OSError, size: int = 0) -> OutputError:
    """Return the error that says that a file of the cache cannot be written."""
    what = f"{path} ({size / _MB:.0f} MB)" if size else f"{path}"
    return OutputError(
        f"cannot write {what}: {error.strerror}; free some space, or choose another folder with "
        "--cache"
    )


def take(file: IO[str], waiting: Callable[[], None] = lambda: None) -> None:
    """Lock a file until it is closed, whatever happens; where there are no locks, go on.

    Args:
        file: open for writing.
        waiting: called if another process has it, before the wait for that.
    """
    if sys.platform == "win32":
        return
    import fcntl

    with contextlib.suppress(OSError):  # some network file systems have no locks
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(file, fcntl.LOCK_EX)


def take_if_free(file: IO[str]) -> bool:
    """Lock a file until it is closed; False = another process has it, or there are no locks."""
    if sys.platform == "win32":
        return False
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
