"""Files that are no prototype store, damaged, of a newer owseg, moved, or copied."""

from __future__ import annotations

import os
import runpy
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from random import Random

import numpy as np
import pytest

from owseg.errors import StoreError
from owseg.prototypes import PrototypeStore, schema

plain = runpy.run_path(str(Path(__file__).with_name("store_model.py")))
make, edit = plain["make_store"], plain["edit"]


def snapshot(folder):
    """Give name and content of all files but the shared memory of SQLite."""
    files = [file for file in folder.iterdir() if not file.name.endswith("-shm")]
    return {file.name: file.is_file() and file.read_bytes() for file in files}


READING = ({}, {"read_only": True})
CREATING = ({"create": True},)


def refused(path, says, ways=READING + CREATING):
    """Open a path that must be refused in one line, in some ways; nothing changes."""
    before = snapshot(path.parent) if path.parent.is_dir() else None
    if os.path.isfile(path):
        os.utime(path, (1, 1))  # of an old file it is clear that it does not change
    for options in ways:
        with pytest.raises(StoreError, match=says) as caught:
            PrototypeStore(path, **options)
        assert "\n" not in str(caught.value)
        if before is not None:
            assert snapshot(path.parent) == before


# No store --------------------------------------------------------------------------------------


def test_no_file(quick):
    refused(quick / "none.db", r"no prototype store at .*none\.db; 'owseg proto", READING)
    refused(quick / "no" / "none.db", r"no/none\.db; the folder .*no does not exist", READING)
    refused(quick / "no" / "none.db", "the folder .*no does not exist; make it first", CREATING)
    (quick / "folder").mkdir()
    refused(quick / "folder", "is a folder, not a prototype store")
    os.mkfifo(quick / "pipe")
    refused(quick / "pipe", "is not a regular file")
    refused(quick / ("x" * 300), "cannot be opened: File name too long")
    assert sorted(file.name for file in quick.iterdir()) == ["folder", "pipe"]


def test_links_that_lead_nowhere(quick):
    (quick / "circle.db").symlink_to("circle.db")
    refused(quick / "circle.db", "circle.db is a link that leads back to itself|circle.db")
    (quick / "far.db").symlink_to("gone/there.db")
    refused(quick / "far.db", r"far\.db; the folder .*gone does not exist", READING)
    refused(quick / "far.db", "the folder .*gone does not exist; make it first", CREATING)


def test_a_folder_that_is_a_file(quick):
    (quick / "notes").touch()
    refused(quick / "notes" / "c.db", r"notes is a file, so that .*c\.db cannot be in it")


def test_an_empty_file_is_filled_only_on_request(quick):
    path = quick / "empty.db"
    path.touch()
    refused(path, r"empty\.db is empty; 'owseg prototypes add' makes one", READING)
    assert make(path).stat().st_size > 0


@pytest.mark.parametrize("content", [b"x", b"hello\n" * 500, bytes(4096), b"SQLite format 3\0"])
def test_other_files(quick, content):
    path = quick / "other.txt"
    path.write_bytes(content)
    refused(path, "is not a prototype store, or its start is damaged")


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
def test_databases_of_others(quick, mode):
    path = quick / "bag.db3"
    edit(path, f"PRAGMA journal_mode = {mode}", "CREATE TABLE messages (data)")
    refused(path, "bag.db3 is an SQLite file of another program")


def test_a_database_of_others_in_use(quick):
    path = quick / "bag.db3"
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE messages (data)")
        refused(path, "is an SQLite file of another program")


def test_a_database_of_others_with_a_journal(quick):
    path = quick / "bag.db3"
    edit(path, "CREATE TABLE messages (data)")
    (quick / "bag.db3-journal").touch()
    data = path.read_bytes()
    for options in READING + CREATING:
        with pytest.raises(StoreError, match="is an SQLite file of another program"):
            PrototypeStore(path, **options)
        assert path.read_bytes() == data


