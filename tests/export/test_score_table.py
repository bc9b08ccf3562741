"""The table of all scores against scikit-learn."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score

from owseg_training.scorers import SCORERS, CalibratedScore

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "score_table.py"


@pytest.fixture(scope="module")
def script() -> Any:
    spec = importlib.util.spec_from_file_location("score_table", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(script: Any, monkeypatch: pytest.MonkeyPatch, *argv: object) -> None:
    monkeypatch.setattr(sys, "argv", ["score_table.py", *map(str, argv)])
    script.main()


def test_figures_equal_scikit_learn(
    script: Any,
    exported,
    checkpoint: Path,
    camvid_tree: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    files = tmp_path / "scores.md", tmp_path / "scores.json"
    options = ("--root", camvid_tree, "--markdown", files[0], "--json", files[1])
    run(script, monkeypatch, checkpoint, *options)
    table = json.loads(files[1].read_text())["scores"]
    assert list(table) == [*SCORERS, "mixture"]
    scores, truths = [], []
    eds = CalibratedScore("eds", "paper", {})
    for image, truth in exported.frames:
        evidence = exported.trained.evidence(torch.from_numpy(image[None]))
        scores.append(eds(evidence)[0].numpy()[truth.valid])
        truths.append(truth.anomaly[truth.valid])
    found = table["eds"]["paper"]
    pooled = np.concatenate(truths), np.concatenate(scores)
    assert found["pooled"]["auroc"] == pytest.approx(roc_auc_score(*pooled), abs=1e-3)
    assert found["pooled"]["aupr"] == pytest.approx(average_precision_score(*pooled), abs=1e-3)
    each = [roc_auc_score(t, s) for t, s in zip(truths, scores, strict=True) if t.any()]
    assert found["per_image"]["auroc"] == pytest.approx(np.mean(each), abs=1e-3)
    text = files[0].read_text()
    assert capsys.readouterr().out == text
    assert text.count("\n") == 2 + 2 * 7
    assert f"| {100 * found['pooled']['auroc']:.1f} |" in text


def test_a_softmax_head_has_its_four_scores(
    script: Any,
    softmax_checkpoint: Path,
    camvid_tree: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run(script, monkeypatch, softmax_checkpoint, "--root", camvid_tree)
    text = capsys.readouterr().out
    assert text.count("\n") == 2 + 2 * 4
    assert "eds" not in text


def test_bad_input_is_one_line(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        run(script, monkeypatch, tmp_path / "none.pt", "--root", tmp_path)
    assert stop.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
