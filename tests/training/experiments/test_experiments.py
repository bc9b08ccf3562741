"""What experiments share: options, tables, settings of a folder, networks trained once."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from owseg.cli import main
from owseg.errors import InputError, OutputError, UsageError
from owseg_training import loop
from owseg_training.checkpoint import load_checkpoint
from owseg_training.config import Recipe
from owseg_training.experiments import runs
from owseg_training.experiments.options import (
    add_comparison_arguments,
    chosen,
    each_once,
    seed_int,
)
from owseg_training.experiments.settings import check_settings, note_settings
from owseg_training.experiments.spread import percent, spread
from owseg_training.experiments.text import markdown_table, text_table, write_text
from owseg_training.recipes import get_recipe


def test_options() -> None:
    assert (seed_int("0"), seed_int("4294967295")) == (0, 2**32 - 1)
    for text in ("-1", "1.5", "x", "", "4294967296"):
        with pytest.raises(argparse.ArgumentTypeError, match="whole number from 0 to 4294967295"):
            seed_int(text)
    assert each_once([3, 1], "--seeds") == (3, 1)
    with pytest.raises(UsageError, match="--seeds names a value twice: 3 1 3"):
        each_once([3, 1, 3], "--seeds")
    known = ("a", "b", "c")
    assert chosen(None, known, "method") == known
    assert chosen(["c", "a"], known, "method") == ("a", "c")
    with pytest.raises(UsageError, match="no method 'd'; there are a, b, c"):
        chosen(["a", "d"], known, "method")


def test_a_comparison_is_chosen_alike_everywhere() -> None:
    parser = argparse.ArgumentParser()
    add_comparison_arguments(parser, "a, b", "x, y (default: all)", "the networks")
    given = parser.parse_args(["a", "--root", "r", "--out", "o"])
    assert (given.seeds, given.methods, given.recipe) == ([0, 1, 2], None, None)
    words = ["a", "--root", "r", "--out", "o", "--methods", "x", "y", "--seeds", "7", "3"]
    given = parser.parse_args([*words, "--recipe", "own"])
    assert (given.protocol, given.root, given.out) == ("a", Path("r"), Path("o"))
    assert (given.methods, given.seeds, given.recipe) == (["x", "y"], [7, 3], "own")
    text = " ".join(parser.format_help().split())
    assert "of x, y (default: all)" in text
    assert "recipe of the networks (default: by protocol)" in text


@pytest.mark.parametrize(
    ("command", "arguments"),
    [("goss", ("camvid_a",)), ("incremental", ("camvid_10+1",))],
)
def test_without_torch_there_is_one_clear_line(
    command: str,
    arguments: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, f"owseg_training.{command}.runner", None)
    assert main([command, *arguments, "--root", "r", "--out", "o"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"owseg: owseg {command} needs torch (import of owseg_training")
    assert line.endswith("pip install 'owseg_ros[train]'")


def test_figures_in_percent() -> None:
    assert (percent(0.12345), percent(None)) == ("12.3", "-")
    assert spread(0.5, 0.012) == "50.0 ± 1.2"
    assert (spread(0.5, None), spread(None, None)) == ("50.0", "-")


def test_tables() -> None:
    header, rows = ["what", "how", "much"], [["a", "longer", "1.0"], ["bb", "b", "10.0"]]
    assert markdown_table(header, rows, text_columns=2).splitlines() == [
        "| what | how | much |",
        "|---|---|---:|",
        "| a | longer | 1.0 |",
        "| bb | b | 10.0 |",
    ]
    assert text_table(header, rows, text_columns=2).splitlines() == [
        "what  how     much",
        "a     longer   1.0",
        "bb    b       10.0",
    ]


def test_text_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"cannot write .*missing"):
        write_text("x", tmp_path / "missing" / "table.md")


def test_settings_of_a_folder(tmp_path: Path) -> None:
    settings = {"protocol": "a", "seeds": (1, 2)}
    assert check_settings(tmp_path, settings) == {}
    note_settings(tmp_path, settings)
    assert check_settings(tmp_path, settings) == {"protocol": "a", "seeds": [1, 2]}
    assert check_settings(tmp_path, {**settings, "new": 1})["protocol"] == "a"
    with pytest.raises(UsageError, match="another protocol and seeds; choose another --out"):
        check_settings(tmp_path, {"protocol": "b", "seeds": [1]})
    (tmp_path / "settings.json").write_text("[1")
    with pytest.raises(InputError, match=r"settings\.json is not readable"):
        check_settings(tmp_path, settings)


def test_a_recipe_written_before_a_field_existed_still_fits(tmp_path: Path) -> None:
    recipe = get_recipe("camvid_tiny")
    old = recipe.to_dict()
    del old["loss"]["dce"]
    note_settings(tmp_path, {"recipe": old})
    assert "dce" not in check_settings(tmp_path, {"recipe": recipe.to_dict()})["recipe"]["loss"]
    other = replace(recipe, seed=1).to_dict()
    with pytest.raises(UsageError, match="another recipe"):
        check_settings(tmp_path, {"recipe": other})
    note_settings(tmp_path, {"recipe": {"nothing": 1}})
    with pytest.raises(UsageError, match="another recipe"):
        check_settings(tmp_path, {"recipe": recipe.to_dict()})


def test_a_network_is_trained_once_and_continued(
    tiny: Callable[..., Recipe],
    camvid_tree: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = tiny(steps=2, checkpoint_every=1)
    path = runs.trained(recipe, camvid_tree, tmp_path)
    assert json.dumps(load_checkpoint(path).recipe.to_dict()) == json.dumps(recipe.to_dict())
    with pytest.raises(UsageError, match="was trained by another recipe than 'camvid_tiny'"):
        runs.trained(replace(recipe, seed=1), camvid_tree, tmp_path)
    calls = []
    monkeypatch.setattr(loop, "train", lambda *a, **options: calls.append(options) or path)
    assert runs.trained(recipe, camvid_tree, tmp_path) == path
    assert calls == []
    checkpoint = replace(load_checkpoint(path), step=1)
    loop.save_checkpoint(checkpoint, path)
    runs.trained(recipe, camvid_tree, tmp_path)
    assert calls == [{"resume": True}]
