"""Checkpoint files: atomic, readable without running code, and clear about what is wrong."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from owseg.errors import InputError, OutputError, UsageError
from owseg_training import checkpoint as module
from owseg_training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from owseg_training.config import Recipe

STATE = Checkpoint(
    recipe=Recipe(name="test", seed=4),
    class_names=("road", "sky"),
    step=12,
    network={"w": torch.arange(3.0)},
    average={"w": torch.arange(3.0) + 1},
    optimizer={"state": {0: {"step": torch.tensor(12.0)}}, "param_groups": [{"lr": 0.1}]},
    history={"total": [2.0, 1.5]},
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save_checkpoint(STATE, tmp_path / "checkpoint.pt")
    return tmp_path / "checkpoint.pt"


def test_round_trip(path: Path) -> None:
    back = load_checkpoint(path)
    assert (back.recipe, back.class_names, back.step) == (STATE.recipe, ("road", "sky"), 12)
    torch.testing.assert_close(back.network, STATE.network)
    torch.testing.assert_close(back.average, STATE.average)
    assert back.optimizer["param_groups"] == [{"lr": 0.1}]
    assert back.history == STATE.history


def error_of(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        load_checkpoint(path)
    text = str(caught.value)
    assert "\n" not in text
    assert path.name in text
    return text


def test_missing(tmp_path: Path) -> None:
    assert "no checkpoint at" in error_of(tmp_path / "none.pt")


@pytest.mark.parametrize("size", [0, 10, 1000])
def test_truncated(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])
    assert "truncated" in error_of(path)


def test_folder_and_foreign_file(tmp_path: Path) -> None:
    assert "not a readable checkpoint" in error_of(tmp_path)
    (tmp_path / "image.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    assert "not a readable checkpoint" in error_of(tmp_path / "image.png")


def test_a_file_with_code_in_it_is_refused_unread(tmp_path: Path) -> None:
    class Attack:
        def __reduce__(self) -> Any:
            return (Path(tmp_path / "ran").write_text, ("code ran",))

    torch.save({"format": 1, "recipe": Attack()}, tmp_path / "evil.pt")
    error_of(tmp_path / "evil.pt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [{"weights": 1}, [1, 2], {"format": 99}])
def test_other_torch_files(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "other.pt")
    assert "not a checkpoint of this version" in error_of(tmp_path / "other.pt")


@pytest.mark.parametrize(
    "content", [{"format": 1}, {"format": 1, "recipe": "{"}, {"format": 1, "recipe": "{}"}]
)
def test_missing_and_garbled_fields(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "other.pt")
    assert "lacks or garbles a field" in error_of(tmp_path / "other.pt")


def test_recipe_of_a_newer_version(tmp_path: Path) -> None:
    torch.save({"format": 1, "recipe": '{"name": "x", "moon": 1}'}, tmp_path / "new.pt")
    with pytest.raises(UsageError, match=r"unknown fields: \['moon'\]"):
        load_checkpoint(tmp_path / "new.pt")


def test_unwritable_folder(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write the checkpoint") as caught:
        save_checkpoint(STATE, tmp_path / "no" / "checkpoint.pt")
    assert "\n" not in str(caught.value)


def test_a_failed_write_keeps_the_old_checkpoint_and_no_rest(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(payload: object, target: Path) -> None:
        target.write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.torch, "save", full)
    with pytest.raises(OutputError, match="No space left"):
        save_checkpoint(replace(STATE, step=13), path)
    monkeypatch.undo()
    assert load_checkpoint(path).step == 12
    assert [p.name for p in path.parent.iterdir()] == ["checkpoint.pt"]
