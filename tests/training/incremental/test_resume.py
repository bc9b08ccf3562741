"""Runs of `owseg incremental` that are continued, repeated, or mixed up with others."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from owseg.cli import main
from owseg_training.incremental import draws, runner

ALL = ("--shots", 1, 2, "--seeds", 0, 3, "--steps", 2, "--methods", "ft", "plm_latest", "plm_all")
ONE = ("--shots", 1, "--seeds", 0, "--steps", 2, "--methods", "npm")

Continue = Callable[..., int]
OneLine = Callable[[], str]


@pytest.fixture
def out(done: Path, tmp_path: Path) -> Path:
    """Give a copy of a finished run."""
    return Path(shutil.copytree(done, tmp_path / "copy"))


@pytest.fixture
def go_on(camvid_tree: Path, base_checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> Continue:
    """Give a function that runs the command in a folder: (out, options, base=...)."""

    def call(out: Path, *options: object, base: Path = base_checkpoint, root: Any = None) -> int:
        capsys.readouterr()
        folders = ["--root", root or camvid_tree, "--out", out, "--base", base]
        return main([str(a) for a in ("incremental", "camvid_10+1", *folders, *options)])

    return call


@pytest.fixture
def one_line(capsys: pytest.CaptureFixture[str]) -> OneLine:
    """Give a function that returns the one line of explanation."""

    def call() -> str:
        err = capsys.readouterr().err
        said = [line for line in err.splitlines() if line.startswith("owseg: ")]
        assert len(said) == 1
        assert "Traceback" not in err
        return said[0]

    return call


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where any work is done."""

    def never(*_: object) -> None:
        raise AssertionError("work is done")

    for name in ("learn_class", "fine_tune", "learn_prototypes", "evaluate"):
        monkeypatch.setattr(runner, name, never)
    monkeypatch.setattr(draws, "class_shares", never)


# Continued --------------------------------------------------------------------------------------


