"""The table of costs: what it runs and what it prints; no figure is judged."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from owseg_training.scorers import FITTED_SCORERS

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "score_cost.py"


@pytest.fixture(scope="module")
def script() -> Any:
    spec = importlib.util.spec_from_file_location("score_cost", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_score_has_a_row(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(script, "SCORERS", {"eds": script.SCORERS["eds"]})
    fitted = {"mahalanobis": FITTED_SCORERS["mahalanobis"]}
    monkeypatch.setattr(script, "FITTED_SCORERS", fitted)
    out = tmp_path / "cost.json"
    argv = ["score_cost.py", "camvid_tiny", "--rounds", "1", "--json", str(out)]
    monkeypatch.setattr(sys, "argv", argv)
    script.main()
    found = json.loads(out.read_text())
    assert list(found) == ["network", "eds", "mahalanobis"]
    assert all(value > 0 for value in found.values())
    text = capsys.readouterr().out
    assert text.count("\n") == 2 + 3
    assert "| 1.00 |" in text


def test_bad_input_is_one_line(
    script: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["score_cost.py", "camvid_none"])
    with pytest.raises(SystemExit) as stop:
        script.main()
    assert stop.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
