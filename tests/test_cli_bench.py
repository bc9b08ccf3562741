"""`owseg bench`: a real run, what it writes, and one line for each mistake."""

from __future__ import annotations

import json
import warnings

import cv2
import numpy as np
import onnxruntime
import pytest

from owseg.bench import peers
from owseg.cli import bench as command
from owseg.cli import main
from owseg.engines.ort_cuda import cuda_obstacle
from owseg.engines.ort_sessions import unusable
from owseg.errors import EngineError


def bench(*argv):
    return main(["bench", *(str(a) for a in argv)])


def test_a_run_with_figures_and_picture(tiny_bundle, tmp_path, capsys):
    pytest.importorskip("matplotlib", reason="plots are drawn with matplotlib")
    files = tmp_path / "new" / "speed.json", tmp_path / "new" / "speed.png"
    options = ("--frames", 4, "--device", "cpu", "--threads", 1, "--no-torch")
    assert bench(tiny_bundle, *options, "--json", files[0], "--plot", files[1]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "1 thread, 4 frames each, in turn; ms a frame"
    assert out[1].split()[:4] == ["model", "engine", "precision", "network"]
    assert out[2].startswith("tiny 32x24  onnxruntime, graph  fp32")
    assert any("not measured: tiny on fused: model 'tiny' cannot use" in line for line in out)
    told = json.loads(files[0].read_text())
    assert told["threads"] == 1
    (row,) = told["results"]
    assert (row["engine"], row["frames"], row["heads_derived"]) == ("onnxruntime, graph", 4, True)
    assert row["latency_ms"]["p50"] <= row["latency_ms"]["p95"] <= row["latency_ms"]["p99"]
    assert {"network", "heads", "grouping"} <= set(row["stages_ms"])
    assert [item["engine"] for item in told["not_measured"]] == ["fused"]
    assert row["outputs_bytes"] == {"known": 768, "anomaly": 3072, "open_set": 768}
    assert row["copied_from_gpu_bytes"] == 0
    assert "a GPU copies for a frame of tiny 32x24: 0.00 MB (known 0.00, anomaly" in out[3] + out[4]
    assert cv2.imread(str(files[1])).std() > 5


def test_the_shipped_model_by_default(capsys):
    assert bench("--frames", 1, "--device", "cpu", "--no-torch", "--engines", "fused") == 0
    out = capsys.readouterr().out
    assert "onnxruntime, fused" in out
    assert "not measured" not in out


@pytest.fixture
def no_gpu(monkeypatch):
    """Let ONNX Runtime list CUDA, as its package for GPUs does, on this machine without a GPU."""
    warnings.filterwarnings("ignore", "Specified provider 'CUDAExecutionProvider' is not")
    real = onnxruntime.get_available_providers()
    listed = ["CUDAExecutionProvider", *(n for n in real if n != "CUDAExecutionProvider")]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: listed)
    if cuda_obstacle() == "":
        pytest.skip("there is a GPU that ONNX Runtime can use")


@pytest.mark.parametrize("tensorrt", [False, True])
def test_cuda_that_does_not_load_is_left_out_in_one_line(
    no_gpu, tiny_bundle, monkeypatch, capsys, tensorrt
):
    obstacle = "" if tensorrt else "there is none"
    monkeypatch.setattr(command, "tensorrt_obstacle", lambda: obstacle)
    assert bench(tiny_bundle, "--frames", 1, "--threads", 1, "--no-torch") == 0
    captured = capsys.readouterr()
    lines = [line for line in captured.err.splitlines() if line.startswith("owseg:")]
    left_out = "captured" if tensorrt else "tensorrt, captured"
    assert lines == [f"owseg: leaving out {left_out}: {unusable('cuda')}"]
    assert "tiny 32x24  onnxruntime, graph" in captured.out
    skipped = [line for line in captured.out.splitlines() if line.startswith("not measured")]
    assert [line.split()[4] for line in skipped] == ["tensorrt:"] * tensorrt + ["fused:"]


