"""`owseg incremental` end to end on painted images, and with bad input."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from owseg.cli import main
from owseg_training.checkpoint import load_checkpoint
from owseg_training.config import Recipe
from owseg_training.incremental import runner
from owseg_training.incremental.checkpoint import load_plm, plm_network
from owseg_training.incremental.evaluate import evaluate, with_heads
from owseg_training.incremental.protocols import PROTOCOLS
from owseg_training.recipes import RECIPES

FEW = ("ft", "plm_latest", "plm_all", "npm")  # the methods that train no network of their own


def run(*argv: object) -> int:
    try:
        return main([str(a) for a in argv])
    except SystemExit as stop:
        return int(stop.code or 0)


def arguments(root: Path, out: Path, base: Path, *more: object) -> list[object]:
    return ["incremental", "camvid_10+1", "--root", root, "--out", out, "--base", base, *more]


# What comes out --------------------------------------------------------------------------------


def test_every_cell_shot_and_model_is_written(done: Path) -> None:
    cells = {path.stem for path in (done / "cells").iterdir()}
    draws = [(shots, seed) for shots in (1, 2) for seed in (0, 3)]
    assert cells == {"base"} | {f"{m}_{n}shot_seed{s}" for m in FEW for n, s in draws}
    assert {p.name for p in (done / "shots").iterdir()} == {
        f"car_{n}shot_seed{s}.json" for n, s in draws
    }
    assert {p.name for p in (done / "models").iterdir()} == {
        f"plm_{n}shot_seed{s}.pt" for n, s in draws
    }


def test_results_follow_from_the_cells(done: Path) -> None:
    results = json.loads((done / "results.json").read_text())
    assert results["novel_classes"] == ["car"]
    assert len(results["base_classes"]) == 10
    rows = {(row["method"], row["shots"]): row for row in results["rows"]}
    assert list(rows) == [("base", 0)] + [(m, n) for n in (2, 1) for m in FEW]
    novel, per_seed = [], []
    for seed in (0, 3):
        cell = json.loads((done / "cells" / f"plm_all_2shot_seed{seed}.json").read_text())
        c = np.array(cell["confusion"])
        assert c.sum() == (3 * 64 * 96) * 11 // 12  # void counts nowhere
        novel.append(c[10, 10] / (c[10].sum() + c[:, 10].sum() - c[10, 10]))
        per_seed.append(cell["details"]["images"]["car"])
    found = rows["plm_all", 2]
    assert found["novel"]["mean"] == pytest.approx(np.mean(novel))
    assert found["novel"]["std"] == pytest.approx(np.std(novel, ddof=1))
    assert found["iou"]["car"] == pytest.approx(np.mean(novel))
    assert all(len(set(images)) == 2 for images in per_seed)
    assert rows["base", 0]["novel"]["mean"] is None


def test_the_saved_model_gives_the_figures_of_its_cell(done: Path, camvid_tree: Path) -> None:
    path = done / "models" / "plm_1shot_seed3.pt"
    checkpoint = load_plm(path)
    protocol = PROTOCOLS["camvid_10+1"]
    metrics = evaluate(
        [with_heads(plm_network(checkpoint, path))],
        runner.open_dataset("camvid", camvid_tree, "val"),
        protocol.truth,
        protocol.names,
        (64, 96),
        torch.device("cpu"),
        "again",
    )
    for method in ("plm_latest", "plm_all"):
        cell = json.loads((done / "cells" / f"{method}_1shot_seed3.json").read_text())
        found, expected = metrics[method].confusion, np.array(cell["confusion"])
        assert np.abs(found - expected).sum() <= 0.002 * expected.sum()
    shots = json.loads((done / "shots" / "car_1shot_seed3.json").read_text())
    assert list(checkpoint.shots[0].images) == shots["images"]
    assert checkpoint.config.steps == 2


def test_the_old_rows_of_plm_all_change_only_where_the_head_claims(done: Path) -> None:
    base = np.array(json.loads((done / "cells" / "base.json").read_text())["confusion"])
    after = json.loads((done / "cells" / "plm_all_1shot_seed0.json").read_text())["confusion"]
    gained = np.array(after) - base
    assert (gained[:, :10] <= 0).all()
    np.testing.assert_array_equal(gained[:, 10], -gained[:, :10].sum(axis=1))


def test_table_and_picture(done: Path) -> None:
    lines = (done / "table.md").read_text().splitlines()
    assert lines[0].split("|")[2].strip() == "sky"
    assert lines[0].count("|") == lines[1].count("|") == lines[2].count("|") == 11 + 5 + 2
    assert [line.split("|")[1].strip() for line in lines[2:11]] == [
        "base",
        *(
            f"{t}, {n}"
            for n in ("2 shots", "1 shot")
            for t in ("FT", "PLM_latest", "PLM_all", "NPM")
        ),
    ]
    assert re.search(r"\d+\.\d ± \d+\.\d", lines[5])
    assert "draws of the shots" in lines[-1]
    picture = cv2.imread(str(done / "table.png"))
    assert picture is not None
    assert min(picture.shape[:2]) > 300


# Three classes, and networks that are trained on the way ----------------------------------------


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch, tiny: Callable[..., Recipe]) -> None:
    """Make the recipe camvid_tiny take two steps."""
    recipe = tiny(steps=2, checkpoint_every=1)
    monkeypatch.setitem(RECIPES, "camvid_tiny", lambda: replace(recipe, name="camvid_tiny"))


def test_base_and_upper_bound_are_trained_and_three_classes_learnt_in_turn(
    short: None, camvid_tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv: list[Any] = ["incremental", "camvid_8+3", "--root", camvid_tree, "--out", tmp_path]
    argv += ["--recipe", "camvid_tiny", "--shots", 2, "--seeds", 1, "--steps", 2]
    assert run(*argv) == 0
    base, upper = (load_checkpoint(tmp_path / n / "checkpoint.pt") for n in ("base", "upper"))
    assert (len(base.class_names), len(upper.class_names)) == (8, 11)
    assert base.recipe.data.truth_map == "camvid_b"
    plm = load_plm(tmp_path / "models" / "plm_2shot_seed1.pt")
    assert plm.class_names[8:] == ("car", "pedestrian", "bicyclist")
    rows = json.loads((tmp_path / "results.json").read_text())["rows"]
    assert [row["method"] for row in rows] == ["upper", "base", "ft", *FEW[1:]]
    assert all(row["novel"]["std"] is None for row in rows)
    assert "upper bound" in capsys.readouterr().out

    assert run(*argv, "--recipe", "camvid_fast_scnn") == 2
    assert "was trained by another recipe than 'camvid_fast_scnn'" in one_line(capsys)

    times = {n: (tmp_path / n / "checkpoint.pt").stat().st_mtime_ns for n in ("base", "upper")}
    assert run(*argv) == 0
    assert times == {n: (tmp_path / n / "checkpoint.pt").stat().st_mtime_ns for n in times}


def test_an_interrupted_training_of_the_base_is_continued(
    short: None,
    camvid_tree: Path,
    tmp_path: Path,
    tiny: Callable[..., Recipe],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from owseg_training import loop

    steps = []

    def stop(state: Any, path: Path) -> None:
        saved(state, path)
        if state.step >= 1:
            raise KeyboardInterrupt

    saved = loop.save_checkpoint
    argv: list[Any] = ["incremental", "camvid_10+1", "--root", camvid_tree, "--out", tmp_path]
    argv += ["--recipe", "camvid_tiny", "--shots", 1, "--seeds", 0, "--steps", 1]
    argv += ["--methods", "npm"]
    with monkeypatch.context() as patch:
        patch.setattr(loop, "save_checkpoint", stop)
        assert run(*argv) == 130
    steps.append(load_checkpoint(tmp_path / "base" / "checkpoint.pt").step)
    assert run(*argv) == 0
    steps.append(load_checkpoint(tmp_path / "base" / "checkpoint.pt").step)
    assert steps == [1, 2]


def test_the_upper_bound_is_mapped_by_names(
    camvid_tree: Path,
    base_checkpoint: Path,
    tmp_path: Path,
    write_checkpoint: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Its ids are those of CamVid, with car between fence and pedestrian."""
    upper = write_checkpoint(tmp_path / "upper.pt", "camvid")
    options = ("--shots", 1, "--seeds", 0, "--methods", "upper", "--upper", upper)
    out = tmp_path / "out"
    assert run(*arguments(camvid_tree, out, base_checkpoint, *options)) == 0
    cell = json.loads((out / "cells" / "upper.json").read_text())
    checkpoint = load_checkpoint(upper)
    network = runner.base_network(checkpoint, upper)
    predicted = np.zeros(11, int)
    for sample in runner.open_dataset("camvid", camvid_tree, "val"):
        image, labels = sample.load()
        with torch.no_grad():
            x = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
            f = torch.nn.functional.interpolate(network(x).embedding, (64, 96), mode="bilinear")
        ids = f.argmax(dim=1)[0].numpy()[labels != 11]
        predicted += np.bincount(ids, minlength=11)
    by_name = dict(zip(checkpoint.class_names, predicted.tolist(), strict=True))
    assert len([n for n in by_name.values() if n]) > 6
    columns = np.array(cell["confusion"]).sum(axis=0)
    assert dict(zip(cell["classes"], columns.tolist(), strict=False)) == by_name

    other = write_checkpoint(tmp_path / "other.pt", "camvid", seed=1)
    options = (*options[:-1], other)
    capsys.readouterr()
    assert run(*arguments(camvid_tree, out, base_checkpoint, *options)) == 2
    assert "holds the result of another upper bound than" in one_line(capsys)


