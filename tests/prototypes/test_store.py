"""The prototype store: against a plain model, and what it must refuse."""

from __future__ import annotations

import itertools
import os
import runpy
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from owseg.errors import PrototypeError, StoreError, UsageError
from owseg.prototypes import MAX_NAME, Change, NovelClass, PrototypeStore, Shot, database, schema
from owseg.render import UNKNOWN_COLOR, distinct_color
from owseg.types import ClassInfo

plain = runpy.run_path(str(Path(__file__).with_name("store_model.py")))
SPACE, KNOWN, SIZE, SLOTS, Model, Refused = (
    plain[name] for name in ("SPACE", "KNOWN", "SIZE", "SLOTS", "Model", "RefusedError")
)
SHOT = Shot(image_sha256="0f" * 32, pixels=120, source="drive.mcap frame 12 cluster 3")
WHERE = {"space": SPACE, "known": KNOWN, "slots": SLOTS}


@pytest.fixture
def ticks():
    """Give a clock that counts 1, 2, 3, ..."""
    return itertools.count(1).__next__


@pytest.fixture
def store(quick, ticks):
    """Give a new store."""
    with PrototypeStore(quick / "classes.db", create=True, clock=ticks) as opened:
        yield opened


def add(store, name="car", count=1, **changes):
    """Add a class with so many prototypes."""
    vectors = np.arange(count * SIZE, dtype=np.float32).reshape(count, SIZE)
    return store.add(**{"name": name, "vectors": vectors, "radius": 0.5, **WHERE, **changes})


def names_of(store):
    return {item.id: item.name for item in store.read().classes}


# Against a plain model -------------------------------------------------------------------------

NAMES = st.sampled_from(["car", "Car", " car ", "sofa", "owl", "ROAD", "sky", "", "änte", "ÄNTE"])
MEMORY = Path("/dev/shm")


class StoreMachine(RuleBasedStateMachine):
    """Any course of changes, by two connections in turn, closed and opened in between."""

    @initialize()
    def start(self):
        self.folder = TemporaryDirectory(dir=MEMORY if os.access(MEMORY, os.W_OK) else None)
        self.path = Path(self.folder.name) / "classes.db"
        self.model = Model()
        self.stores = [PrototypeStore(self.path, create=True) for _ in range(2)]

    def both(self, action, **arguments):
        """Make a change in the model and in one store; both do it, or both refuse."""
        self.stores.reverse()
        stripped = {k: v.strip() if k in ("name", "new") else v for k, v in arguments.items()}
        try:
            getattr(self.model, action)(**stripped)
        except Refused:
            with pytest.raises(PrototypeError):
                plain["apply"](self.stores[0], action, arguments)
        else:
            plain["apply"](self.stores[0], action, arguments)

    @rule(name=NAMES, seed=st.integers(0, 99))
    def add(self, name, seed):
        self.both("add", **plain["new_class"](name, plain["Random"](seed)))

    @rule(old=NAMES, new=NAMES)
    def rename(self, old, new):
        self.both("rename", old=old, new=new)

    @rule(name=NAMES)
    def remove(self, name):
        self.both("remove", name=name)

    @rule()
    def undo(self):
        self.both("undo")

    @rule()
    def reopen(self):
        self.stores[0].close()
        self.stores[0] = PrototypeStore(self.path)

    @invariant()
    def same(self):
        for store in self.stores:
            assert store.version == self.model.version
            assert plain["content_of"](store.read()) == self.model.content()
            assert plain["log_of"](store) == self.model.log

    def teardown(self):
        for store in self.stores:
            store.close()
        assert [file.name for file in Path(self.folder.name).iterdir()] == ["classes.db"]
        self.folder.cleanup()


TestAnyCourse = StoreMachine.TestCase
TestAnyCourse.settings = settings(
    max_examples=30,
    stateful_step_count=20,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)


# What comes back -------------------------------------------------------------------------------


def test_a_class_comes_back_as_it_was(store, quick):
    vectors = np.array([[0.1, -2, 3e-30, 4e30], [5, 6, 7, 8]])
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


# Processes and threads -------------------------------------------------------------------------


def test_changes_of_others_are_noticed(store, quick):
    with PrototypeStore(quick / "classes.db", read_only=True) as watcher:
        assert watcher.version == 0
        add(store)
        assert watcher.version == store.version == 1
        assert names_of(watcher) == {3: "car"}
        store.rename("car", "taxi")
        assert (watcher.version, names_of(watcher)) == (2, {3: "taxi"})


