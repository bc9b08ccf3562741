"""The prototype store: novel classes in one file, with versions and undo.

Every change is one transaction and raises the version by one. A process that is killed at
any moment leaves the state before or after; processes that write at once wait for each other.

A running process notices the changes of others by `version`, a query of some ten
microseconds, and reads the set anew when the number differs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from sqlite3 import Connection

import numpy.typing as npt

from owseg.closing import Closing
from owseg.errors import PrototypeError, StoreError, UsageError
from owseg.prototypes import schema
from owseg.prototypes.checks import (
    check_free_name,
    check_slots,
    clean_color,
    clean_name,
    clean_radius,
    clean_shots,
    clean_vectors,
    find_class,
)
from owseg.prototypes.classes import NovelClass, PrototypeSet, Shot
from owseg.prototypes.database import Database
from owseg.prototypes.history import (
    ADD,
    REMOVE,
    RENAME,
    UNDO,
    Change,
    read_history,
    record,
    standing,
)
from owseg.render import distinct_color
from owseg.types import UNKNOWN_ID, ClassInfo, FloatArray


class PrototypeStore(Closing):
    """Novel classes in one file. A context manager; threads may share it.

    The first class ties the store to the network it was learnt with, until every change is
    undone. Ids start at the number of the network's own classes, and none is used twice.

    Args:
        path: the file.
        create: make the file if there is none.
        read_only: refuse to change it.
        space: embedding space (`Bundle.space`) that the classes must belong to; None = any.
        clock: gives nanoseconds since the epoch.

    Raises:
        StoreError: missing, a folder, no store, damaged, of a newer schema, or of another
            network.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        create: bool = False,
        read_only: bool = False,
        space: str | None = None,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        if create and read_only:
            raise UsageError("a prototype store cannot be made read-only; leave out one of both")
        self.path = Path(path)
        self._space = space
        self._clock = clock
        self._db = Database(self.path, create=create, read_only=read_only)
        try:
            self.read()
        except StoreError:
            self.close()
            raise

    @property
    def version(self) -> int:
        """Number of changes so far, by any process; cheap enough to ask for every frame."""
        return self._db.read(schema.read_version)

    def read(self) -> PrototypeSet:
        """Return all classes at one version; the vectors are read-only.

        Raises:
            StoreError: damaged, or of another network.
        """
        found = self._db.read(schema.read_set)
        self._check_space(found.space, self._space)
        return found

    def history(self) -> tuple[Change, ...]:
        """Return all changes, oldest first."""
        return self._db.read(read_history)

    def add(
        self,
        name: str,
        vectors: npt.ArrayLike,
        radius: float,
        shots: Iterable[Shot] = (),
        *,
        color: tuple[int, int, int] | None = None,
        space: str,
        known: Sequence[ClassInfo],
        slots: int,
    ) -> NovelClass:
        """Add a class.

        Args:
            name: 1..`MAX_NAME` printable characters, unlike all other names.
            vectors: (M, D) float32 prototypes, M >= 1.
            radius: squared distance within which they claim a pixel; > 0.
            shots: what it was learnt from.
            color: RGB, each 0..255; None = one unlike all others.
            space: embedding space of the network (`Bundle.space`).
            known: the network's own classes.
            slots: number of prototypes that its graph takes in total.

        Returns:
            The class, with its id.

        Raises:
            PrototypeError: something does not fit; nothing is changed.
            StoreError: of another network, read-only, or not writable.
        """
        if not space:
            raise PrototypeError("a class needs the embedding space it belongs to (Bundle.space)")
        if self._space not in (None, space):
            raise StoreError(
                f"{self.path} was opened for model {str(self._space)[:12]}, the class belongs to "
                f"{space[:12]}; learn it with that model"
            )
        draft = _Draft(
            name=clean_name(name),
            vectors=clean_vectors(vectors),
            radius=clean_radius(radius),
            shots=clean_shots(shots),
            color=None if color is None else clean_color(color),
            known=tuple(known),
            slots=slots,
        )

        def work(db: Connection) -> NovelClass:
            self._tie(db, space, draft)
            item = draft.fit(schema.read_head(db), schema.read_set(db), self._clock())
            schema.insert_class(db, item)
            self._record(db, ADD, item)
            return item

        return self._db.change(work)

    def rename(self, old: str, new: str) -> Change:
        """Give a class another name; upper and lower case of `old` are the same.

        Raises:
            PrototypeError: no class `old`, or `new` is taken or no name.
            StoreError: read-only, or not writable.
        """
        clean = clean_name(new)

        def work(db: Connection) -> Change:
            classes = schema.read_set(db).classes
            item = find_class(old, classes)
            if item.name == clean:
                raise PrototypeError(f"class '{clean}' has that name already")
            others = [other for other in classes if other.id != item.id]
            check_free_name(clean, others, schema.read_head(db).known)
            renamed = replace(item, name=clean, changed_ns=self._clock())
            schema.set_name(db, renamed.id, renamed.name, renamed.changed_ns)
            return self._record(db, RENAME, renamed, old_name=item.name)

        return self._db.change(work)

    def remove(self, name: str) -> Change:
        """Take a class out of the set; `undo` brings it back with its id.

        Raises:
            PrototypeError: no such class.
            StoreError: read-only, or not writable.
        """

        def work(db: Connection) -> Change:
            found = find_class(name, schema.read_set(db).classes)
            item = replace(found, changed_ns=self._clock())
            schema.set_removed(db, item.id, True, item.changed_ns)
            return self._record(db, REMOVE, item)

        return self._db.change(work)

    def undo(self) -> Change:
        """Revert the last change that is not undone yet; again and again goes further back.

        Returns:
            The undo, itself a change; its `undone` is what it reverted.

        Raises:
            PrototypeError: nothing is left to undo.
            StoreError: read-only, or not writable.
        """
        return self._db.change(self._undo)

    def _undo(self, db: Connection) -> Change:
        changes = standing(read_history(db))
        if not changes:
            raise PrototypeError(f"nothing to undo in {self.path}")
        last, now = changes[-1], self._clock()
        if last.action == RENAME:
            schema.set_name(db, last.id, last.old_name, now)
        else:
            schema.set_removed(db, last.id, last.action == ADD, now)
        if len(changes) == 1:
            schema.bind(db, "", 0, ())
        undo = Change(
            version=schema.read_version(db) + 1,
            time_ns=now,
            action=UNDO,
            id=last.id,
            name=last.old_name or last.name,
            undone=last,
        )
        record(db, undo)
        return undo

    def _record(self, db: Connection, action: str, item: NovelClass, old_name: str = "") -> Change:
        change = Change(
            version=schema.read_version(db) + 1,
            time_ns=item.changed_ns,
            action=action,
            id=item.id,
            name=item.name,
            old_name=old_name,
        )
        record(db, change)
        return change

    def _tie(self, db: Connection, space: str, draft: _Draft) -> None:
        """Bind an unbound store to the network of a class; refuse another network."""
        head = schema.read_head(db)
        names = tuple(info.name for info in draft.known)
        if not head.space:
            schema.bind(db, space, draft.vectors.shape[1], names)
            return
        self._check_space(head.space, space)
        if head.known != names:
            raise StoreError(
                f"{self.path} belongs to a model with the classes {', '.join(head.known)}, not "
                f"{', '.join(names)}; use that model, or a new store"
            )

    def _check_space(self, found: str, wanted: str | None) -> None:
        if found and wanted is not None and found != wanted:
            raise StoreError(
                f"{self.path} belongs to model {found[:12]}, not to {wanted[:12]}: prototypes of "
                "one network mean nothing to another; use that model, or a new store"
            )

    def close(self) -> None:
        """Let go of the file; it is complete then and may be copied."""
        self._db.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draft:
    """A class before it has an id, checked as far as that goes without the store."""

    name: str
    vectors: FloatArray
    radius: float
    shots: tuple[Shot, ...]
    color: tuple[int, int, int] | None
    known: tuple[ClassInfo, ...]
    slots: int

    def fit(self, head: schema.Head, present: PrototypeSet, now_ns: int) -> NovelClass:
        """Return the class as it goes into a store.

        Raises:
            PrototypeError: name taken, no slot or no id left, vectors of another length.
        """
        check_free_name(self.name, present.classes, head.known)
        clean_vectors(self.vectors, head.size)
        check_slots(len(self.vectors), present.classes, self.slots)
        infos = (*self.known, *(item.info for item in present.classes))
        return NovelClass(
            id=_next_id(head),
            name=self.name,
            color=self.color or distinct_color([info.color for info in infos]),
            radius=self.radius,
            vectors=self.vectors,
            shots=self.shots,
            created_ns=now_ns,
            changed_ns=now_ns,
        )


def _next_id(head: schema.Head) -> int:
    """Return the id of the next class.

    Raises:
        PrototypeError: all are used.
    """
    free = max(head.next_id, len(head.known))
    if free >= UNKNOWN_ID:
        raise PrototypeError(
            f"all ids up to {UNKNOWN_ID - 1} were used, and none is used twice; "
            "learn the classes you need into a new store"
        )
    return free
