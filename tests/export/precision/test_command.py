"""`owseg export --precision`: real runs, exit codes, and one line for each mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from owseg.bundle import load_bundle
from owseg.cli import main

GENEROUS = ("--max-miou-loss", "100", "--max-auroc-loss", "100", "--max-fpr95-rise", "100")


def exit_code(*argv: object) -> int:
    return main(["export", *(str(a) for a in argv)])


def test_a_checkpoint_in_int8(checkpoint: Path, camvid_tree: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "new" / "int8.onnx"
    options = ("--root", camvid_tree, "--out", out, "--precision", "int8", *GENEROUS)
    assert exit_code(checkpoint, *options, "--score", "mixture", "--calibration-images", 2) == 0
    manifest = load_bundle(out).manifest
    assert (manifest.precision, manifest.score["method"]) == ("int8", "mixture")
    assert manifest.provenance["precision"]["calibration"] == "camvid train, 2 images"
    text = capsys.readouterr().out
    assert "int8.onnx" in text
    assert "on camvid val, 4 images, four: mIoU" in text
    assert [path.name for path in out.parent.iterdir()] == ["int8.onnx"]


def test_a_bundle_in_fp16(exported, camvid_tree: Path, truth_map: Path, tmp_path: Path) -> None:
    out = tmp_path / "fp16.onnx"
    options = ("--validation", camvid_tree / "val", "--truth-map", truth_map, "--precision", "fp16")
    assert exit_code(exported.path, "--out", out, *options, *GENEROUS) == 0
    assert load_bundle(out).manifest.precision == "fp16"


def test_a_missed_limit_is_exit_code_1(
    exported, camvid_tree: Path, truth_map: Path, tmp_path: Path, capsys, monkeypatch
) -> None:
    from owseg_export.precision import Quality, convert

    figures = iter(
        [Quality(miou=0.5, auroc=0.9, fpr95=0.1), Quality(miou=0.4, auroc=0.9, fpr95=0.1)]
    )
    monkeypatch.setattr(convert, "quality", lambda *args: next(figures))
    out = tmp_path / "fp16.onnx"
    options = ("--root", camvid_tree, "--truth-map", truth_map, "--precision", "fp16")
    assert exit_code(exported.path, "--out", out, *options) == 1
    assert "costs too much: mIoU 50.0 % to 40.0 % (may fall by 1)" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("{bundle}",), "is a bundle; name what to make of it with --precision"),
        (("{bundle}", "--precision", "int8"), "name the images with --validation ROOT/SPLIT"),
        (("{bundle}", "--precision", "int9"), "invalid choice: 'int9'"),
        (("{bundle}", "--precision", "fp16", "--score", "eds"), "--score is for checkpoints"),
        (
            ("{bundle}", "--precision", "fp16", "--operating-point", "fpr_5"),
            "--operating-point is for checkpoints",
        ),
        (("{checkpoint}", "--precision", "int8"), "with --root: the score is fitted on it"),
        (("{bundle}", "--precision", "int8", "--root", "{tmp}/no"), "no CamVid folder at"),
        (
            ("{bundle}", "--precision", "int8", "--root", "{root}", "--validation", "{root}/dev"),
            "dev",
        ),
        (("{tmp}/none.onnx", "--precision", "fp16", "--root", "{root}"), "no model at"),
        (
            ("{bundle}", "--precision", "fp16", "--root", "{root}", "--max-miou-loss", "-1"),
            "expected points in 0..100, got '-1'",
        ),
        (
            ("{bundle}", "--precision", "int8", "--root", "{root}", "--calibration-images", "0"),
            "at least 1",
        ),
        (
            ("{bundle}", "--precision", "fp16", "--root", "{root}", "--truth-map", "{tmp}/x.json"),
            "x.json",
        ),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    options, message, exported, checkpoint, camvid_tree, tmp_path, capsys
) -> None:
    places = {
        "tmp": tmp_path,
        "root": camvid_tree,
        "checkpoint": checkpoint,
        "bundle": exported.path,
    }
    argv = [option.format(**places) for option in options]
    assert exit_code(*argv, "--out", tmp_path / "m.onnx") == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.splitlines()[-1].startswith("owseg: ")
    assert not list(tmp_path.glob("m.onnx*"))


def test_the_source_is_not_overwritten(exported, camvid_tree: Path, capsys) -> None:
    before = exported.path.read_bytes()
    options = ("--precision", "fp16", "--root", camvid_tree)
    assert exit_code(exported.path, "--out", exported.path, *options) == 2
    assert "is the bundle that is converted; choose another file" in capsys.readouterr().err
    assert exported.path.read_bytes() == before