def test_a_set_is_of_one_version(store, quick, monkeypatch):
    """Another process writes between two queries of one reading."""
    add(store)
    real, other = schema.read_head, PrototypeStore(quick / "classes.db")

    def read_head(db):
        head = real(db)
        monkeypatch.setattr(schema, "read_head", real)
        add(other, "sofa")
        return head

    monkeypatch.setattr(schema, "read_head", read_head)
    found = store.read()
    assert (found.version, [item.name for item in found.classes]) == (1, ["car"])
    assert (store.version, names_of(store)) == (2, {3: "car", 4: "sofa"})
    other.close()


@pytest.mark.parametrize("shared", [True, False])
def test_threads_that_write_at_once_lose_nothing(quick, shared):
    path, made, errors = quick / "threads.db", [], []
    with PrototypeStore(path, create=True) as common:

        def work(who):
            try:
                opened = common if shared else PrototypeStore(path)
                for number in range(6):
                    made.append(add(opened, f"{who} {number}", color=(1, 2, 3)))
                    opened.read()
                if not shared:
                    opened.close()
            except Exception as error:
                errors.append(error)

        threads = [threading.Thread(target=work, args=(who,)) for who in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        assert names_of(common) == {item.id: item.name for item in made}
        assert sorted(names_of(common)) == list(range(3, 27))
        assert [change.version for change in common.history()] == list(range(1, 25))


def test_reading_does_not_wait_for_a_writer(store, quick):
    add(store)
    with closing(sqlite3.connect(quick / "classes.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("UPDATE class SET name = 'half'")
        assert names_of(store) == {3: "car"}
        other.execute("ROLLBACK")


def test_a_writer_that_never_ends(quick, monkeypatch):
    monkeypatch.setattr(database, "BUSY_S", 0.05)
    path = quick / "busy.db"
    with PrototypeStore(path, create=True) as store:
        add(store)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreError, match=r"busy\.db was in use by another process"):
                add(store, "sofa")
            other.execute("ROLLBACK")
        assert add(store, "sofa").id == 4


def test_a_writer_that_ends_is_waited_for(store, quick):
    add(store)
    other = sqlite3.connect(quick / "classes.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(0.1, other.execute, args=("ROLLBACK",))
    timer.start()
    add(store, "sofa")
    timer.join()
    other.close()
    assert names_of(store) == {3: "car", 4: "sofa"}


def test_every_change_reaches_the_disk_before_it_is_reported(store):
    settings_ = {
        name: store._db._connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("synchronous", "journal_mode", "wal_autocheckpoint")
    }
    assert settings_ == {"synchronous": 2, "journal_mode": "wal", "wal_autocheckpoint": 1}


def test_an_error_in_the_midst_of_a_change_rolls_back(store, monkeypatch):
    add(store)
    before = plain["content_of"](store.read())

    def fail(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("owseg.prototypes.store.record", fail)
        for change in (
            lambda: add(store, "sofa"),
            lambda: store.rename("car", "taxi"),
            lambda: store.remove("car"),
            store.undo,
        ):
            with pytest.raises(KeyboardInterrupt):
                change()
    assert plain["content_of"](store.read()) == before
    assert (store.version, len(store.history())) == (1, 1)
    assert add(store, "sofa").id == 4


# Opening and closing ---------------------------------------------------------------------------


def test_close(quick):
    store = PrototypeStore(quick / "a.db", create=True)
    add(store)
    store.close()
    store.close()
    for use in (store.read, store.undo, store.history, lambda: store.version):
        with pytest.raises(StoreError, match=r"a\.db is closed"):
            use()
    assert [file.name for file in quick.iterdir()] == ["a.db"]


def test_the_working_folder_may_change(quick, monkeypatch):
    monkeypatch.chdir(quick)
    with PrototypeStore("a.db", create=True) as store:
        monkeypatch.chdir("/")
        add(store)
        assert names_of(store) == {3: "car"}
        assert store.path == Path("a.db")
    assert [file.name for file in quick.iterdir()] == ["a.db"]


def test_read_only(store, quick):
    add(store)
    with PrototypeStore(str(quick / "classes.db"), read_only=True) as reader:
        assert names_of(reader) == {3: "car"}
        for change in (reader.undo, lambda: add(reader, "sofa"), lambda: reader.remove("car")):
            with pytest.raises(StoreError, match="is read-only; nothing was changed"):
                change()
    assert store.version == 1
    with pytest.raises(UsageError, match="read-only"):
        PrototypeStore(quick / "b.db", create=True, read_only=True)
    assert not (quick / "b.db").exists()


def test_create_keeps_what_is_there(store, quick):
    add(store)
    with PrototypeStore(quick / "classes.db", create=True) as again:
        assert names_of(again) == {3: "car"}
