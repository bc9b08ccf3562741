"""`owseg demo` and `owseg doctor`."""

from __future__ import annotations

import importlib
import json
import sys
from functools import partial

import pytest

from owseg import __version__

RESULTS = ["metrics.json", "output.mcap", "report.html"]


def test_demo_twice(run, tmp_path, monkeypatch, messages):
    demo = importlib.import_module("owseg.cli.demo")
    monkeypatch.setattr(demo, "SceneConfig", partial(demo.SceneConfig, width=96, height=72))
    arguments = ("demo", "--engine", "fake", "--out", tmp_path / "OUT", "--frames", 1, "--json")
    for seed in (7, 8):
        code, out, err = run(*arguments, "--seed", seed)
        assert (code, messages(err)) == (0, [])
        metrics = json.loads(out)
        assert (metrics["frames"], metrics["frames_with_truth"]) == (1, 1)
        assert sorted(p.name for p in (tmp_path / "OUT").iterdir()) == ["demo_drive", *RESULTS]


def test_demo_into_a_file(fails, tmp_path):
    (tmp_path / "file").write_text("")
    fails("cannot create the folder", "demo", "--engine", "fake", "--out", tmp_path / "file")


def test_demo_checks_the_model_before_it_renders(fails, tmp_path):
    fails("no model at", "demo", "--model", tmp_path / "none.onnx", "--out", tmp_path / "OUT")
    assert list((tmp_path / "OUT").iterdir()) == []


@pytest.mark.parametrize(
    ("states", "code"), [(("ok",), 0), (("ok", "absent"), 0), (("broken", "ok"), 1)]
)
def test_doctor(run, doctor_with, states, code):
    doctor_with(*states)
    found, out, err = run("doctor")
    assert (found, err) == (code, "")
    assert __version__ in out
    for state in states:
        assert f"thing {state}" in out
    found, out, _ = run("doctor", "--json")
    assert found == code
    assert [check["state"] for check in json.loads(out)][2:] == list(states)


def test_doctor_looks_at_what_is_needed(monkeypatch):
    doctor = importlib.import_module("owseg.cli.doctor")
    assert {check.state for check in doctor._required()} == {"ok"}
    monkeypatch.setitem(sys.modules, "mcap", None)
    broken = [check for check in doctor._required() if check.state == "broken"]
    assert [check.name for check in broken] == ["mcap"]
    assert "pip install owseg_ros" in broken[0].detail


def test_doctor_runs_the_shipped_model(monkeypatch, tiny_bundle, tmp_path):
    doctor = importlib.import_module("owseg.cli.doctor")
    bundle = importlib.import_module("owseg.bundle")
    monkeypatch.setattr(bundle, "shipped_model", lambda: tiny_bundle)
    (check,) = doctor._model()
    assert check.state == "ok"
    assert check.detail.startswith("tiny, 32x24, 3 classes, ")
    monkeypatch.setattr(bundle, "shipped_model", lambda: tmp_path / "none.onnx")
    (check,) = doctor._model()
    assert (check.state, "no model at" in check.detail) == ("broken", True)


@pytest.mark.parametrize(
    ("obstacle", "state", "detail"),
    [("", "ok", "ONNX Runtime with CUDA"), ("no driver", "absent", "no driver")],
)
def test_doctor_finds_out_whether_cuda_loads(monkeypatch, obstacle, state, detail):
    doctor = importlib.import_module("owseg.cli.doctor")
    cuda = importlib.import_module("owseg.engines.ort_cuda")
    monkeypatch.setattr(cuda, "made_for_cuda", lambda: True)
    monkeypatch.setattr(cuda, "cuda_obstacle", lambda: obstacle)
    (check,) = doctor._gpu()
    assert (check.state, check.detail) == (state, detail)
