"""The tables of a prototype store, and rows to objects and back.

Removed classes stay in their table, marked: that is all an undo needs, and their ids cannot
be given away again. Vectors are little-endian float32, row by row; a checksum covers what
decides which pixels a class claims.
"""

from __future__ import annotations

import sqlite3
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from owseg.prototypes.classes import NovelClass, PrototypeSet, Shot
from owseg.types import FloatArray

APPLICATION_ID = 0x6F777367
"""Marks an SQLite file as a prototype store ("owsg")."""

SCHEMA = 1
"""Version of the tables below, kept in the pragma user_version."""

TABLES = {
    "store": """CREATE TABLE store (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        version INTEGER NOT NULL,
        next_id INTEGER NOT NULL,
        space TEXT NOT NULL,
        size INTEGER NOT NULL)""",
    "known": """CREATE TABLE known (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL)""",
    "class": """CREATE TABLE class (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        removed INTEGER NOT NULL,
        color TEXT NOT NULL,
        radius REAL NOT NULL,
        count INTEGER NOT NULL,
        size INTEGER NOT NULL,
        vectors BLOB NOT NULL,
        checksum INTEGER NOT NULL,
        created_ns INTEGER NOT NULL,
        changed_ns INTEGER NOT NULL)""",
    "shot": """CREATE TABLE shot (
        class INTEGER NOT NULL REFERENCES class (id),
        number INTEGER NOT NULL,
        image_sha256 TEXT NOT NULL,
        pixels INTEGER NOT NULL,
        source TEXT NOT NULL,
        PRIMARY KEY (class, number))""",
    "history": """CREATE TABLE history (
        version INTEGER PRIMARY KEY,
        time_ns INTEGER NOT NULL,
        action TEXT NOT NULL,
        class INTEGER NOT NULL REFERENCES class (id),
        name TEXT NOT NULL,
        old_name TEXT NOT NULL,
        undoes INTEGER UNIQUE REFERENCES history (version))""",
}


class DamagedError(Exception):
    """The content contradicts itself; says where."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What a store says of itself.

    Attributes:
        version: number of changes so far.
        next_id: smallest id that was never used; 0 = none was.
        space: embedding space it belongs to, "" = none.
        size: D of its prototypes, 0 = none.
        known: names of the model's own classes, in the order of their ids.
    """

    version: int
    next_id: int
    space: str
    size: int
    known: tuple[str, ...]


def create_tables(db: sqlite3.Connection) -> None:
    """Fill an empty database, within the transaction of the caller."""
    for statement in TABLES.values():
        db.execute(statement)
    db.execute("INSERT INTO store VALUES (1, 0, 0, '', 0)")
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {SCHEMA}")


def check(db: sqlite3.Connection) -> None:
    """Check the whole file: pages, tables, versions, and each class, all at one moment.

    Raises:
        DamagedError: something contradicts itself.
        sqlite3.Error: pages cannot be read.
    """
    if db.in_transaction:
        _check(db)
        return
    db.execute("BEGIN")  # or a change of another process comes between two of the questions
    try:
        _check(db)
    finally:
        db.execute("ROLLBACK")


def _check(db: sqlite3.Connection) -> None:
    (report,) = db.execute("PRAGMA integrity_check(1)").fetchone()
    if report != "ok":
        raise DamagedError(" ".join(str(report).split()))
    names = "SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite_autoindex%'"
    if {name for (name,) in db.execute(names)} != set(TABLES):
        raise DamagedError("its tables are not those of a prototype store")
    head = read_head(db)
    entries = db.execute("SELECT count(*), coalesce(max(version), 0) FROM history").fetchone()
    if entries != (head.version, head.version):
        raise DamagedError(f"{entries[0]} changes are recorded at version {head.version}")
    read_set(db)


def read_version(db: sqlite3.Connection) -> int:
    """Return the version, without anything else."""
    row = db.execute("SELECT version FROM store").fetchone()
    if row is None or not isinstance(row[0], int):
        raise DamagedError("it has no version")
    return row[0]


def read_head(db: sqlite3.Connection) -> Head:
    """Return what the store says of itself."""
    version = read_version(db)
    next_id, space, size = db.execute("SELECT next_id, space, size FROM store").fetchone()
    known = tuple(name for (name,) in db.execute("SELECT name FROM known ORDER BY id"))
    return Head(version=version, next_id=next_id, space=space, size=size, known=known)


