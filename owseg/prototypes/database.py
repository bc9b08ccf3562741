"""The SQLite file of a prototype store: open, read, change, close, and what errors mean.

The file is in WAL mode. Its content is copied from the -wal file into the one file after every
change, so that the one file is complete while nothing writes, and after `close` in any case.

A process that has a store open must not open that file by other means: closing it would
drop the locks that SQLite holds. Nor may an open store be used after a fork.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from owseg.errors import StoreError
from owseg.prototypes.schema import APPLICATION_ID, SCHEMA, DamagedError, check, create_tables
from owseg.prototypes.store_files import (
    NO_STORE,
    can_write,
    has_changes_elsewhere,
    identity,
    is_fresh,
    look_at,
    state,
)

T = TypeVar("T")

BUSY_S = 10.0
"""Seconds to wait for other processes that write."""

_RETRIES = 5

_TICK_NS = 12_000_000
"""Longest time between two time stamps of files; changes within it may look the same."""

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
                look_at(path, create)
                self._file = path.resolve()
                self._can_write = can_write(self._file)
                self._read_only = read_only or not self._can_write
                self._open(create)
        except BaseException:
            self.close()
            raise

    def _open(self, create: bool) -> None:
        """Check first, by connections that cannot write; then open for what is to come.

        What is damaged stays as it is, since SQLite would move changes from a -wal file into it.
        """
        fresh = is_fresh(self._file)
        if not (fresh and self._can_write):
            self._read_elsewhere(self._inspect, first_look=self._can_write)
        if self._can_write:
            try:
                self._open_to_write(create, fresh)
            except sqlite3.OperationalError as error:
                if not (self._read_only and _lacks_room(error)):
                    raise
                self._let_go()
                self._can_write = False
        self._identity = identity(self._place)

    def _open_to_write(self, create: bool, fresh: bool) -> None:
        self._connection = db = _connect(self._file, "rwc" if create else "rw")
        _prepare(db, create)
        if fresh:
            self._inspect(db)
        if not self._read_only:
            _use_wal(db)

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
            self._let_go()

    def _let_go(self) -> None:
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
        if identity(self._place) != self._identity:
            raise StoreError(
                f"{self.path} was moved, removed or replaced while it was in use; open it again"
            )

    def _read_elsewhere(
        self, work: Callable[[sqlite3.Connection], T], *, first_look: bool = False
    ) -> T:
        """Read by a connection that cannot write, even where SQLite cannot make its -shm file.

        Without a -wal file the one file is complete, and is read as it is; it must not change
        meanwhile. With one, another process is at work or was killed. What was read from a
        changing file is of no use, unless it is only a first look.
        """
        for attempt in range(_RETRIES):
            before, now = state(self._file), time.time_ns()
            settled = abs(now - before[0]) > _TICK_NS
            mode = "ro" if has_changes_elsewhere(self._file) else "ro&immutable=1"
            with closing(_connect(self._file, mode)) as db:
                try:
                    result = _read(db, work)
                except (sqlite3.Error, DamagedError):
                    same = settled and state(self._file) == before
                    if same or attempt == _RETRIES - 1:
                        raise
                else:
                    same = settled and state(self._file) == before
                    if same or mode == "ro" or first_look:
                        return result
            time.sleep(_TICK_NS / 1e9)
        raise sqlite3.OperationalError("database is locked")


def need_place(path: Path) -> None:
    """Refuse a path at which a store can be neither changed nor made; changes nothing.

    Whether the content is a store is not looked at.

    Raises:
        StoreError: a folder, no regular file, in a missing folder, or read-only.
    """
    with _explained(path):
        look_at(path, create=True)
        if not can_write(path.resolve()):
            raise StoreError(f"{path} {_MEANINGS['readonly']}")


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
        raise StoreError(f"{path} {NO_STORE}") from error
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


def _lacks_room(error: sqlite3.Error) -> bool:
    """Whether SQLite cannot make its -shm file, which reading does not need: the disk is full."""
    return any(part in str(error) for part in ("disk I/O", "is full"))
