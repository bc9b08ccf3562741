"""Prototype stores in places that cannot be written, on full disks, and in changing files."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from owseg.errors import StoreError
from owseg.prototypes import PrototypeStore, database, schema

plain = runpy.run_path(str(Path(__file__).with_name("store_model.py")))
WHERE, make, edit = plain["WHERE"], plain["make_store"], plain["edit"]

VISIT = """
    import json, os, sys
    from owseg.errors import StoreError
    from owseg.prototypes import PrototypeStore

    if os.getuid() == 0:  # who may write everything
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)

    def visit(path):
        try:
            with PrototypeStore(path, create=sys.argv[1] == "create") as store:
                yield [item.name for item in store.read().classes]
                for change in (store.undo, lambda: store.rename("car", "taxi")):
                    try:
                        change()
                        yield "changed"
                    except StoreError as error:
                        yield str(error)
                yield store.version
        except StoreError as error:
            yield str(error)

    print(json.dumps([list(visit(path)) for path in sys.argv[2:]]))
"""


def visit(*paths, option="keep"):
    """Visit stores as somebody who may only do what the modes allow."""
    script = textwrap.dedent(VISIT)
    command = [sys.executable, "-c", script, option, *(str(path) for path in paths)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    return json.loads(result.stdout)


@pytest.fixture
def public(quick):
    """Give a folder that everybody may enter."""
    quick.chmod(0o755)
    if any(not folder.stat().st_mode & 0o001 for folder in quick.parents):
        pytest.skip("needs a folder that another user may enter")
    return quick


def placed(public, name, *, file=0o644, folder=0o755, wal=False, shm=False):
    """Put a store into a folder of its own, and set the modes of both."""
    (public / name).mkdir()
    path = make(public / name / "classes.db")
    if wal:
        with PrototypeStore(path) as store:
            store._db._connection.execute("PRAGMA wal_autocheckpoint = 0")
            store.remove("owl")
            shutil.copytree(path.parent, public / "busy")
        shutil.rmtree(path.parent)
        (public / "busy").rename(path.parent)
        if not shm:
            path.with_name("classes.db-shm").unlink()
    for one in path.parent.iterdir():
        one.chmod(file)
    path.parent.chmod(folder)
    return path


def test_reading_works_where_writing_does_not(public):
    places = [
        placed(public, "both", file=0o444, folder=0o555),
        placed(public, "file", file=0o444, folder=0o777),
        placed(public, "folder", file=0o666, folder=0o555),
        placed(public, "used", file=0o444, folder=0o555, wal=True, shm=True),
    ]
    before = [sorted(f.name for f in path.parent.iterdir()) for path in places]
    for path, found in zip(places, visit(*places), strict=True):
        names, undo, rename, version = found
        assert (names, version) == ((["car"], 5) if "used" in str(path) else (["car", "owl"], 4))
        for error in (undo, rename):
            assert error.startswith(f"{path} is read-only; nothing was changed; make the file")
    assert [sorted(f.name for f in path.parent.iterdir()) for path in places] == before


def test_changes_that_cannot_be_read_are_not_left_out(public):
    path = placed(public, "killed", file=0o444, folder=0o555, wal=True)
    ((error,),) = visit(path)
    assert error.startswith(f"{path} cannot be opened here; the file, its -wal and -shm files")


def test_files_that_cannot_be_read(public):
    secret = placed(public, "secret", file=0o000)
    hidden = placed(public, "hidden", folder=0o700 if os.getuid() == 0 else 0o000)
    (closed,), (unseen,) = visit(secret, hidden)
    hidden.parent.chmod(0o755)
    assert closed.startswith(f"{secret} cannot be opened here")
    assert unseen.startswith(f"{hidden} cannot be opened: Permission denied")


def test_creating_where_nothing_can_be_written(public):
    (public / "closed").mkdir(mode=0o555)
    path = public / "closed" / "new.db"
    says = f"cannot create {path}: it or its folder is read-only; give another path"
    assert visit(path, option="create") == [[says]]


NEED = """
    import json, os, sys
    from pathlib import Path
    from owseg.errors import StoreError
    from owseg.prototypes.database import need_place

    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)

    def tell(path):
        try:
            return need_place(Path(path))
        except StoreError as error:
            return str(error)

    print(json.dumps([tell(path) for path in sys.argv[1:]]))