def test_finished_cells_are_not_run_again(
    out: Path, go_on: Continue, idle: None, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (out / "table.md").read_text()
    assert go_on(out, *ALL, "npm") == 0
    assert (out / "table.md").read_text() == before
    assert "PLM_all, 2 shots" in capsys.readouterr().out


def test_a_missing_cell_is_run_again_and_nothing_else(
    out: Path, go_on: Continue, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (out / "table.md").read_text()
    (out / "cells" / "npm_2shot_seed3.json").unlink()

    def never(*_: object) -> None:
        raise AssertionError("work is done again")

    trained: list[str] = []
    real = runner.learn_prototypes
    monkeypatch.setattr(runner, "learn_class", never)
    monkeypatch.setattr(runner, "fine_tune", never)
    monkeypatch.setattr(runner, "learn_prototypes", lambda *a: (trained.append("npm"), real(*a))[1])
    assert go_on(out, *ALL, "npm") == 0
    assert trained == ["npm"]
    assert (out / "table.md").read_text() == before


def other_shot(folder: Path, run: Path) -> tuple[Path, list[str]]:
    """Write another manifest of one shot, seed 0, than that of a run."""
    folder.mkdir()
    raw = json.loads((run / "shots" / "car_1shot_seed0.json").read_text())
    raw["images"] = [({f"painted_{i}" for i in range(3)} - set(raw["images"])).pop()]
    (folder / "car_1shot_seed0.json").write_text(json.dumps(raw))
    return folder, raw["images"]


def test_a_run_is_repeated_from_its_shot_manifests(
    done: Path, go_on: Continue, tmp_path: Path
) -> None:
    given, images = other_shot(tmp_path / "given", done)
    out = tmp_path / "out"
    for _ in range(2):
        assert go_on(out, *ONE, "--shot-manifests", given) == 0
        cell = json.loads((out / "cells" / "npm_1shot_seed0.json").read_text())
        assert cell["details"]["images"]["car"] == images
    name = "car_1shot_seed0.json"
    assert json.loads((out / "shots" / name).read_text()) == json.loads((given / name).read_text())


# Mixed up ---------------------------------------------------------------------------------------


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_a_folder_is_not_shared_by_different_bases_or_settings(
    out: Path,
    go_on: Continue,
    one_line: OneLine,
    tmp_path: Path,
    write_checkpoint: Callable[..., Path],
    idle: None,
) -> None:
    other = write_checkpoint(tmp_path / "other.pt", "camvid_a", seed=1)
    before = contents(out)
    fresh = ("--shots", 1, "--seeds", 5, "--methods", "npm")  # shots that were not drawn yet
    assert go_on(out, *fresh, "--steps", 2, base=other) == 2
    assert "holds results with another base" in one_line()
    assert go_on(out, *fresh, "--steps", 3) == 2
    assert "holds results with another config" in one_line()
    assert contents(out) == before


def test_a_folder_is_not_shared_by_different_data(
    out: Path, go_on: Continue, one_line: OneLine, camvid_tree: Path, tmp_path: Path, idle: None
) -> None:
    less = Path(shutil.copytree(camvid_tree, tmp_path / "less"))
    split = less / "splits" / "val.txt"
    split.write_text("".join(split.read_text().splitlines(keepends=True)[:-1]))
    before = contents(out)
    assert go_on(out, *ONE, root=less) == 2
    assert "holds results with another data set" in one_line()
    assert contents(out) == before


def test_results_of_before_the_data_were_noted_can_be_continued(
    out: Path, go_on: Continue, idle: None
) -> None:
    settings = json.loads((out / "settings.json").read_text())
    del settings["data set"]
    (out / "settings.json").write_text(json.dumps(settings))
    assert go_on(out, *ONE) == 0


def test_other_shots_than_those_of_the_run_are_refused(
    out: Path, go_on: Continue, one_line: OneLine, tmp_path: Path, idle: None
) -> None:
    given, _ = other_shot(tmp_path / "given", out)
    before = contents(out)
    assert go_on(out, *ONE, "--shot-manifests", given) == 2
    said = one_line()
    assert f"{out / 'shots' / 'car_1shot_seed0.json'} has other shots than " in said
    assert "choose another --out" in said
    assert contents(out) == before


def test_a_cell_of_other_shots_is_refused(
    out: Path, go_on: Continue, one_line: OneLine, tmp_path: Path, idle: None
) -> None:
    given, _ = other_shot(tmp_path / "given", out)
    shutil.copy(given / "car_1shot_seed0.json", out / "shots")
    assert go_on(out, *ONE) == 2
    said = one_line()
    assert f"{out / 'cells' / 'npm_1shot_seed0.json'} came from other shots than" in said
    assert "remove it, and it is run again" in said


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda raw: '{"schema": 1', "is not a readable result"),
        (lambda raw: json.dumps(raw | {"seed": 3}), "is the result of npm, 1 shot, seed 3"),
        (lambda raw: json.dumps(raw | {"method": "ft"}), "is the result of ft, 1 shot, seed 0"),
        (lambda raw: json.dumps(raw | {"classes": raw["classes"][::-1]}), "is about the classes"),
        (lambda raw: json.dumps(raw | {"confusion": [[1]]}), "a confusion matrix of shape (1, 1)"),
        (lambda raw: json.dumps(raw | {"details": 3}), "is not a readable result"),
    ],
)
def test_a_damaged_cell_is_found_before_anything_is_run(
    damage: Callable[[Any], str],
    says: str,
    out: Path,
    go_on: Continue,
    one_line: OneLine,
    idle: None,
) -> None:
    path = out / "cells" / "npm_1shot_seed0.json"
    path.write_text(damage(json.loads(path.read_text())))
    before = contents(out)
    options = ("--shots", 1, "--seeds", 0, 5, "--steps", 2, "--methods", "npm")
    assert go_on(out, *options) == 2
    said = one_line()
    assert says in said
    assert "remove it, and it is run again" in said
    assert contents(out) == before
