"""A prototype store in several hands: processes and threads; opening and closing it."""

from __future__ import annotations

import runpy
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from owseg.errors import StoreError, UsageError
from owseg.prototypes import PrototypeStore, database, schema

plain = runpy.run_path(str(Path(__file__).with_name("store_model.py")))
add, names_of = plain["add_class"], plain["names_of"]


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
