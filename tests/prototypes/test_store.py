"""What a prototype store holds: classes, ids, colours, times, and what undo brings back."""

from __future__ import annotations

import os
import runpy
import sqlite3
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest

from owseg.errors import PrototypeError
from owseg.prototypes import Change, NovelClass, PrototypeStore, Shot
from owseg.render import UNKNOWN_COLOR, distinct_color
from owseg.types import ClassInfo

plain = runpy.run_path(str(Path(__file__).with_name("store_model.py")))
SPACE, KNOWN, SIZE, SHOT, WHERE, add, names_of = (
    plain[name] for name in ("SPACE", "KNOWN", "SIZE", "SHOT", "WHERE", "add_class", "names_of")
)


# What comes back -------------------------------------------------------------------------------


def test_a_class_comes_back_as_it_was(store, quick):
    vectors = np.array([[0.1, -2, 3e-30, 4e18], [5, 6, 7, 8]])
    shots = [SHOT, Shot(image_sha256="ab" * 32, pixels=7)]
    made = store.add(" A\u0308nte ", vectors, 0.1, shots, color=(1, 2, 3), **WHERE)
    want = (3, "Änte", (1, 2, 3), 0.1, tuple(shots), 1, 1)
    with PrototypeStore(quick / "classes.db", read_only=True) as other:
        (read,) = other.read().classes
    for item in (made, read):
        assert isinstance(item, NovelClass)
        fields = (item.id, item.name, item.color, item.radius, item.shots)
        assert (*fields, item.created_ns, item.changed_ns) == want
        assert item.vectors.dtype == np.float32
        np.testing.assert_array_equal(item.vectors, vectors.astype(np.float32))
        with pytest.raises(ValueError, match="read-only"):
            item.vectors[0, 0] = 1
    assert (store.read().space, store.read().version) == (SPACE, 1)


def test_the_store_does_not_keep_the_array_of_the_caller(store):
    vectors = np.ones((1, SIZE), np.float32)
    made = add(store, vectors=vectors)
    vectors[:] = 9
    assert made.vectors.tolist() == [[1, 1, 1, 1]]
    vectors[:] = 9  # is still writable


def test_a_new_store_is_empty(store):
    found = store.read()
    assert (found.space, found.version, found.classes) == ("", 0, ())
    assert (store.version, store.history()) == (0, ())


def test_vectors_are_little_endian_float32_in_the_file(store, quick):
    add(store, vectors=np.array([[1, -2, 0.5, 3]], ">f8"))
    with closing(sqlite3.connect(quick / "classes.db")) as db:
        ((blob,),) = db.execute("SELECT vectors FROM class").fetchall()
    assert blob.hex() == "0000803f" + "000000c0" + "0000003f" + "00004040"


def test_a_source_that_is_not_utf8_is_escaped(store):
    odd = Shot(image_sha256="0f" * 32, pixels=1, source=os.fsdecode(b"caf\xe9.png"))
    assert add(store, shots=[odd]).shots[0].source == r"caf\udce9.png"
    assert store.read().classes[0].shots[0].source == r"caf\udce9.png"


def test_times(store):
    add(store, "car")
    add(store, "sofa")
    store.rename("car", "taxi")
    store.remove("sofa")
    store.undo()
    times = [(item.name, item.created_ns, item.changed_ns) for item in store.read().classes]
    assert times == [("taxi", 1, 3), ("sofa", 2, 5)]
    assert [change.time_ns for change in store.history()] == [1, 2, 3, 4, 5]


def test_changes_in_words(store):
    add(store)
    done = [store.rename("CAR", "taxi"), store.undo(), store.remove("car"), store.undo()]
    assert [change.text for change in (store.history()[0], *done)] == [
        "added class 'car' (id 3)",
        "renamed class 'car' to 'taxi' (id 3)",
        "undid version 2: renamed class 'car' to 'taxi' (id 3)",
        "removed class 'car' (id 3)",
        "undid version 4: removed class 'car' (id 3)",
    ]
    assert store.history()[1:] == tuple(done)
    rename = done[0]
    assert rename == Change(
        version=2, time_ns=2, action="rename", id=3, name="taxi", old_name="car"
    )
    assert (done[1].version, done[1].undone, done[1].name) == (3, rename, "car")


# Ids and undo ----------------------------------------------------------------------------------


def test_ids_start_after_the_known_classes_and_are_never_used_twice(store):
    assert [add(store, name).id for name in ("car", "sofa")] == [3, 4]
    store.remove("sofa")
    assert add(store, "owl").id == 5
    store.undo()
    assert add(store, "owl").id == 6
    for _ in range(3):
        store.undo()
    assert names_of(store) == {3: "car"}
    assert add(store, "sofa").id == 7


def test_a_removed_class_comes_back_whole(store):
    made = add(store, count=2, shots=[SHOT])
    store.remove("car")
    assert store.read().classes == ()
    add(store, "car")  # the name is free again
    for _ in range(2):
        store.undo()
    (back,) = store.read().classes
    assert (back.id, back.name, back.shots, back.color) == (3, "car", (SHOT,), made.color)
    np.testing.assert_array_equal(back.vectors, made.vectors)


def test_undo_goes_back_to_the_start_and_no_further(store):
    add(store)
    store.rename("car", "taxi")
    store.remove("taxi")
    undone = [store.undo().undone.action for _ in range(3)]
    assert undone == ["remove", "rename", "add"]
    with pytest.raises(PrototypeError, match=r"nothing to undo in .*classes\.db"):
        store.undo()
    assert (store.version, store.read().classes) == (6, ())


def test_all_ids_used(quick):
    known = [ClassInfo(id=i, name=f"k{i}", color=(0, 0, 0)) for i in range(253)]
    with PrototypeStore(quick / "full.db", create=True) as store:
        for name, number in (("car", 253), ("sofa", 254)):
            assert add(store, name, known=known).id == number
        store.undo()
        with pytest.raises(PrototypeError, match="all ids up to 254 were used"):
            add(store, "owl", known=known)
        assert (store.version, names_of(store)) == (3, {253: "car"})


# Colours ---------------------------------------------------------------------------------------


def lab(*colors):
    scaled = np.array([colors], np.float32) / 255
    return cv2.cvtColor(scaled, cv2.COLOR_RGB2LAB)[0].astype(float)


def test_colors_are_unlike_all_others(store, quick):
    made = [add(store, f"class {number}").color for number in range(12)]
    taken = lab(*(info.color for info in KNOWN), UNKNOWN_COLOR)
    for color in lab(*made):
        assert np.linalg.norm(taken - color, axis=1).min() > 25
        taken = np.vstack([taken, color])
    with PrototypeStore(quick / "again.db", create=True) as again:
        assert [add(again, f"class {number}").color for number in range(12)] == made


def test_a_color_is_unlike_those_of_the_model(store):
    first = distinct_color([])
    assert add(store, known=[ClassInfo(id=0, name="road", color=first)]).color != first


def test_a_chosen_color_counts_as_taken():
    first = distinct_color([])
    second = distinct_color([first])
    assert distinct_color([second, first]) == distinct_color([first, second])
    assert len({first, second, distinct_color([first, second])}) == 3