def test_a_newer_schema(good):
    edit(good, f"PRAGMA user_version = {schema.SCHEMA + 1}")
    refused(good, r"has schema 2, this owseg knows up to 1; upgrade owseg \(pip install")


def test_odd_file_names(quick):
    path = quick / "a b?mode=ro&x#%41'ä.db"
    make(path)
    assert [file.name for file in quick.iterdir()] == [path.name]
    with PrototypeStore(path) as store:
        assert store.version == 4


def test_a_link_to_a_store(good, quick):
    link = quick / "link.db"
    link.symlink_to(good)
    with PrototypeStore(link) as store:
        store.undo()
        assert {f.name for f in quick.iterdir()} == {"store", "link.db"}
    with PrototypeStore(good) as store:
        assert store.version == 5


# Damaged ---------------------------------------------------------------------------------------


def test_truncated_at_any_length(good):
    data = good.read_bytes()
    for length in (1, 99, 511, 512, 4095, *range(4096, len(data), 4096), len(data) - 1):
        good.write_bytes(data[:length])
        refused(good, r"is damaged \(.*restore a copy|its start is damaged")


def test_the_one_file_is_gone_but_not_its_wal(good):
    wal = good.with_name(good.name + "-wal")
    wal.write_bytes(b"changes")
    good.write_bytes(b"")
    refused(good, "is gone or empty, but .*-wal is there")
    good.unlink()
    refused(good, "is gone or empty, but .*-wal is there")


def test_damaged_while_changes_wait_in_the_wal(good):
    folder = good.parent
    with PrototypeStore(good) as store:
        store._db._connection.execute("PRAGMA wal_autocheckpoint = 0")
        store.undo()
        files = snapshot(folder)
    for name, data in files.items():
        (folder / name).write_bytes(data[:4096] if name == good.name else data)
    refused(good, "is damaged")


