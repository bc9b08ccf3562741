"""`owseg build`: what it prints, its options, and one line for each thing that goes wrong."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import time

import pytest

from owseg.cli import main
from owseg.cli.build_progress import BuildProgress
from owseg.engines.cache import EngineCache

RTX = {"flavour": "tensorrt_rtx", "version": "1.7.1.116", "capability": [], "cuda": ""}


@pytest.fixture
def run(capfd, cache):
    """Give a function that runs the command: exit code, standard output and error."""

    def call(*argv):
        capfd.readouterr()
        code = main(["build", *(str(arg) for arg in argv)])
        return (code, *capfd.readouterr())

    return call


@pytest.fixture
def fails(run):
    """Give a function that expects exit code 2 and one line of explanation as the last one."""

    def call(says, *argv):
        code, out, err = run(*argv)
        lines = err.splitlines()
        assert (code, out) == (2, "")
        assert [line for line in lines if line.startswith("owseg: ")] == lines[-1:]
        assert says in lines[-1]
        assert "Traceback" not in err

    return call


def test_it_says_what_was_built(nvidia, run, tiny, cache):
    nvidia()
    code, out, err = run(tiny.path)
    assert code == 0
    (entry,) = cache.entries()
    lines = out.splitlines()
    assert lines[0] == f"engine       {entry.path}"
    assert lines[1].strip().startswith("built in ")
    assert lines[2:4] == [
        "of           tiny, fp32, input 1..1x24x32x3",
        "for          NVIDIA Fake 3060 (8.6), tensorrt 10.3.0",
    ]
    assert lines[4].startswith(f"same as      trtexec --onnx={tiny.path} --saveEngine={entry.path}")
    assert lines[5:] == [
        "             (which may need the graph that --save-onnx writes in place of the file)"
    ]
    assert err.splitlines()[0] == "building tiny in fp32 for NVIDIA Fake 3060: 0 s"
    assert "100 %" in err
    code, out, err = run(tiny.path)
    assert (code, err) == (0, "")
    assert out.splitlines()[1].strip().startswith("is there already, ")
    assert run(tiny.path, "--force")[2] != ""


def test_json(nvidia, run, tiny, cache):
    nvidia(version="8.6.1")
    options = ("--precision", "fp16", "--batch", 3, "--workspace", 77, "--json")
    code, out, _ = run(tiny.path, *options)
    (found,) = json.loads(out)
    (entry,) = cache.entries()
    assert code == 0
    assert found.pop("seconds") >= 0
    assert found.pop("trtexec").startswith("trtexec ")
    assert found == {
        "engine": str(entry.path),
        "file": str(tiny.path.resolve()),
        "built": True,
        "bytes": entry.path.stat().st_size,
        "precision": "fp16",
        "tensorrt": "8.6.1",
        "flavour": "tensorrt",
        "gpu": "NVIDIA Fake 3060",
        "capability": "8.6",
        "input": "1..3x24x32x3",
        "workspace_mib": 77,
        "model": "tiny",
        "layers_kept_in_fp32": found["layers_kept_in_fp32"],
        "changed_for_the_parser": ["labels cast by float32"],
    }
    assert found["layers_kept_in_fp32"] > 3


def test_targets_and_another_folder(nvidia, run, tiny, cache, tmp_path):
    nvidia(**RTX)
    folder = tmp_path / "engines"
    code, out, _ = run(tiny.path, "--target", "sm86, SM120,SM86", "--cache", folder)
    assert code == 0
    assert out.count("engine       ") == 2
    assert {entry.key.capability for entry in EngineCache(folder).entries()} == {"8.6", "12.0"}
    assert cache.entries() == []
    assert "for          compute capability 12.0, tensorrt_rtx 1.7.1.116" in out
    assert "--computeCapabilities=120" in out


def test_the_graph_can_be_kept(nvidia, run, fails, tiny, tmp_path):
    onnx = pytest.importorskip("onnx")
    nvidia()
    path = tmp_path / "graph.onnx"
    code, out, _ = run(tiny.path, "--save-onnx", path)
    assert code == 0
    assert f"--onnx={path} " in out
    assert "which may need" not in out
    before, after = (onnx.load(str(p)).graph.node for p in (tiny.path, path))
    assert len(after) == len(before) + 1 + 4  # a Cast before that to uint8; the score as uint8
    fails("cannot write /proc/x.onnx: ", tiny.path, "--save-onnx", "/proc/x.onnx")


def test_the_shipped_model_is_the_default(nvidia, run, cache):
    nvidia()
    assert run()[0] == 0
    assert cache.entries()[0].about["model"] == "camvid_open"


def test_it_can_give_way(nvidia, run, tiny, monkeypatch):
    nvidia()
    given = []
    monkeypatch.setattr("os.nice", given.append)
    run(tiny.path)
    assert given == []
    run(tiny.path, "--nice")
    assert given == [10]


@pytest.mark.parametrize(
    ("machine", "says"),
    [
        ({"flavour": ""}, "TensorRT is not installed: pip install 'owseg_ros[tensorrt]'; on a"),
        ({"capability": []}, "there is no usable NVIDIA GPU"),
        ({"cuda": ""}, "need cuda-python, which cannot be imported: pip install 'cuda-python"),
        ({"version": "8.4.3"}, "TensorRT 8.4.3 is too old"),
        ({"fail": {"build": "no kernel"}}, "TensorRT 10.3.0 cannot build model 'tiny' (no kernel)"),
    ],
)
def test_machines_that_cannot(nvidia, fails, tiny, machine, says):
    nvidia(**machine)
    fails(says, tiny.path)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--target", "SM86"), "TensorRT for RTX is not installed: pip install 'owseg_ros[rtx]'"),
        (("--precision", "int8"), "model 'tiny' is typed fp32: int8 needs a file with QDQ nodes"),
        (("--precision", "fp8"), "invalid choice: 'fp8'"),
        (("--batch", "0"), "expected a whole number of at least 1, got '0'"),
        (("--workspace", "much"), "expected a whole number of at least 1, got 'much'"),
        (("--cache", "/proc/nowhere"), "cannot write into the engine cache /proc/nowhere"),
    ],
)
def test_options_that_make_no_sense(nvidia, fails, tiny, options, says):
    nvidia()
    fails(says, tiny.path, *options)


def test_models_that_cannot_be_used(nvidia, fails, tmp_path):
    nvidia()
    fails("no model at", tmp_path / "none.onnx")
    (tmp_path / "junk.onnx").write_bytes(b"junk")
    fails("is not a usable ONNX file", tmp_path / "junk.onnx")


@pytest.mark.parametrize("version", ["8.5.2", "10.3.0"])
def test_ctrl_c_ends_it(nvidia, tiny, cache, version):
    """TensorRT 8 cannot be interrupted, so that the process has to end."""
    nvidia(version=version, fail={"sleep": 60})
    child = subprocess.Popen(
        [sys.executable, "-m", "owseg", "build", str(tiny.path)],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stderr.readline().startswith("building tiny")
    child.send_signal(signal.SIGINT)
    code = child.wait(20)
    rest = child.stderr.read()
    child.stderr.close()
    assert code == (-signal.SIGINT if version == "8.5.2" else 130)
    assert "Traceback" not in rest
    assert cache.entries() == []


# The engine of a command -------------------------------------------------------------------------


def test_replay_runs_on_what_was_built(nvidia, run, tiny, street_bag, tmp_path, capfd):
    nvidia()
    assert run(tiny.path)[0] == 0
    argv = ["replay", street_bag, "--model", tiny.path, "--out", tmp_path / "OUT"]
    assert main([str(a) for a in (*argv, "--engine", "tensorrt", "--json")]) == 0
    found = json.loads(capfd.readouterr().out)
    assert found["engine"] == "tensorrt"
    assert main([str(a) for a in (*argv, "--engine", "onnxruntime", "--json")]) == 0
    assert json.loads(capfd.readouterr().out)["frames"] == found["frames"]


def test_replay_without_an_engine_says_how_to_get_one(
    nvidia, cache, tiny, street_bag, tmp_path, capfd
):
    nvidia()
    argv = ["replay", street_bag, "--model", tiny.path, "--out", tmp_path / "OUT", "--engine"]
    assert main([str(a) for a in (*argv, "tensorrt")]) == 2
    assert "build one with 'owseg build" in capfd.readouterr().err
    assert main([str(a) for a in (*argv, "auto", "--json")]) == 0
    out, err = capfd.readouterr()
    assert json.loads(out)["engine"] == "onnxruntime"
    assert "owseg: on onnxruntime: no TensorRT engine of model 'tiny' is in" in err


# Progress ----------------------------------------------------------------------------------------


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self):
        return True


def test_a_terminal_has_one_line():
    screen, now = Screen(), [100.0]
    with BuildProgress(screen, lambda: now[0]) as progress:
        progress.begin("building street in fp16 for X")
        progress.report(0.25, "Timing tactics")
        now[0] = 165.0
        progress.tick()
    text = screen.getvalue()
    assert text.count("\n") == 1
    last = text.rstrip("\n").split("\r")[-1]
    assert last.rstrip() == "building street in fp16 for X: 25 %, 65 s  Timing tactics"
    assert len(last) == 79


def test_elsewhere_there_is_a_line_now_and_then():
    log, now = io.StringIO(), [0.0]
    progress = BuildProgress(log, lambda: now[0])
    progress.tick()
    assert log.getvalue() == ""
    progress.begin("building street")
    for step in range(100):
        progress.report((step + 0.5) / 100, "phase")
    now[0] = 19.0
    progress.tick()
    now[0] = 20.0
    progress.tick()
    lines = log.getvalue().splitlines()
    assert lines[0] == "building street: 0 s"
    assert [line.split(": ")[1] for line in lines[1:10]] == [
        f"{percent} %, 0 s"
        for percent in range(10, 100, 10)  # 10.5 is rounded to even
    ]
    assert lines[10:] == ["building street: 100 %, 20 s"]


def test_where_the_share_is_not_known_only_time_passes():
    log, now = io.StringIO(), [0.0]
    progress = BuildProgress(log, lambda: now[0])
    progress.begin("building street")
    for second in range(0, 61, 5):
        now[0] = float(second)
        progress.tick()
    assert log.getvalue().splitlines() == [
        "building street: 0 s",
        "building street: 20 s",
        "building street: 40 s",
        "building street: 60 s",
    ]


def test_the_clock_goes_on_by_itself():
    screen = Screen()
    with BuildProgress(screen) as progress:
        progress.begin("building street")
        deadline = time.monotonic() + 10
        while screen.getvalue().count("\r") < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
    assert screen.getvalue().count("\r") >= 2
