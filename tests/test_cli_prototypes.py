"""`owseg prototypes`: what it prints, and one clear line for each bad input."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import textwrap
from datetime import datetime

import numpy as np
import pytest

from owseg.cli import main
from owseg.prototypes import PrototypeStore, Shot
from owseg.types import ClassInfo

group = importlib.import_module("owseg.cli.prototypes")
SPACE = "5e" * 32
KNOWN = (ClassInfo(id=0, name="road", color=(9, 9, 9)), ClassInfo(id=1, name="sky", color=(0,) * 3))
TIME = 1_700_000_000 * 10**9


@pytest.fixture
def run(capfd):
    """Give a function that runs `owseg prototypes`: exit code, standard output and error."""

    def call(*argv):
        capfd.readouterr()
        code = main(["prototypes", *(str(arg) for arg in argv)])
        return (code, *capfd.readouterr())

    return call


@pytest.fixture
def fails(run):
    """Give a function that expects exit code 2 and one line of explanation, nothing else."""

    def call(says, *argv):
        code, out, err = run(*argv)
        assert (code, out) == (2, "")
        assert err.startswith("owseg: ")
        assert err.count("\n") == 1
        assert says in err

    return call


@pytest.fixture
def path(tmp_path):
    """Give a store with a car (two prototypes, two shots) and a sofa (one, none)."""
    path = tmp_path / "classes.db"
    where = {"space": SPACE, "known": KNOWN, "slots": 8}
    shots = [
        Shot(image_sha256="0f" * 32, pixels=1200, source="a.png"),
        Shot(image_sha256="1f" * 32, pixels=34),
    ]
    with PrototypeStore(path, create=True, clock=lambda: TIME) as store:
        store.add("car", np.ones((2, 4)), 0.123456, shots, color=(255, 0, 16), **where)
        store.add("sofa", np.ones((1, 4)), 2, color=(1, 2, 3), **where)
    return path


def names(path):
    with PrototypeStore(path) as store:
        return {item.id: item.name for item in store.read().classes}


# List ------------------------------------------------------------------------------------------


def test_list(run, path):
    when = datetime.fromtimestamp(TIME // 10**9).strftime("%Y-%m-%d %H:%M:%S")
    assert run("list", path) == (
        0,
        f"{path}: version 2, model 5e5e5e5e5e5e\n"
        "id  name  colour   prototypes  radius  shots  pixels  changed\n"
        f" 2  car   #ff0010           2  0.1235      2    1234  {when}\n"
        f" 3  sofa  #010203           1       2      0       0  {when}\n",
        "",
    )


def test_list_as_json(run, path):
    code, out, err = run("list", path, "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    car, sofa = found.pop("classes")
    assert found == {"store": str(path), "version": 2, "space": SPACE}
    assert car == {
        "id": 2,
        "name": "car",
        "color": [255, 0, 16],
        "prototypes": 2,
        "embedding_size": 4,
        "radius": 0.123456,
        "shots": [
            {"image_sha256": "0f" * 32, "pixels": 1200, "source": "a.png"},
            {"image_sha256": "1f" * 32, "pixels": 34, "source": ""},
        ],
        "created_ns": TIME,
        "changed_ns": TIME,
    }
    assert (sofa["id"], sofa["prototypes"], sofa["shots"]) == (3, 1, [])


def test_list_of_an_empty_store(run, tmp_path):
    path = tmp_path / "new.db"
    PrototypeStore(path, create=True).close()
    head = f"{path}: version 0, of no model yet\n"
    assert run("list", path) == (0, head + "no classes; 'owseg prototypes add' learns one\n", "")
    assert json.loads(run("list", path, "--json")[1])["classes"] == []


def test_names_that_ascii_cannot_print(path):
    with PrototypeStore(path) as store:
        store.rename("car", "änte 🦆")
    command = [sys.executable, "-m", "owseg", "prototypes", "list", str(path)]
    environment = {**os.environ, "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    result = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert result.returncode == 0, result.stderr
    assert rb"\xe4nte \U0001f986" in result.stdout


def test_a_path_that_is_not_utf8(run, path):
    odd = path.rename(path.with_name(os.fsdecode(b"caf\xe9.db")))
    code, out, _ = run("undo", odd)
    assert (code, r"caf\udce9.db is at version 3" in out) == (0, True)
    code, out, _ = run("list", odd, "--json")
    assert json.loads(out)["store"] == str(odd)
    code, out, _ = run("list", odd)
    assert out.startswith(f"{path.parent}/caf\\udce9.db: version 3")


# Changes ---------------------------------------------------------------------------------------


def test_rename_remove_undo(run, path):
    says = [
        run("rename", path, "Car", " taxi "),
        run("remove", path, "SOFA"),
        run("undo", path),
        run("undo", path),
    ]
    assert says == [
        (0, f"renamed class 'car' to 'taxi' (id 2); {path} is at version 3\n", ""),
        (0, f"removed class 'sofa' (id 3); {path} is at version 4\n", ""),
        (0, f"undid version 4: removed class 'sofa' (id 3); {path} is at version 5\n", ""),
        (
            0,
            f"undid version 3: renamed class 'car' to 'taxi' (id 2); {path} is at version 6\n",
            "",
        ),
    ]
    assert names(path) == {2: "car", 3: "sofa"}
    assert [file.name for file in path.parent.iterdir()] == ["classes.db"]


def test_undo_until_nothing_is_left(run, fails, path):
    assert run("undo", path)[0] == run("undo", path)[0] == 0
    assert names(path) == {}
    fails("nothing to undo in", "undo", path)


# Bad input -------------------------------------------------------------------------------------


def test_changes_that_do_not_fit(fails, path):
    fails("no class 'cra'; did you mean 'car'? there are car, sofa", "remove", path, "cra")
    fails("no class 'x'; there are car, sofa", "rename", path, "x", "y")
    fails("there is a class 'sofa' already", "rename", path, "car", "Sofa")
    fails("'road' is one of the model's own classes", "rename", path, "car", "road")
    fails("the name of a class is empty", "rename", path, "car", "")
    fails(r"has control or invisible characters", "rename", path, "car", "a\nb")
    assert names(path) == {2: "car", 3: "sofa"}


@pytest.mark.parametrize("command", [("list",), ("rename", "a", "b"), ("remove", "a"), ("undo",)])
def test_files_that_are_no_store(fails, path, tmp_path, command):
    action, *rest = command
    fails("no prototype store at", action, tmp_path / "none.db", *rest)
    fails("none.db; the folder", action, tmp_path / "no" / "none.db", *rest)
    fails("is a folder, not a prototype store", action, tmp_path, *rest)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    fails("is damaged", action, path, *rest)
    path.write_bytes(b"no store at all " * 99)
    fails("is not a prototype store", action, path, *rest)
    assert [file.name for file in tmp_path.iterdir()] == ["classes.db"]


def test_bad_arguments(fails, path):
    fails("the following arguments are required: COMMAND; see owseg prototypes --help")
    fails("invalid choice: 'fly'", "fly", path)
    fails("the following arguments are required: STORE; see owseg prototypes list", "list")
    fails("the following arguments are required: NEW", "rename", path, "car")
    fails("unrecognized arguments: more", "remove", path, "car", "more")
    fails("unrecognized arguments: --json", "undo", path, "--json")
    assert names(path) == {2: "car", 3: "sofa"}


# Help ------------------------------------------------------------------------------------------


def test_help_lists_the_commands(run):
    code, out, err = run("--help")
    assert (code, err) == (0, "")
    for name, (_, summary) in group.COMMANDS.items():
        assert f"{name:<9} {summary}" in out


@pytest.mark.parametrize("name", sorted(group.COMMANDS))
def test_help_of_each_command(run, name):
    code, out, err = run(name, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"usage: owseg prototypes {name}")
    assert f"\nexample:\n  owseg prototypes {name}" in out
    module, summary = group.COMMANDS[name]
    assert summary == importlib.import_module(module).SUMMARY


def test_only_the_chosen_command_is_imported(path):
    script = """
        import sys
        from owseg.cli import main
        assert main(["prototypes", "--help"]) == main(["prototypes", "list", sys.argv[1]]) == 0
        loaded = {name for name in sys.modules if name.startswith("owseg.cli.prototypes_")}
        sys.exit(", ".join(sorted(loaded - {"owseg.cli.prototypes_list"})) or 0)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
