"""The command line as a whole: help, commands of other packages, and real processes."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import textwrap
from importlib.metadata import EntryPoint, entry_points

import pytest
from mcap.reader import make_reader

from owseg import __version__
from owseg.cli import main

cli = importlib.import_module("owseg.cli.main")
RESULTS = ["metrics.json", "output.mcap", "report.html"]

# Help, and commands of others ------------------------------------------------------------------


def test_version(run):
    assert run("--version") == (0, f"owseg {__version__}\n", "")


def test_help_lists_the_commands(run):
    code, out, _ = run("--help")
    assert code == 0
    for name in ("demo", "replay", "eval", "doctor"):
        assert name in out


@pytest.mark.parametrize("name", sorted(cli._commands()))
def test_help_of_each_command(run, name):
    code, out, err = run(name, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"usage: owseg {name}")
    assert f"\nexample:\n  owseg {name}" in out


def test_summaries_in_the_table_are_those_of_the_modules():
    for name, (load, summary) in cli._commands().items():
        if name in cli.COMMANDS or name in cli.SUMMARIES:
            assert summary == load().SUMMARY


def plugins(monkeypatch, **modules):
    group = "owseg.commands"
    found = [EntryPoint(name=n, value=v, group=group) for n, v in modules.items()]
    monkeypatch.setattr(cli, "entry_points", lambda group: found)


def test_commands_of_other_packages(run, fails, monkeypatch, tmp_path, doctor_with):
    (tmp_path / "greeting.py").write_text(
        "SUMMARY, EXAMPLE = 'greet', 'owseg greet Ada'\n"
        "def add_arguments(parser): parser.add_argument('name')\n"
        "def run(args): print('hello', args.name); return 1\n"
    )
    (tmp_path / "shattered.py").write_text("import greeting, nowhere\n")
    monkeypatch.syspath_prepend(tmp_path)
    plugins(
        monkeypatch, greet="greeting", broken="shattered", gone="no_such_package", doctor="greeting"
    )
    code, out, _ = run("--help")
    assert code == 0
    assert "greet" in out
    assert "(from shattered)" in out
    assert "greeting" not in sys.modules
    assert run("greet", "Ada") == (1, "hello Ada\n", "")
    fails("the command 'broken' cannot be loaded: No module named 'nowhere'", "broken", "--x")
    fails("the command 'gone' cannot be loaded: No module named 'no_such_package'", "gone")
    doctor_with("ok")
    assert "thing ok" in run("doctor")[1]  # a name of the core stays with the core


def test_the_command_is_installed():
    (script,) = entry_points(group="console_scripts", name="owseg")
    assert script.load() is main


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (KeyboardInterrupt(), 130, "interrupted; what was written so far is readable"),
        (
            PermissionError(13, "Permission denied", "x.bin"),
            2,
            "[Errno 13] Permission denied: 'x.bin'",
        ),
    ],
)
def test_errors_of_a_command_are_one_line(run, monkeypatch, error, code, says):
    doctor = importlib.import_module("owseg.cli.doctor")

    def stop():
        raise error

    monkeypatch.setattr(doctor, "CHECKS", (stop,))
    assert run("doctor") == (code, "", f"owseg: {says}\n")


# Real processes --------------------------------------------------------------------------------


def start(*argv):
    pipe = subprocess.PIPE
    command = [sys.executable, *(str(arg) for arg in argv)]
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, env=buffered)


def finish(process):
    out, err = process.communicate(timeout=300)
    return process.returncode, (out or b"").decode(), err.decode()


def test_a_process_with_bad_input(tmp_path):
    code, out, err = finish(start("-m", "owseg", "replay", tmp_path / "no.mcap", "--out", tmp_path))
    assert (code, out) == (2, "")
    assert err.count("\n") == 1


def test_help_needs_no_heavy_module():
    script = """
        import sys
        from owseg.cli import main
        assert main(["--help"]) == main(["--version"]) == 0
        heavy = {"cv2", "numpy", "onnxruntime", "rosbags", "mcap", "jinja2", "torch", "tqdm"}
        sys.exit(", ".join(sorted(heavy & set(sys.modules))) or 0)
    """
    code, out, err = finish(start("-c", textwrap.dedent(script)))
    assert (code, err) == (0, "")
    assert out.endswith(f"owseg {__version__}\n")


def test_a_reader_that_goes_away():
    process = start("-m", "owseg", "--help")
    process.stdout.close()
    process.stdout = None
    assert finish(process) == (0, "", "")


ENDLESS = """
    import signal, sys
    import numpy as np
    from owseg.cli import main, replay
    from owseg.replay.samples import Sample
    from owseg.types import Frame

    signal.signal(signal.SIGINT, signal.default_int_handler)  # may be ignored by inheritance

    class Endless:
        name, description, count = "endless", "endless", None
        def __enter__(self): return self
        def __exit__(self, *_): pass
        def __iter__(self):
            index = 0
            while True:
                frame = Frame(image=np.zeros((24, 32, 3), np.uint8), stamp_ns=index, index=index)
                yield Sample(frame=frame, log_time_ns=index)
                index += 1
                if index == 20:
                    print("going", flush=True)

    replay.open_source = lambda *args, **options: Endless()
    sys.exit(main(["replay", "endless", "--engine", "fake", "--out", sys.argv[1]]))
"""


def test_ctrl_c_leaves_whole_files(tmp_path, messages):
    process = start("-c", textwrap.dedent(ENDLESS), tmp_path)
    assert process.stdout.readline() == b"going\n"
    process.send_signal(signal.SIGINT)
    code, out, err = finish(process)
    assert (code, out) == (130, "")
    assert messages(err) == ["owseg: interrupted; what was written so far is readable"]
    assert sorted(p.name for p in tmp_path.iterdir()) == RESULTS
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["interrupted"] is True
    assert metrics["frames"] >= 20
    with (tmp_path / "output.mcap").open("rb") as stream:
        topics = ["/segmentation/mask"]
        masks = sum(1 for _ in make_reader(stream, validate_crcs=True).iter_messages(topics))
    assert masks - metrics["frames"] in {0, 1}  # the signal may come between the two
    assert "</html>" in (tmp_path / "report.html").read_text(encoding="utf-8")
