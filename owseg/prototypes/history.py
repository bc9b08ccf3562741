"""What happened to a prototype store: one entry for each version, enough to undo it."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from owseg.prototypes.schema import DamagedError

ADD, RENAME, REMOVE, UNDO = "add", "rename", "remove", "undo"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change of a store.

    Attributes:
        version: of the store after the change.
        time_ns: when, nanoseconds since the epoch.
        action: "add", "rename", "remove" or "undo".
        id: the class.
        name: its name after the change; before it, if the class is gone then.
        old_name: its name before a rename, else "".
        undone: the change that an undo reverted, else None.
    """

    version: int
    time_ns: int
    action: str
    id: int
    name: str
    old_name: str = ""
    undone: Change | None = None

    @property
    def text(self) -> str:
        """The change in words, e.g. "renamed class 'car' to 'taxi' (id 10)"."""
        if self.undone is not None:
            return f"undid version {self.undone.version}: {self.undone.text}"
        if self.action == RENAME:
            return f"renamed class '{self.old_name}' to '{self.name}' (id {self.id})"
        done = "added" if self.action == ADD else "removed"
        return f"{done} class '{self.name}' (id {self.id})"


def record(db: sqlite3.Connection, change: Change) -> None:
    """Write a change; its version is that of the store from now on."""
    db.execute(
        "INSERT INTO history (version, time_ns, action, class, name, old_name, undoes) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            change.version,
            change.time_ns,
            change.action,
            change.id,
            change.name,
            change.old_name,
            change.undone.version if change.undone else None,
        ),
    )
    db.execute("UPDATE store SET version = ?", (change.version,))


def read_history(db: sqlite3.Connection) -> tuple[Change, ...]:
    """Return all changes, oldest first."""
    found: dict[int, Change] = {}
    for version, time_ns, action, class_id, name, old_name, undoes in db.execute(
        "SELECT version, time_ns, action, class, name, old_name, undoes FROM history "
        "ORDER BY version"
    ):
        found[version] = Change(
            version=version,
            time_ns=time_ns,
            action=action,
            id=class_id,
            name=name,
            old_name=old_name,
            undone=None if undoes is None else _undone(found, undoes),
        )
    return tuple(found.values())


def _undone(found: dict[int, Change], version: int) -> Change:
    if version not in found:
        raise DamagedError(f"the history lacks version {version}")
    return found[version]


def standing(changes: tuple[Change, ...]) -> tuple[Change, ...]:
    """Return the changes that are neither undone nor an undo, oldest first."""
    undone = {change.undone.version for change in changes if change.undone}
    return tuple(c for c in changes if c.undone is None and c.version not in undone)
