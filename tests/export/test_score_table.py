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

from owseg_training.scorers import FITTED_SCORERS, SCORERS, CalibratedScore, density

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "score_table.py"


@pytest.fixture(scope="module")
def script() -> Any:
    spec = importlib.util.spec_from_file_location("score_table", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the fit of the flow end early."""
    monkeypatch.setattr(density, "STEPS", 10)


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
    assert list(table) == [*SCORERS, *FITTED_SCORERS, "mixture"]
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
    assert text.count("\n") == 2 + 2 * (7 + len(FITTED_SCORERS))
    assert f"| {100 * found['pooled']['auroc']:.1f} |" in text


def test_a_softmax_head_has_no_distances_and_may_have_company(
    script: Any,
    softmax_checkpoint: Path,
    camvid_tree: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = ("--root", camvid_tree, "--members", softmax_checkpoint)
    run(script, monkeypatch, softmax_checkpoint, *options)
    text = capsys.readouterr().out
    rows = [line.split("|")[1:] for line in text.splitlines()[2:]]
    names = ["msp", "max_logit", "entropy", "energy", *FITTED_SCORERS, "odin", "ensemble"]
    assert [row[0].strip() for row in rows[::2]] == names
    figures = {row[0].strip(): row[5:8] for row in rows[1::2]}  # scaled for each image by itself
    assert figures["ensemble"] == figures["entropy"]  # of two that are the same
    assert all(float(row[8]) > 0 for row in rows)  # times the network alone


def test_bad_input_is_one_line(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        run(script, monkeypatch, tmp_path / "none.pt", "--root", tmp_path)
    assert stop.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
