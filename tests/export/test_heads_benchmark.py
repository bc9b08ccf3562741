"""The benchmark of the heads on a small image: all forms agree, figures and table are written."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER))
    spec = importlib.util.spec_from_file_location("heads_benchmark", FOLDER / "heads.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "CASES", ((4, 5, 0), (4, 5, 6), (8, 3, 0)))
    return module


def test_all_forms_agree_and_are_timed(script, tmp_path, monkeypatch, capsys) -> None:
    file = tmp_path / "heads.json"
    argv = ["heads.py", "--size", "64x96", "--rounds", "2", "--threads", "1", "--json", str(file)]
    monkeypatch.setattr(sys, "argv", argv)
    script.main()
    told = json.loads(file.read_text())
    assert [case["slots"] for case in told["cases"]] == [0, 6, 0]
    for case in told["cases"]:
        medians = case["median_ms"]
        assert list(medians) == [
            "naive",
            "softmax",
            "full norm",
            "lifted",
            "low resolution",
            "fused",
        ]
        graphs = {name: value for name, value in medians.items() if name != "fused"}
        assert case["best_graph"] == min(graphs, key=lambda name: graphs[name])
        for name, value in graphs.items():
            assert case["times_faster"][name] == pytest.approx(value / medians["fused"])
        assert case["differences"]["lifted"]["score_max"] < 1e-4
    assert "lifted (as exported)" in capsys.readouterr().out


def test_a_form_that_computes_something_else_is_not_timed(script) -> None:
    import numpy as np

    want = {"known": np.zeros((4, 4), np.uint8), "anomaly": np.linspace(0, 1, 16).reshape(4, 4)}
    other = {"known": want["known"], "anomaly": want["anomaly"] + 0.01}
    with pytest.raises(AssertionError, match=r"lifted: a score differs by 0\.01"):
        script.compare({"lifted": other, "fused": want}, 0)
    other = {"known": want["known"] + np.uint8(1), "anomaly": want["anomaly"]}
    with pytest.raises(AssertionError, match=r"softmax: 100\.00% of the labels differ"):
        script.compare({"softmax": other, "fused": want}, 0)
