"""Running the command line within the tests."""

from __future__ import annotations

import importlib

import pytest

from owseg.cli import main


@pytest.fixture
def run(capfd):
    """Give a function that runs the command line: exit code, standard output and error."""

    def call(*argv):
        capfd.readouterr()
        code = main([str(arg) for arg in argv])
        return (code, *capfd.readouterr())

    return call


@pytest.fixture
def messages():
    """Give a function that returns the lines of standard error but those of progress bars."""
    return lambda err: [line for line in err.split("\n") if line and not line.startswith("\r")]


@pytest.fixture
def fails(run, messages):
    """Give a function that expects exit code 2 and one line of explanation, nothing else."""

    def call(says, *argv):
        code, out, err = run(*argv)
        lines = messages(err)
        assert (code, out) == (2, "")
        assert len(lines) == 1, err
        assert lines[0].startswith("owseg: ")
        assert says in lines[0]
        assert "Traceback" not in err

    return call


@pytest.fixture
def replay(tiny_bundle, tmp_path):
    """Give the arguments of a replay with the tiny bundle into OUT."""

    def arguments(bag, *more):
        return ("replay", bag, "--model", tiny_bundle, "--out", tmp_path / "OUT", *more)

    return arguments


@pytest.fixture
def doctor_with(monkeypatch):
    """Give a function that lets the doctor find things in these states, and nothing else."""

    def call(*states):
        doctor = importlib.import_module("owseg.cli.doctor")
        checks = [doctor.Check(name=f"thing {s}", state=s, detail="how to mend it") for s in states]
        monkeypatch.setattr(doctor, "CHECKS", (doctor._platform, lambda: checks))

    return call