def bind(db: sqlite3.Connection, space: str, size: int, known: tuple[str, ...]) -> None:
    """Tie the store to a network; "", 0 and () untie it."""
    db.execute("UPDATE store SET space = ?, size = ?", (space, size))
    db.execute("DELETE FROM known")
    db.executemany("INSERT INTO known VALUES (?, ?)", enumerate(known))


def insert_class(db: sqlite3.Connection, item: NovelClass) -> None:
    """Write a new class with its shots; its id counts as used from now on."""
    count, size = item.vectors.shape
    color, blob = bytes(item.color).hex(), item.vectors.astype("<f4").tobytes()
    fixed = (item.id, color, item.radius, count, size, blob)
    row = (item.name, *fixed, _checksum(*fixed), item.created_ns, item.changed_ns)
    db.execute(
        "INSERT INTO class (name, id, color, radius, count, size, vectors, checksum, "
        "created_ns, changed_ns, removed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)",
        row,
    )
    db.executemany(
        "INSERT INTO shot VALUES (?, ?, ?, ?, ?)",
        [(item.id, n, s.image_sha256, s.pixels, s.source) for n, s in enumerate(item.shots)],
    )
    db.execute("UPDATE store SET next_id = ?", (item.id + 1,))


def set_name(db: sqlite3.Connection, class_id: int, name: str, now_ns: int) -> None:
    """Rename a class."""
    db.execute("UPDATE class SET name = ?, changed_ns = ? WHERE id = ?", (name, now_ns, class_id))


def set_removed(db: sqlite3.Connection, class_id: int, removed: bool, now_ns: int) -> None:
    """Take a class out of the set, or put it back."""
    db.execute(
        "UPDATE class SET removed = ?, changed_ns = ? WHERE id = ?", (removed, now_ns, class_id)
    )


def read_set(db: sqlite3.Connection) -> PrototypeSet:
    """Return all classes that are not removed.

    Raises:
        DamagedError: a class whose checksum or shape is wrong, or that does not fit the store.
    """
    head = read_head(db)
    shots: dict[int, list[Shot]] = {}
    for class_id, digest, pixels, source in db.execute(
        "SELECT class, image_sha256, pixels, source FROM shot ORDER BY class, number"
    ):
        shot = Shot(image_sha256=digest, pixels=pixels, source=source)
        shots.setdefault(class_id, []).append(shot)
    rows = db.execute(
        "SELECT id, name, color, radius, count, size, vectors, checksum, created_ns, changed_ns "
        "FROM class WHERE NOT removed ORDER BY id"
    )
    classes = tuple(_class(row, tuple(shots.get(row[0], ()))) for row in rows)
    for item in classes:
        if not len(head.known) <= item.id < head.next_id or item.vectors.shape[1] != head.size:
            raise DamagedError(f"class '{item.name}' does not fit the rest")
    return PrototypeSet(space=head.space, version=head.version, classes=classes)


def _class(row: tuple[Any, ...], shots: tuple[Shot, ...]) -> NovelClass:
    class_id, name, color, radius, count, size, blob, checksum, created_ns, changed_ns = row
    try:
        if _checksum(class_id, color, radius, count, size, blob) != checksum:
            raise DamagedError(f"class '{name}' has changed bytes")
        red, green, blue = bytes.fromhex(color)
        vectors = _vectors(blob, count, size)
    except (TypeError, ValueError, AttributeError) as error:
        raise DamagedError(f"class '{name}' cannot be read: {error}") from error
    return NovelClass(
        id=class_id,
        name=name,
        color=(red, green, blue),
        radius=radius,
        vectors=vectors,
        shots=shots,
        created_ns=created_ns,
        changed_ns=changed_ns,
    )


def _vectors(blob: bytes, count: int, size: int) -> FloatArray:
    """Bytes to (M, D) float32, read-only."""
    vectors = np.frombuffer(blob, "<f4").reshape(count, size).astype(np.float32)
    if not vectors.size or not np.isfinite(vectors).all():
        raise ValueError("no finite vectors")
    vectors.setflags(write=False)
    return vectors


def _checksum(class_id: int, color: str, radius: float, count: int, size: int, blob: bytes) -> int:
    head = f"{class_id} {color} {radius!r} {count} {size} ".encode()
    return zlib.crc32(blob, zlib.crc32(head))