# What can be wrong -----------------------------------------------------------------------------


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    said = [line for line in captured.err.splitlines() if line.startswith("owseg: ")]
    assert len(said) == 1
    assert captured.err.rstrip().endswith(said[0])
    assert "Traceback" not in captured.err
    return said[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("camvid_9+2",), "no protocol 'camvid_9+2'; there are camvid_10+1, camvid_8+3, "),
        (("camvid_10+1", "--base", "{tmp}/none.pt"), "no checkpoint at"),
        (("camvid_10+1", "--base", "{tmp}/text.pt"), "is not a readable checkpoint"),
        (("camvid_10+1", "--base", "{tmp}/full.pt"), "was trained with car, which camvid_10+1"),
        (("camvid_8+3", "--base", "{base}"), "trained with pedestrian and bicyclist, which"),
        (("camvid_10+1", "--base", "{tmp}/fewer.pt"), "camvid_10+1 starts with sky, building"),
        (("camvid_10+1", "--base", "{tmp}/softmax.pt"), "has a softmax head"),
        (("camvid_10+1", "--base", "{base}", "--shots", "4"), "4 shots of 'car' wanted, but"),
        (("camvid_10+1", "--base", "{base}", "--shots", "0"), "at least 1, got '0'"),
        (("camvid_10+1", "--base", "{base}", "--seeds", "-1"), "--seeds"),
        (("camvid_10+1", "--base", "{base}", "--seeds", "2", "2"), "--seeds names a value twice"),
        (("camvid_10+1", "--base", "{base}", "--methods", "magic"), "no method 'magic'; there"),
        (
            ("camvid_10+1", "--base", "{base}", "--methods", "upper", "--upper", "{base}"),
            "camvid_10+1 needs all of",
        ),
        (("camvid_10+1", "--recipe", "huge"), "no recipe 'huge'; there are"),
        (("camvid_10+1", "--recipe", "camvid_softmax"), "recipe 'camvid_softmax' has a softmax"),
        (
            ("camvid_10+1", "--base", "{base}", "--methods", "npm", "--upper", "{tmp}/none.pt"),
            "no checkpoint at",
        ),
        (
            ("camvid_10+1", "--base", "{base}", "--shot-manifests", "{tmp}"),
            "is not a readable shot manifest",
        ),
        (("cityscapes_16+1", "--base", "{base}"), "is no Cityscapes folder"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    options: tuple[str, ...],
    message: str,
    camvid_tree: Path,
    base_checkpoint: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    write_checkpoint: Callable[..., Path],
) -> None:
    (tmp_path / "text.pt").write_text("not a checkpoint")
    for name, truth_map, head in (
        ("full", "camvid", "metric"),
        ("fewer", "camvid_b", "metric"),
        ("softmax", "camvid_a", "softmax"),
    ):
        if f"{name}.pt" in " ".join(options):
            write_checkpoint(tmp_path / f"{name}.pt", truth_map, head)
    filled = [option.format(tmp=tmp_path, base=base_checkpoint) for option in options]
    common = ["--root", camvid_tree, "--out", tmp_path / "out"]
    shots = [] if "--shots" in options else ["--shots", 1]
    assert run("incremental", *filled, *common, *shots) == 2
    assert message in one_line(capsys)
    assert not list((tmp_path / "out").glob("*/*"))


def test_the_upper_bound_must_not_lack_its_data(
    camvid_tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("incremental", "camvid_10+1", "--root", tmp_path / "x", "--out", tmp_path / "o") == 2
    assert "no CamVid folder at" in one_line(capsys)


def test_help_and_summary(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("incremental", "--help") == 0
    assert "owseg incremental camvid_10+1 --root CamVid --out" in capsys.readouterr().out
    assert run("--help") == 0
    assert "learn classes from a few images and compare" in capsys.readouterr().out


def test_missing_torch_names_the_remedy(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['torch'] = None; from owseg.cli import main; "
        "sys.exit(main('incremental camvid_10+1 --root x --out y'.split()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "pip install 'owseg_ros[train]'" in done.stderr
