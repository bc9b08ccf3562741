"""`owseg train`: help, a short run, and one clear line for each mistake."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from owseg.cli import main
from owseg_training.checkpoint import load_checkpoint


def exit_code(*argv: object) -> int:
    try:
        return main([str(a) for a in argv])
    except SystemExit as stop:
        return int(stop.code or 0)


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("train", "--help") == 0
    assert "owseg train camvid_small --root CamVid --out" in capsys.readouterr().out


def test_a_short_run(camvid_tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ("train", "camvid_tiny", "--root", camvid_tree, "--out", tmp_path)
    assert exit_code(*argv, "--steps", 1, "--seed", 3, "--truth-map", "camvid_c") == 0
    checkpoint = load_checkpoint(tmp_path / "checkpoint.pt")
    assert (checkpoint.step, checkpoint.recipe.seed) == (1, 3)
    assert "sign" not in checkpoint.class_names
    assert (tmp_path / "curves.png").is_file()
    assert "checkpoint.pt" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("camvid_tiny", "--root", "nowhere", "--out", "{tmp}/out"), "no CamVid folder at nowhere"),
        (("camvid_huge", "--root", "x", "--out", "y"), "invalid choice: 'camvid_huge'"),
        (("camvid_tiny", "--root", "x"), "--out"),
        (("camvid_tiny", "--root", "x", "--out", "y", "--steps", "0"), "at least 1, got '0'"),
        (("camvid_tiny", "--root", "x", "--out", "y", "--seed=-1"), "0 to 4294967295, got '-1'"),
        (("camvid_tiny", "--root", "x", "--out", "{tmp}/file"), "cannot create the folder"),
        (
            ("camvid_tiny", "--root", "x", "--out", "{tmp}/out", "--truth-map", "camvid_z"),
            "'camvid_z' is neither a readable file nor one of",
        ),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    options: tuple[str, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    assert exit_code("train", *(o.replace("{tmp}", str(tmp_path)) for o in options)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert message in captured.err


@pytest.mark.parametrize(
    ("module", "command"),
    [
        ("torch", "train camvid_tiny --root x --out y"),
        ("matplotlib", "train camvid_tiny --root x --out y"),
        ("torch", "export x.pt --root x --out y.onnx"),
        ("onnx", "export x.pt --root x --out y.onnx"),
    ],
)
def test_missing_package_names_the_remedy(module: str, command: str, tmp_path: Path) -> None:
    program = (
        f"import sys; sys.modules['{module}'] = None; "
        f"from owseg.cli import main; sys.exit(main({command.split()}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "pip install 'owseg_ros[train]'" in done.stderr
    assert list(tmp_path.iterdir()) == []
