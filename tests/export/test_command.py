"""`owseg export`: help, and one clear line for each mistake. A real run is in test_to_onnx."""

from __future__ import annotations

from pathlib import Path

import pytest

from owseg.cli import main


def exit_code(*argv: object) -> int:
    try:
        return main([str(a) for a in argv])
    except SystemExit as stop:
        return int(stop.code or 0)


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("export", "--help") == 0
    text = capsys.readouterr().out
    assert "owseg export runs/camvid_small/checkpoint.pt --root CamVid --out model.onnx" in text


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    return captured.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("{tmp}/none.pt", "--root", "{root}"), "no checkpoint at"),
        (("{tmp}/text.pt", "--root", "{root}"), "is not a readable checkpoint"),
        (("{checkpoint}", "--root", "{tmp}/nowhere"), "no CamVid folder at"),
        (("{checkpoint}", "--root", "{root}", "--score", "odin"), "no anomaly score 'odin'"),
        (("{checkpoint}", "--root", "{root}", "--form", "odd"), "invalid choice: 'odd'"),
        (
            ("{checkpoint}", "--root", "{root}", "--operating-point", "fpr_7"),
            "no operating point 'fpr_7'; there are fpr_1, fpr_5",
        ),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    options: tuple[str, ...],
    message: str,
    checkpoint: Path,
    camvid_tree: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "text.pt").write_text("not a checkpoint")
    places = {"tmp": tmp_path, "root": camvid_tree, "checkpoint": checkpoint}
    argv = [option.format(**places) for option in options]
    assert exit_code("export", *argv, "--out", tmp_path / "m.onnx") == 2
    assert message in one_line(capsys)
    assert not list(tmp_path.glob("m.onnx*"))


def test_score_and_form_default_to_those_of_the_recipe(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from owseg_export import export

    class SeenError(Exception):
        """Carries the options instead of exporting."""

    def stop(path: Path, options: export.ExportOptions) -> None:
        raise SeenError(options)

    monkeypatch.setattr(export, "export_bundle", stop)
    for extra, expected in (
        ((), ("eds", "constant")),
        (("--score", "mixture", "--form", "paper"), ("mixture", "paper")),
    ):
        with pytest.raises(SeenError) as seen:
            main(["export", str(checkpoint), "--root", "x", "--out", str(tmp_path / "m"), *extra])
        score = seen.value.args[0].score
        assert (score.method, score.form) == expected
