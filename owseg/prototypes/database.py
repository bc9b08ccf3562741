"""The SQLite file of a prototype store: open, read, change, close, and what errors mean.

The file is in WAL mode. Its content is copied from the -wal file into the one file after every
change, so that the one file is complete while nothing writes, and after `close` in any case.

A process that has a store open must not open that file by other means: closing it would
drop the locks that SQLite holds. Nor may an open store be used after a fork.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from owseg.errors import StoreError
from owseg.prototypes.schema import APPLICATION_ID, SCHEMA, DamagedError, check, create_tables

T = TypeVar("T")

BUSY_S = 10.0
"""Seconds to wait for other processes that write."""

_RETRIES = 5

_TICK_NS = 12_000_000
"""Longest time between two time stamps of files; changes within it may look the same."""

_SMALLEST = 512
"""Bytes of the smallest SQLite file that is not empty."""

_MEANINGS = {
    "locked": f"was in use by another process for {BUSY_S:.0f} s; nothing was changed, try again",
    "readonly": "is read-only; nothing was changed; make the file and its folder writable, "
    "or work on a copy",
    "is full": "cannot grow, the disk is full; nothing was changed; free some space",
    "unable to open": "cannot be opened here; the file, its -wal and -shm files and the folder "
    "must be readable and writable, or copy them together to where they are",
    "disk I/O": "cannot be read or written, the disk reports an error; nothing was changed; "
    "check its free space and its health",
}
_NO_STORE = "is not a prototype store, or its start is damaged; give another, or restore a copy"
_DAMAGED = "is damaged ({}); move it and its -wal and -shm files away and restore a copy"


class Database:
    """The one connection to a store; may be shared by threads.

    Args:
        path: the file.
        create: make the file if there is none.
        read_only: refuse to change it. A file or folder that cannot be written is opened for
            reading in any case.

    Raises:
        StoreError: missing, a folder, no store, damaged, newer, or not readable.
    """

    def __init__(self, path: Path, *, create: bool, read_only: bool) -> None:
        self.path = path
        self._place = path.absolute()  # the same after a change of the working folder
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._closed = False
        try:
            with _explained(path):
                _look(path, create)
                self._file = path.resolve()
                self._can_write = _can_write(self._file)
                self._read_only = read_only or not self._can_write
                self._open(create)
        except BaseException:
            self.close()
            raise

    def _open(self, create: bool) -> None:
        """Check first, by connections that cannot write; then open for what is to come.

        What is damaged stays as it is, since SQLite would move changes from a -wal file into it.
        """
        fresh = _is_fresh(self._file)
        if not (fresh and self._can_write):
            self._read_elsewhere(self._inspect)
        if self._can_write:
            self._connection = db = _connect(self._file, "rwc" if create else "rw")
            _prepare(db, create)
            if fresh:
                self._inspect(db)
            if not self._read_only:
                _use_wal(db)
        self._identity = _identity(self._place)

    def _inspect(self, db: sqlite3.Connection) -> None:
        _check_marks(db, self.path)
        check(db)

    def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` on one unchanging state of the store.

        Raises:
            StoreError: damaged, locked, closed, or replaced since it was opened.
        """
        with self._lock, _explained(self.path):
            if not self._can_write:
                self._check_open()
                return self._read_elsewhere(work)
            return _read(self._db(), work)

    def change(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` as one transaction: all of it happens, or nothing.

        Raises:
            StoreError: as for `read`, or read-only, or the disk is full.
        """
        with self._lock, _explained(self.path):
            self._check_open()
            if self._read_only:
                raise StoreError(f"{self.path} {_MEANINGS['readonly']}")
            db = self._db()
            db.execute("BEGIN IMMEDIATE")
            try:
                result = work(db)
                db.execute("COMMIT")
            except BaseException:
                _roll_back(db)
                raise
            return result

    def close(self) -> None:
        """Move everything into the one file and let go of it; twice is fine."""
        with self._lock:
            self._closed = True
            db, self._connection = self._connection, None
            if db is not None:
                with suppress(sqlite3.Error):
                    db.execute("PRAGMA wal_checkpoint(PASSIVE)")
                db.close()

    def _db(self) -> sqlite3.Connection:
        self._check_open()
        assert self._connection is not None, "only close() takes it away"
        return self._connection

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError(f"the store {self.path} is closed; open it again")
        if _identity(self._place) != self._identity:
            raise StoreError(
                f"{self.path} was moved, removed or replaced while it was in use; open it again"
            )

    def _read_elsewhere(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Read by a connection that cannot write, even where SQLite cannot make its -shm file.

        Without a -wal file the one file is complete, and is read as it is; it must not change
        meanwhile. With one, another process is at work or was killed. What was read from a
        changing file is of no use, unless it is only a first look.
        """
        for attempt in range(_RETRIES):
            before, now = _state(self._file), time.time_ns()
            settled = abs(now - before[0]) > _TICK_NS
            mode = "ro" if _has_sidecar(self._file) else "ro&immutable=1"
            with closing(_connect(self._file, mode)) as db:
                try:
                    result = _read(db, work)
                except (sqlite3.Error, DamagedError):
                    same = settled and _state(self._file) == before
                    if same or attempt == _RETRIES - 1:
                        raise
                else:
                    same = settled and _state(self._file) == before
                    if same or mode == "ro" or self._can_write:
                        return result
            time.sleep(_TICK_NS / 1e9)
        raise sqlite3.OperationalError("database is locked")


def _look(path: Path, create: bool) -> None:
    """Say what is wrong with a path before SQLite does."""
    if path.is_dir():
        raise StoreError(f"{path} is a folder, not a prototype store; give a file in it")
    if not path.parent.is_dir():
        raise StoreError(f"the folder {path.parent} does not exist; make it first (mkdir -p)")
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
    if not size and not _can_write(path.resolve()):
        raise StoreError(f"cannot create {path}: it or its folder is read-only; give another path")
    if 0 < size < _SMALLEST:
        raise StoreError(f"{path} {_NO_STORE}")


def _check_marks(db: sqlite3.Connection, path: Path) -> None:
    """Refuse what is no store, or a newer one.

    The marks of a store are in the file before it goes into WAL mode, so that they can be
    read without the -wal file, and without a change to the file of another program. SQLite
    reads them: closing a file that was opened by other means would drop SQLite's locks.
    """
    try:
        (application,) = db.execute("PRAGMA application_id").fetchone()
        (schema,) = db.execute("PRAGMA user_version").fetchone()
    except sqlite3.DatabaseError as error:
        if "not a database" not in str(error):
            raise
        raise StoreError(f"{path} {_NO_STORE}") from error
    if application != APPLICATION_ID:
        raise StoreError(f"{path} is an SQLite file of another program; give another path")
    if schema > SCHEMA:
        raise StoreError(
            f"{path} has schema {schema}, this owseg knows up to {SCHEMA}; "
            "upgrade owseg (pip install --upgrade owseg_ros)"
        )


def _connect(file: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{file.as_uri()}?mode={mode}",
        uri=True,
        timeout=BUSY_S,
        isolation_level=None,
        check_same_thread=False,
    )


def _prepare(db: sqlite3.Connection, create: bool) -> None:
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA trusted_schema = OFF")
    db.execute("PRAGMA wal_autocheckpoint = 1")
    if create:
        _create(db)


def _create(db: sqlite3.Connection) -> None:
    """Make the tables if the file is empty, and still is once no other process can write it."""
    if not _is_empty(db):
        return
    db.execute("BEGIN EXCLUSIVE")
    try:
        if _is_empty(db):
            create_tables(db)
        db.execute("COMMIT")
    except BaseException:
        _roll_back(db)
        raise


def _is_empty(db: sqlite3.Connection) -> bool:
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (schema,) = db.execute("PRAGMA user_version").fetchone()
    (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return bool(application == schema == tables == 0)


def _use_wal(db: sqlite3.Connection) -> None:
    """Switch to WAL; SQLite does not wait for others here, so this does."""
    deadline = time.monotonic() + BUSY_S
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _read(db: sqlite3.Connection, work: Callable[[sqlite3.Connection], T]) -> T:
    """Run `work` within a transaction, so that all it reads is of one state."""
    db.execute("BEGIN")
    try:
        return work(db)
    finally:
        _roll_back(db)


def _roll_back(db: sqlite3.Connection) -> None:
    """End a transaction that is still open; a failure here would hide its cause."""
    with suppress(sqlite3.Error):
        if db.in_transaction:
            db.execute("ROLLBACK")


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn errors of SQLite, of the file system and of damaged content into one clear line."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        text = str(error)
        meanings = (meaning for part, meaning in _MEANINGS.items() if part in text)
        raise StoreError(f"{path} {next(meanings, _DAMAGED.format(text))}") from error
    except DamagedError as error:
        raise StoreError(f"{path} {_DAMAGED.format(error)}") from error
    except OSError as error:
        raise StoreError(
            f"{path} cannot be opened: {error.strerror or error}; check the path"
        ) from error


def _can_write(file: Path) -> bool:
    folder = os.access(file.parent, os.W_OK | os.X_OK)
    return folder and (not file.exists() or os.access(file, os.R_OK | os.W_OK))


def _identity(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except FileNotFoundError:
        return (0, 0)
    return found.st_dev, found.st_ino


def _state(file: Path) -> tuple[int, int, bool]:
    """Time of the last change in ns, size in bytes, and whether there are changes elsewhere."""
    found = file.stat()
    return found.st_mtime_ns, found.st_size, _has_sidecar(file)


def _is_fresh(file: Path) -> bool:
    """Whether there is nothing to peek at yet: no file, or one that is being made."""
    return not _size(file) or _journal(file).exists()


def _has_sidecar(file: Path) -> bool:
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