"""


def test_a_place_can_be_checked_before_it_is_needed(public):
    closed, fixed = placed(public, "closed", folder=0o555), placed(public, "fixed", file=0o444)
    fine = placed(public, "fine", file=0o666, folder=0o777)
    paths = [closed.with_name("new.db"), fixed, fine, fine.with_name("new.db")]
    command = [sys.executable, "-c", textwrap.dedent(NEED), *(str(path) for path in paths)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.stderr == ""
    new, old, *rest = json.loads(result.stdout)
    assert new.startswith(f"cannot create {paths[0]}: it or its folder is read-only")
    assert old.startswith(f"{fixed} is read-only; nothing was changed; make the file")
    assert rest == [None, None]
    assert not fine.with_name("new.db").exists()


def test_a_file_that_changes_while_it_is_read(good, monkeypatch):
    """The time of its last change tells, where another file system holds the locks."""
    real, stamp = schema.read_set, 10**9
    monkeypatch.setattr(database, "can_write", lambda file: False)
    os.utime(good, ns=(stamp, stamp))
    with PrototypeStore(good) as store:

        def read_set(db):
            found = real(db)
            if found.classes[0].name == "car":
                edit(good, "UPDATE class SET name = 'taxi' WHERE id = 3")
            return found

        monkeypatch.setattr(schema, "read_set", read_set)
        assert store.read().classes[0].name == "taxi"


def test_a_first_look_at_a_changing_file_is_repeated(good, monkeypatch):
    calls = []

    def look(db):
        calls.append(db)
        if len(calls) == 1:
            os.utime(good)
            raise schema.DamagedError("half of a change")

    monkeypatch.setattr(database, "check", look)
    os.utime(good, (1, 1))
    with PrototypeStore(good) as store:
        assert store.version == 4
    assert len(calls) == 2


class Clock:
    """Time that passes only while somebody sleeps."""

    now = 10**18

    def time_ns(self):
        return self.now

    def sleep(self, seconds):
        self.now += int(seconds * 1e9)


def test_a_file_that_changes_twice_within_a_tick(good, monkeypatch):
    """Its time does not tell then, unless it is some time ago."""
    real, clock = schema.read_set, Clock()
    monkeypatch.setattr(database, "can_write", lambda file: False)
    with PrototypeStore(good) as store:

        def read_set(db):
            found = real(db)
            if found.classes[0].name == "car":
                edit(good, "UPDATE class SET name = 'taxi' WHERE id = 3")
                os.utime(good, ns=(Clock.now, Clock.now))
            return found

        monkeypatch.setattr(schema, "read_set", read_set)
        monkeypatch.setattr(database, "time", clock)
        os.utime(good, ns=(Clock.now, Clock.now))
        assert store.read().classes[0].name == "taxi"
    assert clock.now > Clock.now


def test_a_file_that_never_rests(good, monkeypatch):
    monkeypatch.setattr(database, "can_write", lambda file: False)
    with PrototypeStore(good) as store:
        monkeypatch.setattr(database, "state", lambda file: (time.time_ns(), 0, False))
        with pytest.raises(StoreError, match="in use by another process"):
            store.read()


FULL = """
    import resource, signal, sys
    from owseg.errors import StoreError
    from owseg.prototypes import PrototypeStore

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with PrototypeStore(sys.argv[1]) as store:
        store.undo()
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
        for change in (store.undo, lambda: store.rename("car", "taxi")):
            try:
                change()
            except StoreError as error:
                print(error)
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        print(store.version, store.rename("car", "taxi").version)
"""


def test_files_that_cannot_grow(good):
    command = [sys.executable, "-c", textwrap.dedent(FULL), str(good)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    first, second, last = result.stdout.splitlines()
    assert first == second
    assert first.startswith(f"{good} cannot be read or written, the disk reports an error")
    assert (last, result.stderr) == ("5 6", "")
    with PrototypeStore(good) as store:
        assert (store.version, store.read().classes[0].name) == (6, "taxi")


NO_ROOM = """
    import resource, signal, sys
    from owseg.errors import StoreError
    from owseg.prototypes import PrototypeStore

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    with PrototypeStore(sys.argv[1], read_only=True) as store:
        print(store.version, *(item.name for item in store.read().classes))
    try:
        PrototypeStore(sys.argv[1])
    except StoreError as error:
        print(error)
"""


def test_a_store_on_a_full_disk_can_be_read(good):
    command = [sys.executable, "-c", textwrap.dedent(NO_ROOM), str(good)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    read, changed = result.stdout.splitlines()
    assert (read, result.stderr) == ("4 car owl", "")
    assert changed.startswith(f"{good} cannot be read or written")


def test_a_full_disk_is_said(good):
    with PrototypeStore(good) as store:
        limit = store._db._connection.execute("PRAGMA page_count").fetchone()[0]
        store._db._connection.execute(f"PRAGMA max_page_count = {limit}")
        with pytest.raises(StoreError, match="the disk is full; nothing was changed"):
            store.add("big", np.ones((999, 4)), 1, color=(1, 2, 3), **WHERE | {"slots": 9999})
        assert store.version == 4