def intact(path):
    """Say whether SQLite itself finds nothing wrong with a file."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)) as db:
        try:
            return db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        except sqlite3.Error:
            return False


def meaning(path):
    """Give all that a store says, or None where it is refused."""
    try:
        with PrototypeStore(path, read_only=True) as store:
            found = store.read()
    except StoreError:
        return None
    return [(c.id, c.color, c.radius, c.vectors.tolist(), c.name, c.shots) for c in found.classes]


def test_flipped_bytes_never_change_prototypes(good):
    """Text is not covered by a checksum; ids, colours, radii and vectors are."""
    data, rng = good.read_bytes(), Random(5)
    want = meaning(good)
    blob = data.index(np.full(8, 3, "<f4").tobytes())
    places = [blob, blob + 31, *(rng.randrange(len(data)) for _ in range(150))]
    found, broken = [], 0
    for place in places:
        changed = bytearray(data)
        changed[place] ^= 1 << rng.randrange(8)
        good.write_bytes(changed)
        found.append(meaning(good))
        if not intact(good):
            assert found[-1] is None
            broken += 1
    assert broken > 5
    assert found[:2] == [None, None]
    readable = [[item[:4] for item in classes] for classes in found if classes is not None]
    assert all(classes == [item[:4] for item in want] for classes in readable)
    assert 0 < len(readable) < len(places)


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("UPDATE class SET radius = 0.75 WHERE id = 3", "class 'car' has changed bytes"),
        ("UPDATE class SET color = '0000ff' WHERE id = 3", "class 'car' has changed bytes"),
        ("UPDATE class SET count = 1 WHERE id = 3", "class 'car' has changed bytes"),
        ("UPDATE class SET vectors = 'text' WHERE id = 3", "class 'car' cannot be read"),
        ("UPDATE class SET name = CAST(x'ff' AS TEXT)", "is damaged"),
        ("UPDATE store SET next_id = 5", "class 'owl' does not fit"),
        ("UPDATE store SET size = 5", "class 'car' does not fit"),
        ("INSERT INTO known VALUES (3, 'car')", "class 'car' does not fit"),
        ("UPDATE store SET version = 9", "4 changes are recorded at version 9"),
        ("UPDATE store SET version = 'four'", "it has no version"),
        ("DELETE FROM store", "it has no version"),
        ("DELETE FROM history WHERE version = 2", "3 changes are recorded at version 4"),
        ("DROP TABLE shot", "its tables are not those"),
        ("CREATE TABLE more (x)", "its tables are not those"),
        ("CREATE TRIGGER t AFTER INSERT ON class BEGIN SELECT 1; END", "its tables are not"),
    ],
)
def test_content_that_contradicts_itself(good, statement, says):
    edit(good, statement)
    refused(good, rf"classes\.db is damaged \(.*{says}.*restore a copy|{says}")


def test_vectors_of_a_wrong_shape_with_a_right_checksum(good):
    with closing(sqlite3.connect(good)) as db:
        row = db.execute("SELECT id, color, radius, size FROM class WHERE id = 3").fetchone()
        for blob, count in ((bytes(16), 2), (np.full(8, np.nan, "<f4").tobytes(), 2), (b"", 0)):
            checksum = schema._checksum(*row[:3], count, row[3], blob)
            values = (blob, count, checksum)
            db.execute(
                "UPDATE class SET (vectors, count, checksum) = (?, ?, ?) WHERE id = 3", values
            )
            db.commit()
            refused(good, "class 'car' cannot be read")


def test_a_history_with_a_hole(good):
    with PrototypeStore(good) as store:
        store.undo()
        edit(good, "UPDATE history SET version = 40 WHERE version = 4")
        with pytest.raises(StoreError, match="the history lacks version 4"):
            store.undo()


# Moved under its feet --------------------------------------------------------------------------


def test_a_store_that_is_moved_or_replaced_while_in_use(good, quick):
    make(quick / "other.db", ("ant", "sofa"))
    with PrototypeStore(good) as store:
        good.rename(quick / "moved.db")
        for use in (store.undo, store.read):
            with pytest.raises(StoreError, match="was moved, removed or replaced"):
                use()
        shutil.copy(quick / "other.db", good)
        with pytest.raises(StoreError, match="was moved, removed or replaced"):
            store.remove("car")
    with PrototypeStore(quick / "moved.db") as store:
        assert store.version == 4


# The one file ----------------------------------------------------------------------------------


def test_a_copy_of_the_one_file_is_complete_after_each_change(good, quick):
    with PrototypeStore(good) as store:
        for _ in range(3):
            store.undo()
            code = "import shutil, sys; shutil.copy(*sys.argv[1:])"  # as another process would
            subprocess.run([sys.executable, "-c", code, good, quick / "copy.db"], check=True)
            with PrototypeStore(quick / "copy.db") as copy:
                assert plain["content_of"](copy.read()) == plain["content_of"](store.read())


def test_the_one_file_is_complete_after_close_though_another_process_read(good, quick):
    """While a reader holds an old state, changes cannot move from the -wal file."""
    with closing(sqlite3.connect(good, isolation_level=None)) as reader:
        with PrototypeStore(good) as store:
            reader.execute("BEGIN")
            reader.execute("SELECT version FROM store").fetchone()
            store.undo()
            want = plain["content_of"](store.read())
            reader.execute("ROLLBACK")
        code = "import shutil, sys; shutil.copy(*sys.argv[1:])"
        subprocess.run([sys.executable, "-c", code, good, quick / "copy.db"], check=True)
    with PrototypeStore(quick / "copy.db") as copy:
        assert plain["content_of"](copy.read()) == want


def test_opening_cleans_up_after_a_killed_process(good, quick):
    with PrototypeStore(good) as store:
        store._db._connection.execute("PRAGMA wal_autocheckpoint = 0")
        store.undo()
        shutil.copytree(good.parent, quick / "killed")
    assert len(list((quick / "killed").iterdir())) == 3
    with PrototypeStore(quick / "killed" / good.name, read_only=True) as store:
        assert store.version == 5
    assert [file.name for file in (quick / "killed").iterdir()] == [good.name]
