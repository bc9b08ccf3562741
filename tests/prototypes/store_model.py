"""What a prototype store should hold, in plain Python, and a fixed course of changes.

Undo is a stack of whole states here, unlike in the store. The change that follows a state
depends on its version alone, so that another process knows what a store must hold.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from random import Random

import numpy as np

from owseg.prototypes import PrototypeSet, PrototypeStore, Shot
from owseg.types import ClassInfo

SPACE = "5e" * 32
KNOWN = tuple(
    ClassInfo(id=i, name=name, color=(40 * i, 90, 120))
    for i, name in enumerate(("road", "tree", "sky"))
)
SIZE = 4
SLOTS = 1000
LAST_ID = 254
WHERE = {"space": SPACE, "known": KNOWN, "slots": SLOTS}
SHOT = Shot(image_sha256="0f" * 32, pixels=120, source="drive.mcap frame 12 cluster 3")


class RefusedError(Exception):
    """The change is not allowed."""


class Model:
    """A store without a file; a class is (name, color, radius, vectors, shots) by id."""

    def __init__(self):
        self.version = 0
        self.next_id = len(KNOWN)
        self.classes = {}
        self.stack = []
        self.log = []

    def add(self, name, vectors, radius, shots, color):
        self._need_free(name)
        if self.next_id > LAST_ID:
            raise RefusedError("no id left")
        number, self.next_id = self.next_id, self.next_id + 1
        self._change("add", number, name)
        self.classes[number] = (name, color, radius, vectors, shots)

    def rename(self, old, new):
        number = self._find(old)
        if self.classes[number][0] == new:
            raise RefusedError("same name")
        self._need_free(new, number)
        self._change("rename", number, new)
        self.classes[number] = (new, *self.classes[number][1:])

    def remove(self, name):
        number = self._find(name)
        self._change("remove", number, self.classes[number][0])
        del self.classes[number]

    def undo(self):
        if not self.stack:
            raise RefusedError("nothing to undo")
        before, number = self.stack.pop()
        name = (before if number in before else self.classes)[number][0]
        self.classes = before
        self._log("undo", number, name)

    def _change(self, action, number, name):
        self.stack.append((dict(self.classes), number))
        self._log(action, number, name)

    def _log(self, action, number, name):
        self.version += 1
        self.log.append((self.version, action, number, name))

    def _find(self, name):
        for number, (taken, *_) in self.classes.items():
            if taken.lower() == name.strip().lower():
                return number
        raise RefusedError("no such class")

    def _need_free(self, name, but=None):
        taken = [info.name for info in KNOWN]
        taken += [item[0] for number, item in self.classes.items() if number != but]
        if not name or name.lower() in (other.lower() for other in taken):
            raise RefusedError("taken")

    def content(self):
        """All that a set holds, but times."""
        space = SPACE if self.stack else ""
        classes = [(number, *item) for number, item in sorted(self.classes.items())]
        return (self.version, space, classes)


def add_class(store, name="car", count=1, **changes):
    """Add a class with so many prototypes to a store."""
    vectors = np.arange(count * SIZE, dtype=np.float32).reshape(count, SIZE)
    return store.add(**{"name": name, "vectors": vectors, "radius": 0.5, **WHERE, **changes})


def names_of(store):
    """Give the names in a store by id."""
    return {item.id: item.name for item in store.read().classes}


def make_store(path, names=("car", "sofa", "owl")):
    """Write a store in which the second class is removed."""
    with PrototypeStore(path, create=True) as store:
        for number, name in enumerate(names):
            vectors = np.full((2, SIZE), number + 1, np.float32)
            store.add(name, vectors, 0.5, [SHOT], color=(1, 2, 3), **WHERE)
        store.remove("sofa")
    return path


def edit(path, *statements):
    """Change a store behind its back; the journal mode stays."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for statement in statements:
            db.execute(statement)


def content_of(found: PrototypeSet):
    """Give the same of a set."""
    classes = [
        (c.id, c.name, c.color, c.radius, c.vectors.tolist(), c.shots) for c in found.classes
    ]
    return (found.version, found.space, classes)


def log_of(store):
    """Give version, action, id and name of all changes of a store."""
    return [(c.version, c.action, c.id, c.name) for c in store.history()]


def apply(store, action, arguments):
    """Make a change in a store."""
    if action == "add":
        return store.add(**arguments, space=SPACE, known=KNOWN, slots=SLOTS)
    return getattr(store, action)(**arguments)


def next_step(model: Model):
    """Give the change that follows a state: its action, and arguments by name."""
    rng = Random(model.version)
    names = [item[0] for item in model.classes.values()]
    choices = ["rename"] * 3 * bool(names) + ["remove"] * (len(names) > 1)
    choices += ["undo"] * 2 * bool(model.stack)
    if len(names) < 6 and model.next_id <= LAST_ID:
        choices += ["add"] * 2
    action = rng.choice(choices)
    fresh = f"class {model.version}"
    if action == "rename":
        return action, {"old": rng.choice(names), "new": fresh}
    if action == "remove":
        return action, {"name": rng.choice(names)}
    return action, new_class(fresh, rng) if action == "add" else {}


def new_class(name, rng):
    """Give arguments of a class with one to three prototypes and up to three shots."""
    vectors = [[rng.randrange(1000) / 64 for _ in range(SIZE)] for _ in range(rng.randint(1, 3))]
    shots = [
        Shot(image_sha256=f"{rng.getrandbits(256):064x}", pixels=rng.randint(1, 9999), source="b")
        for _ in range(rng.randrange(4))
    ]
    return {
        "name": name,
        "vectors": vectors,
        "radius": rng.randint(1, 999) / 64,
        "shots": tuple(shots),
        "color": (rng.randrange(256), rng.randrange(256), rng.randrange(256)),
    }


def step(model: Model, store=None):
    """Make the next change in a model, and in a store."""
    action, arguments = next_step(model)
    if store is not None:
        apply(store, action, arguments)
    getattr(model, action)(**arguments)


def grown(version: int, model: Model | None = None) -> Model:
    """Give the model at a version; from an earlier one, which changes, or from the start."""
    model = model or Model()
    while model.version < version:
        step(model)
    return model
