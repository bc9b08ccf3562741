"""The engine cache: keys, what is refused and why, damage, trust, and writers that die."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
import textwrap
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from owseg.engines import cache as module
from owseg.engines.cache import EngineCache, default_cache
from owseg.engines.cache_key import SCHEMA, TITLES, EngineKey, key_from, model_digest
from owseg.errors import BundleError, EngineError, OutputError

PLAN = bytes(range(256)) * 40
HERE = EngineKey(
    model="a" * 64,
    flavour="tensorrt",
    version="10.3.0",
    gpu="NVIDIA RTX A2000",
    capability="8.6",
    multiprocessors=26,
    precision="fp16",
    inputs="1..2x360x480x3",
    workspace=1024,
)
OTHERS = {
    "model": "b" * 64,
    "flavour": "tensorrt_rtx",
    "version": "10.3.1",
    "gpu": "Orin",
    "capability": "8.7",
    "multiprocessors": 16,
    "precision": "fp32",
    "inputs": "1..1x360x480x3",
    "workspace": 1,
    "schema": SCHEMA + 1,
}
CHOICES = ("precision", "inputs", "workspace")


@pytest.fixture
def shelf(tmp_path):
    """Give an empty cache that can be written."""
    shelf = EngineCache(tmp_path / "engines")
    shelf.prepare(1)
    return shelf


@pytest.fixture
def stored(shelf):
    """Give an engine in it."""
    return shelf.store(HERE, PLAN, 5, {"model": "street"})


def description(entry):
    return entry.path.with_name(f"{entry.key.digest}.json")


# Keys --------------------------------------------------------------------------------------------


def test_every_part_of_a_key_counts():
    assert set(OTHERS) == set(asdict(HERE)) == set(TITLES)
    digests = {replace(HERE, **{name: value}).digest for name, value in OTHERS.items()}
    assert len({*digests, HERE.digest}) == len(OTHERS) + 1
    assert replace(HERE, workspace=1024).digest == HERE.digest
    assert len(HERE.digest) == 64


def test_a_key_survives_json():
    assert key_from(json.loads(json.dumps(asdict(HERE)))) == HERE
    with pytest.raises(TypeError):
        key_from({**asdict(HERE), "colour": "red"})
    with pytest.raises(TypeError):
        key_from({"model": "x"})


@pytest.mark.parametrize("name", OTHERS)
def test_differences_are_named(name):
    other = replace(HERE, **{name: OTHERS[name]})
    there = f"{TITLES[name]} {OTHERS[name]} (here {getattr(HERE, name)})"
    assert other.differences(HERE) == [there]
    assert HERE.differences(HERE) == []


def test_a_model_is_its_file_and_the_files_with_its_weights(tmp_path, tiny):
    onnx = pytest.importorskip("onnx")
    path = tmp_path / "m.onnx"
    path.write_bytes(tiny.path.read_bytes())
    assert model_digest(path) == tiny.space
    onnx.save(
        onnx.load(str(path)),
        str(path),
        save_as_external_data=True,
        location="w.bin",
        size_threshold=0,
    )
    before = model_digest(path)
    weights = bytearray((tmp_path / "w.bin").read_bytes())
    weights[0] ^= 1
    (tmp_path / "w.bin").write_bytes(weights)
    assert model_digest(path) != before
    (tmp_path / "w.bin").unlink()
    with pytest.raises(BundleError, match=r"cannot read .*w\.bin: No such file"):
        model_digest(path)
    with pytest.raises(BundleError, match=r"cannot read .*x\.onnx"):
        model_digest(tmp_path / "x.onnx")


# Store and read ----------------------------------------------------------------------------------


def test_what_is_stored_is_read(shelf, stored):
    assert shelf.get(HERE) == stored
    assert shelf.read(stored) == PLAN
    content = hashlib.sha256(PLAN).hexdigest()
    assert stored.path == shelf.folder / f"{HERE.digest}-{content[:8]}.plan"
    assert (stored.size, stored.built_ns, stored.about) == (len(PLAN), 5, {"model": "street"})
    assert {path.suffix for path in shelf.folder.iterdir()} == {".plan", ".json"}
    assert shelf.get(replace(HERE, workspace=2)) is None


def test_only_the_owner_may_read_engines(shelf, stored):
    assert shelf.folder.stat().st_mode & 0o777 == 0o700
    assert stored.path.stat().st_mode & 0o777 == 0o600


def test_the_newest_that_fits_is_found(shelf, stored):
    assert shelf.find(replace(HERE, precision="", inputs="", workspace=0)) == stored
    newer = shelf.store(replace(HERE, precision="int8"), b"newer", 7, {})
    shelf.store(replace(HERE, gpu="Orin"), b"other", 9, {})
    assert shelf.find(HERE) == newer
    assert [entry.built_ns for entry in shelf.entries()] == [9, 7, 5]


@pytest.mark.parametrize("name", OTHERS)
def test_what_does_not_fit_is_not_found_and_why_is_said(shelf, stored, name):
    here = replace(HERE, **{name: OTHERS[name]})
    if name in CHOICES:
        assert shelf.find(here) == stored
        return
    assert shelf.find(here) is None
    says = shelf.explain(here, "street")
    if name == "model":
        assert says.endswith("was built from another file of that name")
        assert shelf.explain(here, "road").startswith("no TensorRT engine of model 'road' is in")
        return
    start = f"the TensorRT engine of model 'street' in {shelf.folder} is for {TITLES[name]} "
    assert says == f"{start}{getattr(HERE, name)} (here {OTHERS[name]})"


def test_the_nearest_engine_explains(shelf, stored):
    shelf.store(replace(HERE, version="8.5.2", gpu="Orin", capability="8.7"), PLAN, 9, {})
    here = replace(HERE, version="10.4.0", precision="fp32")
    assert shelf.explain(here, "street").endswith("is for TensorRT 10.3.0 (here 10.4.0)")


def test_an_empty_or_missing_folder(tmp_path):
    shelf = EngineCache(tmp_path / "none")
    assert shelf.entries() == []
    assert shelf.find(HERE) is None
    assert (
        shelf.explain(HERE, "street")
        == f"no TensorRT engine of model 'street' is in {shelf.folder}"
    )
    assert not shelf.folder.exists()


def test_where_it_is(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_cache({}) == tmp_path / ".cache" / "owseg" / "engines"
    assert default_cache({"XDG_CACHE_HOME": "relative"}) == default_cache({})
    assert default_cache({"XDG_CACHE_HOME": "/x"}) == Path("/x/owseg/engines")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "c"))
    assert EngineCache().folder == tmp_path / "c" / "owseg" / "engines"


def test_replacing_one_leaves_nothing_else(shelf, stored):
    newer = shelf.store(HERE, b"newer", 6, {})
    assert newer.path != stored.path
    assert {path.name for path in shelf.folder.iterdir()} == {
        newer.path.name,
        description(newer).name,
    }


def test_a_writer_that_dies_half_way_leaves_the_old_one(shelf, stored, monkeypatch):
    real, calls = module.os.replace, []

    def die(source, target):
        calls.append(target)
        if len(calls) == 2:
            raise KeyboardInterrupt  # between the engine and its description
        real(source, target)

    monkeypatch.setattr(module.os, "replace", die)
    with pytest.raises(KeyboardInterrupt):
        shelf.store(HERE, b"newer", 6, {})
    monkeypatch.undo()
    assert shelf.find(HERE) == stored
    assert shelf.read(stored) == PLAN
    assert len(list(shelf.folder.glob("*.plan"))) == 2
    with shelf.lock(HERE):
        assert [path.name for path in shelf.folder.glob("*.plan")] == [stored.path.name]
    assert shelf.read(stored) == PLAN


def test_pieces_of_killed_writers_go_with_the_next_build(shelf, stored):
    piece = shelf.folder / f".{HERE.digest[:16]}-abc"
    other = shelf.folder / f".{'f' * 16}-abc"
    for path in (piece, other):
        path.write_bytes(b"half")
    with shelf.lock(HERE):
        assert not piece.exists()
        assert other.exists()


@pytest.mark.parametrize("name", ["timing-0123456789abcdef.bin", "timing-fedcba9876543210.bin"])
def test_pieces_of_measurements_go_with_the_next_build_of_any_engine(shelf, name):
    piece = shelf.folder / f".{name[:16]}-abc"
    piece.write_bytes(b"half")
    shelf.write_timing(HERE, b"measured")
    with shelf.lock(replace(HERE, model="c" * 64)):
        assert not piece.exists()
    assert shelf.read_timing(HERE) == b"measured"


def test_measurements_that_are_being_written_stay(shelf, monkeypatch):
    real, pieces = os.replace, []

    def replace_late(source, target):
        other = EngineCache(shelf.folder)
        with other.lock(replace(HERE, model="c" * 64)):
            pieces.extend(shelf.folder.glob(".timing-*"))
        real(source, target)

    monkeypatch.setattr(os, "replace", replace_late)
    shelf.write_timing(HERE, b"measured")
    assert len(pieces) == 1
    assert shelf.read_timing(HERE) == b"measured"


def test_a_description_names_a_file_of_the_folder_only(shelf, stored, tmp_path):
    raw = json.loads(description(stored).read_text())
    (tmp_path / "evil.plan").write_bytes(PLAN)
    description(stored).write_text(json.dumps({**raw, "plan": "../evil.plan"}))
    found = shelf.get(HERE)
    assert found.path == shelf.folder / "evil.plan"
    with pytest.raises(EngineError, match="cannot read"):
        shelf.read(found)


# Damage ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda plan: plan[:-1], f"is truncated ({len(PLAN) - 1} of {len(PLAN)} bytes)"),
        (lambda plan: b"", f"is truncated (0 of {len(PLAN)} bytes)"),
        (lambda plan: b"\xff" + plan[1:], f"is damaged ({len(PLAN)} of {len(PLAN)} bytes)"),
    ],
)
def test_a_damaged_engine_is_refused(shelf, stored, change, says):
    stored.path.write_bytes(change(PLAN))
    with pytest.raises(EngineError) as failure:
        shelf.read(stored)
    assert str(failure.value) == f"the engine file {stored.path} {says}; {module.REBUILD}"


def test_an_engine_that_is_gone(shelf, stored):
    stored.path.unlink()
    with pytest.raises(EngineError, match=r"cannot read .*\.plan: No such file .*; build it again"):
        shelf.read(stored)


def test_an_engine_that_was_replaced_meanwhile(shelf, stored):
    shelf.store(HERE, b"newer", 6, {})
    assert shelf.read(stored) == b"newer"


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"key": 3}', '{"key": {}}', "null", '{"key": null, "size": 1}', "\xff"],
)
def test_damaged_descriptions_are_left_out(shelf, stored, text):
    shelf.store(replace(HERE, precision="fp32"), PLAN, 1, {})
    description(stored).write_text(text, encoding="latin-1")
    assert [entry.key.precision for entry in shelf.entries()] == ["fp32"]
    assert shelf.get(HERE) is None


def test_a_description_of_something_else_is_left_out(shelf, stored):
    path = description(stored)
    raw = json.loads(path.read_text())
    raw["key"]["gpu"] = "Orin"
    path.write_text(json.dumps(raw))
    assert shelf.entries() == []


# Trust -------------------------------------------------------------------------------------------


def test_a_folder_that_everybody_may_write_is_not_trusted(shelf, stored):
    shelf.folder.chmod(0o777)
    with pytest.raises(EngineError, match=r"everybody may write .*engines, .* chmod o-w"):
        shelf.read(stored)
    with pytest.raises(EngineError, match="everybody may write"):
        shelf.prepare(1)
    assert shelf.read_timing(HERE) == b""


def test_an_engine_that_everybody_may_write_is_not_trusted(shelf, stored):
    stored.path.chmod(0o666)
    with pytest.raises(EngineError, match=r"everybody may write .*\.plan, and an engine is code"):
        shelf.read(stored)


def test_an_engine_of_another_user_is_not_trusted(shelf, stored, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 4321)
    if shelf.folder.stat().st_uid == 0:
        assert shelf.read(stored) == PLAN  # root could change everything anyway
        os.chown(stored.path, 4321, -1)
        assert shelf.read(stored) == PLAN
        os.chown(stored.path, 1234, -1)
    with pytest.raises(EngineError, match="belongs to another user, and an engine is code"):
        shelf.read(stored)


# Places that cannot be written -------------------------------------------------------------------


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot write into the engine cache .*; choose another"):
        EngineCache(tmp_path / "file" / "engines").prepare(1)


def test_a_folder_that_cannot_be_written(shelf, monkeypatch):
    def refuse(**options):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(module.tempfile, "TemporaryFile", refuse)
    with pytest.raises(OutputError, match=r"cache .*: Read-only file system; .* --cache, or set"):
        shelf.prepare(1)


def test_a_disk_that_is_too_full(shelf):
    with pytest.raises(OutputError, match=r"only \d+ MB are free .*, about 1000000000 MB are need"):
        shelf.prepare(10**15)


def test_a_disk_that_fills_up(shelf, stored, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.os, "fsync", full)
    with pytest.raises(OutputError, match=r"\(0 MB\): No space left on device; free some space"):
        shelf.store(HERE, b"newer", 6, {})
    monkeypatch.undo()
    assert shelf.get(HERE) == stored
    assert shelf.read(stored) == PLAN
    assert {path.suffix for path in shelf.folder.iterdir()} == {".plan", ".json"}


def test_a_disk_without_room_for_a_file(shelf, stored, monkeypatch):
    def full(*arguments, **more):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.tempfile, "mkstemp", full)
    with pytest.raises(OutputError, match=r"cannot write .*\.plan \(0 MB\): No space left"):
        shelf.store(HERE, b"newer", 6, {})
    assert shelf.read(stored) == PLAN


def test_a_lock_that_cannot_be_made(shelf):
    (shelf.folder / f"{HERE.digest}.lock").mkdir()
    says = r"cannot write .*\.lock: Is a directory; free"
    with pytest.raises(OutputError, match=says), shelf.lock(HERE):
        pass


def test_a_file_system_without_locks_is_no_obstacle(shelf, monkeypatch):
    fcntl = pytest.importorskip("fcntl")

    def none(file, how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    piece = shelf.folder / ".timing-012345678-abc"
    piece.write_bytes(b"half")
    with shelf.lock(HERE):
        shelf.store(HERE, PLAN, 1, {})
        shelf.write_timing(HERE, b"measured")
    assert shelf.read(shelf.get(HERE)) == PLAN
    assert shelf.read_timing(HERE) == b"measured"
    assert piece.exists()  # who knows whether somebody is writing it


def test_measurements(shelf, monkeypatch):
    assert shelf.read_timing(HERE) == b""
    shelf.write_timing(HERE, b"measured")
    same = replace(HERE, model="c" * 64, precision="fp32", inputs="", workspace=3)
    assert shelf.read_timing(same) == b"measured"
    for name in ("gpu", "capability", "version", "flavour"):
        assert shelf.read_timing(replace(HERE, **{name: OTHERS[name]})) == b""
    monkeypatch.setattr(module.os, "replace", lambda *paths: (_ for _ in ()).throw(OSError(28, "")))
    shelf.write_timing(HERE, b"more")
    monkeypatch.undo()
    assert shelf.read_timing(HERE) == b"measured"


# Other processes ---------------------------------------------------------------------------------

LOCKS = """
    import sys, time
    from pathlib import Path
    from owseg.engines.cache import EngineCache
    from owseg.engines.cache_key import key_from
    import json

    shelf, key = EngineCache(Path(sys.argv[1])), key_from(json.loads(sys.argv[2]))
    with shelf.lock(key):
        print("locked", flush=True)
        time.sleep(float(sys.argv[3]))
        if len(sys.argv) > 4:
            shelf.store(key, b"theirs", 1, {})
"""


def other_process(shelf, *argv):
    words = [textwrap.dedent(LOCKS), str(shelf.folder), json.dumps(asdict(HERE)), *argv]
    child = subprocess.Popen([sys.executable, "-c", *words], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "locked\n"
    return child


def test_two_processes_do_not_build_the_same_engine(shelf):
    child = other_process(shelf, "0.3", "store")
    said = []
    with child, shelf.lock(HERE, lambda: said.append("waiting")):
        assert said == ["waiting"]
        found = shelf.get(HERE)
        assert found is not None
        assert shelf.read(found) == b"theirs"


def test_a_killed_process_leaves_no_lock(shelf):
    child = other_process(shelf, "60")
    with child:
        child.kill()
        with shelf.lock(HERE):
            assert shelf.get(HERE) is None


def test_locks_of_different_engines_do_not_wait(shelf):
    child = other_process(shelf, "60")
    said = []
    with child, shelf.lock(replace(HERE, workspace=3), lambda: said.append("waiting")):
        assert said == []
        child.kill()
