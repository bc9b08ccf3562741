"""What a prototype store refuses: classes of another network, and what does not fit."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest

from owseg.errors import PrototypeError, StoreError
from owseg.prototypes import MAX_NAME, PrototypeStore, Shot
from owseg.types import ClassInfo

plain = runpy.run_path(str(Path(__file__).with_name("store_model.py")))
SPACE, KNOWN, SIZE, SLOTS, add, names_of = (
    plain[name] for name in ("SPACE", "KNOWN", "SIZE", "SLOTS", "add_class", "names_of")
)


# One network -----------------------------------------------------------------------------------

OTHER = "c4" * 32


def test_the_first_class_ties_the_store_to_its_network(store, quick):
    add(store)
    says = f"belongs to model {SPACE[:12]}, not to {OTHER[:12]}.*use that model, or a new store"
    with pytest.raises(StoreError, match=says):
        add(store, "sofa", space=OTHER)
    with pytest.raises(StoreError, match=says):
        PrototypeStore(quick / "classes.db", space=OTHER)
    assert (store.version, store.read().space, names_of(store)) == (1, SPACE, {3: "car"})
    with PrototypeStore(quick / "classes.db", space=SPACE) as same:
        assert same.version == 1


def test_removing_the_last_class_does_not_untie(store):
    add(store)
    store.remove("car")
    with pytest.raises(StoreError, match="belongs to model"):
        add(store, "sofa", space=OTHER)
    assert store.read().space == SPACE


def test_a_store_in_which_all_is_undone_is_free_again(store):
    add(store)
    store.undo()
    assert store.read().space == ""
    known = [*KNOWN, ClassInfo(id=3, name="car", color=(0, 0, 0))]
    wide = np.ones((1, 2 * SIZE), np.float32)
    with pytest.raises(PrototypeError, match="'car' is one of the model's own classes"):
        add(store, space=OTHER, known=known, vectors=wide)
    assert store.read().space == ""  # what is refused does not tie it
    assert add(store, "owl", space=OTHER, known=known, vectors=wide).id == 4
    assert store.read().space == OTHER
    with pytest.raises(PrototypeError, match="'car' is one of the model's own"):
        store.rename("owl", "car")


def test_ids_of_a_second_network_are_above_those_used(store):
    for name in ("car", "sofa"):
        add(store, name)
    store.undo()
    store.undo()
    assert add(store, known=KNOWN[:1], space=OTHER).id == 5
    store.undo()
    more = [ClassInfo(id=i, name=f"k{i}", color=(0, 0, 0)) for i in range(9)]
    assert add(store, known=more, space="d4" * 32).id == 9


def test_a_store_opened_for_one_network_takes_no_class_of_another(quick):
    with PrototypeStore(quick / "a.db", create=True, space=SPACE) as store:
        with pytest.raises(StoreError, match=f"opened for model {SPACE[:12]}.*{OTHER[:12]}"):
            add(store, space=OTHER)
        with PrototypeStore(quick / "a.db") as other:
            add(other, space=OTHER)
        with pytest.raises(StoreError, match=f"belongs to model {OTHER[:12]}, not"):
            store.read()


def test_other_known_classes_or_no_space(store):
    add(store)
    with pytest.raises(StoreError, match="with the classes road, tree, sky, not road, tree;"):
        add(store, "sofa", known=KNOWN[:2])
    with pytest.raises(PrototypeError, match="needs the embedding space"):
        add(store, "sofa", space="")
    assert store.version == 1


# What does not fit -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": ""}, "is empty"),
        ({"name": " \t\n"}, "is empty"),
        ({"name": None}, "must be text, got None"),
        ({"name": "x" * (MAX_NAME + 1)}, "has 65 characters; at most 64"),
        ({"name": "a\nb"}, r"'a\\nb' has control"),
        ({"name": "a\x00b"}, r"'a\\x00b' has control"),
        ({"name": "\u202egnp.rac"}, "has control or invisible"),
        ({"name": "\udce9"}, "has control or invisible"),
        ({"name": "Unknown"}, "'Unknown' is what pixels of no class are called"),
        ({"name": "car"}, r"there is a class 'car' already \(id 3\)"),
        ({"name": " CAR\t"}, "there is a class 'car' already"),
        ({"name": "ｃａｒ"}, "there is a class 'car' already"),
        ({"name": "Road"}, "'road' is one of the model's own classes"),
        ({"vectors": np.ones((0, SIZE))}, r"with M of at least 1, got \(0, 4\)"),
        ({"vectors": np.ones((2, 0))}, r"got \(2, 0\)"),
        ({"vectors": np.ones(SIZE)}, r"shape \(M, D\).*got \(4,\)"),
        ({"vectors": []}, r"got \(0,\)"),
        ({"vectors": np.ones((1, SIZE + 1))}, "length 5, those in the store 4"),
        ({"vectors": [[1, 2, 3, np.nan]]}, "NaN or infinite"),
        ({"vectors": [[1, 2, 3, -np.inf]]}, "NaN or infinite"),
        ({"vectors": [[1, 2, 3, 1e39]]}, "NaN or infinite"),
        ({"vectors": [[1, 2, 3, 1e20]]}, "too long to measure distances"),
        ({"vectors": [[1, 2, 3, "four"]]}, "must be numbers"),
        ({"vectors": [[1, 2, 3, 4j]]}, "must be numbers"),
        ({"vectors": [[1, 2, 3, 4], [5, 6]]}, "must have the same length"),
        ({"radius": 0}, "above 0, got 0"),
        ({"radius": -0.5}, "above 0, got -0.5"),
        ({"radius": float("nan")}, "above 0, got nan"),
        ({"radius": float("inf")}, "above 0, got inf"),
        ({"radius": 1e39}, "above 0, got 1e"),
        ({"radius": 1e-60}, "above 0, got 1e-60"),
        ({"radius": 10**400}, "must be a number above 0"),
        ({"radius": "wide"}, "must be a number above 0, got 'wide'"),
        ({"radius": None}, "must be a number above 0, got None"),
        ({"color": (0, 0, 256)}, r"0\.\.255"),
        ({"color": (0, -1, 0)}, r"0\.\.255"),
        ({"color": (0, 0)}, r"0\.\.255"),
        ({"color": (0, 0, 0.5)}, "whole numbers"),
        ({"color": "red"}, r"0\.\.255, got 'red'"),
        ({"shots": [Shot(image_sha256="0f", pixels=1)]}, "image digest '0f'; expected 64"),
        ({"shots": [Shot(image_sha256="0f" * 32, pixels=0)]}, "has 0 pixels"),
        ({"shots": [Shot(image_sha256="0f" * 32, pixels=2**70)]}, "pixels; expected at least 1"),
        ({"slots": 2}, "1 more prototypes do not fit: 2 of the model's 2 slots are in use"),
        ({"count": SLOTS - 1}, "999 more prototypes do not fit: 2 of the model's 1000"),
    ],
)
def test_what_does_not_fit_changes_nothing(store, changes, says):
    add(store, count=2)
    before = plain["content_of"](store.read())
    with pytest.raises(PrototypeError, match=says) as caught:
        add(store, **{"name": "sofa", **changes})
    assert "\n" not in str(caught.value)
    assert plain["content_of"](store.read()) == before
    assert len(store.history()) == 1
    assert add(store, "sofa").id == 4  # no id was used up


def test_slots_can_be_filled(store):
    add(store, count=3, slots=5)
    add(store, "sofa", count=2, slots=5)
    with pytest.raises(PrototypeError, match="1 more prototypes do not fit"):
        add(store, "owl", slots=5)
    store.remove("car")
    add(store, "owl", count=3, slots=5)
    assert store.read().num_vectors == 5


def test_the_longest_name(store):
    add(store, "x" * MAX_NAME)
    assert store.rename("x" * MAX_NAME, f" {'y' * MAX_NAME} ").name == "y" * MAX_NAME


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("car", "sofa", "there is a class 'sofa' already (id 4)"),
        ("car", "SKY", "'sky' is one of the model's own classes"),
        ("car", "unknown", "'unknown' is what pixels of no class are called"),
        ("car", "car", "class 'car' has that name already"),
        ("car", " ", "is empty"),
        ("car", "x" * 65, "has 65 characters"),
        ("cra", "owl", "no class 'cra'; did you mean 'car'? there are car, sofa"),
        ("zebra", "owl", "no class 'zebra'; there are car, sofa"),
        ("a\nb", "owl", r"no class 'a\nb'; there are"),
        ("\udce9", "owl", r"no class '\udce9'; there are"),
    ],
)
def test_renames_that_do_not_fit(store, old, new, says):
    add(store, "car")
    add(store, "sofa")
    with pytest.raises(PrototypeError) as caught:
        store.rename(old, new)
    assert says in str(caught.value)
    assert (store.version, names_of(store)) == (2, {3: "car", 4: "sofa"})


def test_renaming_to_other_case(store):
    add(store, "car")
    store.rename("car", "Car")
    assert names_of(store) == {3: "Car"}


def test_remove_without_such_a_class(store):
    with pytest.raises(PrototypeError, match="no class 'car'; the store has no classes"):
        store.remove("car")
    add(store)
    store.remove("Car")
    with pytest.raises(PrototypeError, match="no class 'car'; the store has no classes"):
        store.remove("car")
    assert store.version == 2