def test_where_cuda_is_asked_for_and_does_not_load_nothing_is_left(
    no_gpu, tiny_bundle, monkeypatch, capsys
):
    monkeypatch.setattr(command, "tensorrt_obstacle", lambda: "there is none")
    assert bench(tiny_bundle, "--device", "cuda", "--no-torch") == 2
    assert capsys.readouterr().err == f"owseg: {unusable('cuda')}\n"


def test_torch_is_measured_on_the_cpu_then(no_gpu, tiny_bundle, monkeypatch, capsys):
    asked = []

    class OnlyNames:
        def names(self):
            return ("torch",)

        def open(self, name, manifest, checkpoint, device, threads):
            asked.append(device)
            raise EngineError("not today")

    monkeypatch.setattr(command, "load_peers", OnlyNames)
    assert bench(tiny_bundle, "--frames", 1, "--threads", 1) == 0
    assert asked == ["cpu"]
    assert "not measured: tiny on torch: not today" in capsys.readouterr().out


def test_frames_of_a_folder_and_seconds(tiny_bundle, tmp_path, capsys):
    folder = tmp_path / "images"
    folder.mkdir()
    for index in range(3):
        image = np.full((20, 30, 3), 80 * index, np.uint8)
        cv2.imwrite(str(folder / f"{index}.png"), image)
    options = ("--engines", "graph", "--device", "cpu", "--no-torch", "--seconds", "0.2")
    assert bench(tiny_bundle, *options, "--input", folder, "--grouping", "components") == 0
    assert "frames each" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("{bundle}", "--engines", "x"), "no engine 'x'; there are fused, graph"),
        (("{bundle}", "--engines", "fused"), "cannot use the fused heads"),
        (("{bundle}", "--engines", "captured"), "a captured graph needs CUDA"),
        (("{bundle}", "--engines", ""), "--engines names none; leave it out"),
        (("{tmp}/none.onnx",), "no model at"),
        (("{tmp}",), "is a folder, not a model"),
        (("{bundle}", "--frames", "0"), "at least 1, got '0'"),
        (("{bundle}", "--frames", "2", "--seconds", "2"), "not allowed with argument"),
        (("{bundle}", "--seconds", "-1"), "expected a number of seconds above 0, got '-1'"),
        (("{bundle}", "--seconds", "nan"), "expected a number of seconds above 0"),
        (("{bundle}", "--threads", "x"), "at least 1, got 'x'"),
        (("{bundle}", "--size", "64x64"), "--size is for --recipe"),
        (("--recipe", "camvid_small", "--size", "64"), "expected HxW, e.g. 512x1024, got '64'"),
        (("--recipe", "camvid_small", "--size", "0x64"), "expected HxW"),
        (("--recipe", "camvid_small", "--no-torch"), "leave out --no-torch"),
        (("{bundle}", "--input", "{tmp}/none"), "does not exist"),
        (("{bundle}", "--json", "{tmp}"), "is a folder; name a file"),
        (("{bundle}", "--grouping", "x"), "invalid choice: 'x'"),
        (("{bundle}", "--score", "int4"), "invalid choice: 'int4'"),
        (("{bundle}", "--device", "tpu"), "invalid choice: 'tpu'"),
    ],
)
def test_mistakes_are_one_line(tiny_bundle, tmp_path, capsys, options, says):
    argv = [option.format(bundle=tiny_bundle, tmp=tmp_path) for option in options]
    quiet = [] if "--recipe" in argv or "--no-torch" in argv else ["--no-torch"]
    code = bench(*argv, *quiet)
    captured = capsys.readouterr()
    assert code == 2
    assert captured.out == ""
    last = captured.err.splitlines()[-1]
    assert last.startswith("owseg: ")
    assert says in last


def test_without_the_training_packages(tiny_bundle, monkeypatch, capsys):
    monkeypatch.setattr(peers, "entry_points", lambda group: [])
    assert bench(tiny_bundle, "--frames", 1, "--device", "cpu") == 0
    assert "comparing with torch needs the training packages" in capsys.readouterr().err
    assert bench("--recipe", "camvid_small") == 2
    assert "pip install 'owseg_ros[train]'" in capsys.readouterr().err
