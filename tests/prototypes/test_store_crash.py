"""Kill -9 at any moment leaves the old or the new state; processes that write at once lose nothing.

Another process goes through a fixed course of changes, in which the state follows from the
version alone. It dies by a real SIGKILL: at random moments, and before each single
statement of each kind of change.
"""

from __future__ import annotations

import json
import os
import runpy
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from owseg.errors import StoreError
from owseg.prototypes import PrototypeStore

HERE = Path(__file__).parent
plain = runpy.run_path(str(HERE / "store_model.py"))
Model, grown, step, content_of, log_of = (
    plain[name] for name in ("Model", "grown", "step", "content_of", "log_of")
)

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks, as on Linux and macOS")


@pytest.fixture(scope="module")
def work():
    """Give a function that has jobs done by other processes: answers in their order."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    process = subprocess.Popen(
        [sys.executable, HERE / "store_writer.py"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **threads},
        text=True,
    )

    def ask(*jobs):
        process.stdin.write(json.dumps(jobs, default=str) + "\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    with process:
        yield ask
        process.stdin.close()


def check(path, low, model=None):
    """Check the whole store at `path`, of which version `low` is known to be written.

    Returns the version that it has. SQLite's own check comes last, on its own connection: it
    would do the repair that is up to the store.
    """
    with PrototypeStore(path, create=True) as store:
        version = store.version
        assert low <= version <= low + 1
        expected = grown(version, model)
        assert content_of(store.read()) == expected.content()
        assert log_of(store) == expected.log
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    return version


def last(answer, otherwise):
    """Give the last version that a killed process reported."""
    assert answer["end"] == -signal.SIGKILL, answer
    return max([otherwise, *answer["reports"]])


# Random moments --------------------------------------------------------------------------------


@pytest.mark.parametrize(("place", "kills"), [("tmp_path", 10), ("quick", 40)])
def test_kill_at_random_moments(work, request, place, kills):
    """Half of them soon after the start, half in the midst of changes; on disk and in memory."""
    folder, rng = request.getfixturevalue(place), Random(place)
    for kill in range(kills):
        if kill % 10 == 0:  # a new store, the making of which is the first to be killed
            path, version, model = folder / f"{kill}.db", 0, Model()
        reports = rng.randint(1, 4) * (kill % 2)
        job = {"work": "write", "path": path, "reports": reports}
        (answer,) = work(job | {"kill_after": rng.uniform(0, 0.03)})
        assert len(answer["reports"]) >= reports
        version = check(path, last(answer, version), model)
    assert version >= 5, "the second half of the last ten kills met changes"


# Each statement --------------------------------------------------------------------------------


def version_before(action, undone=None):
    """Give a version after which the course has such a change."""
    model = Model()
    while True:
        found, _ = plain["next_step"](model)
        version, reverted = model.version, model.stack
        kind = reverted and model.log and last_standing(model)
        if found == action and (undone is None or kind == undone):
            return version
        step(model)


def last_standing(model):
    """Give the action that an undo would revert."""
    stack = []
    for _, action, _, _ in model.log:
        if action == "undo":
            stack.pop()
        else:
            stack.append(action)
    return stack[-1] if stack else None


KINDS = [
    ("add", None),
    ("rename", None),
    ("remove", None),
    ("undo", "add"),
    ("undo", "rename"),
    ("undo", "remove"),
]


def kill_at_each_statement(work, folder, version, *, careless=False):
    """Kill the change after `version` before each of its statements.

    Returns the versions found afterwards and what was wrong, one for each statement.
    """
    base = folder / "base.db"
    with PrototypeStore(base, create=True) as store:
        model = Model()
        while model.version < version:
            step(model, store)
    found = []
    while True:
        path = shutil.copy(base, folder / "copy.db")
        job = {"work": "write", "path": path, "die_at": len(found) + 1, "steps": 1}
        (answer,) = work(job | {"careless": careless})
        if answer["end"] == 0:
            assert answer["reports"] == [version + 1]
            assert check(path, version + 1) == version + 1
            return found
        try:
            found.append(check(path, last(answer, version)))
        except (AssertionError, StoreError) as error:
            found.append(error)
        for file in folder.glob("copy.db*"):
            file.unlink()


@pytest.mark.parametrize(("action", "undone"), KINDS)
def test_kill_before_each_statement(work, quick, action, undone):
    version = version_before(action, undone)
    found = kill_at_each_statement(work, quick, version)
    assert set(found) <= {version, version + 1}
    assert found == sorted(found)
    assert found.count(version) >= 5


def test_kill_while_the_store_is_made(work, quick):
    ended = None
    for statement in range(1, 100):
        path = quick / f"{statement}.db"
        job = {"work": "write", "path": path, "die_creating": statement, "steps": 1}
        (answer,) = work(job)
        ended = answer["end"]
        if ended == 0:
            break
        check(path, last(answer, 0))
    assert ended == 0
    assert statement > 10


# That these checks can fail --------------------------------------------------------------------


@pytest.mark.parametrize(("action", "undone"), KINDS)
def test_a_writer_without_transactions_is_noticed(work, quick, action, undone):
    found = kill_at_each_statement(work, quick, version_before(action, undone), careless=True)
    assert any(isinstance(what, Exception) for what in found)


def test_a_writer_without_transactions_is_noticed_at_random_moments(work, tmp_path):
    rng = Random(7)
    for kill in range(50):
        path = tmp_path / f"{kill}.db"
        job = {"work": "write", "path": path, "careless": True, "reports": 1}
        (answer,) = work(job | {"kill_after": rng.uniform(0, 0.03)})
        try:
            check(path, last(answer, 0))
        except (AssertionError, StoreError):
            return
    pytest.fail("no half state in 50 kills")


def test_the_check_rejects_what_is_neither_old_nor_new(quick):
    path, model = quick / "a.db", Model()
    with PrototypeStore(path, create=True) as store:
        for _ in range(20):
            step(model, store)
    assert check(path, 20) == check(path, 19) == 20
    with pytest.raises(AssertionError):
        check(path, 18)  # two versions ahead
    with pytest.raises(AssertionError):
        check(path, 21)  # a version that was reported is lost
    (quick / "b.db").write_bytes(path.read_bytes())
    with closing(sqlite3.connect(quick / "b.db")) as db:
        db.execute("UPDATE class SET name = name || '?' WHERE NOT removed")
        db.commit()
    with pytest.raises(AssertionError):
        check(quick / "b.db", 20)


# At once ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("reopen", [False, True])
def test_processes_that_write_at_once_lose_nothing(work, quick, reopen):
    path, classes, racers = quick / "shared.db", 12, ("ant", "bee", "cow", "dog")
    job = {"work": "race", "path": path, "classes": classes, "racers": len(racers)}
    jobs = [job | {"name": name, "reopen": reopen} for name in racers]
    answers = work(*jobs)
    assert [answer["end"] for answer in answers] == [0] * len(jobs), answers
    with PrototypeStore(path) as store:
        found, history = store.read(), store.history()
    total = classes * len(jobs)
    ids = {item.name: item.id for item in found.classes}
    reported = {
        f"{job['name']} {number}": class_id
        for job, answer in zip(jobs, answers, strict=True)
        for number, class_id in enumerate(answer["reports"])
    }
    assert ids == reported
    assert sorted(ids.values()) == list(range(3, 3 + total))
    assert [change.version for change in history] == list(range(1, total + 1))
    rounds = [int(change.name.partition(" ")[2]) for change in history]
    assert rounds == sorted(rounds), "they must have taken turns"
