"""What `owseg doctor` says of the nodes."""

from __future__ import annotations

import importlib
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from owseg_ros import checks as module
from owseg_ros.checks import checks

ROOT = Path(__file__).parents[2]


@pytest.fixture
def found():
    """Run the checks; return state and detail by name."""
    return lambda: {check.name: (check.state, check.detail) for check in checks()}


@pytest.fixture
def no_wire(monkeypatch):
    monkeypatch.setattr(module, "_wire", list)


def test_a_whole_installation(found, ros_domain):
    pytest.importorskip("cyclonedds")
    by_name = found()
    assert by_name["DDS samples"][0] == "ok"
    assert by_name["DDS between processes"] == ("ok", by_name["DDS between processes"][1])
    assert "found and heard after" in by_name["DDS between processes"][1]
    assert {"owseg_msgs", "vision_msgs", "large socket buffers"} < by_name.keys()


def test_the_slow_way_is_told_with_the_remedy(monkeypatch, ros_domain):
    pytest.importorskip("cyclonedds")
    monkeypatch.setenv("OWSEG_DDS_WIRE", "typed")
    check = module._samples()
    assert check.state == "absent"
    assert "pip install 'cyclonedds==" in check.detail


def test_a_process_that_is_not_heard_is_told_with_the_remedy(monkeypatch, ros_domain):
    pytest.importorskip("cyclonedds")
    monkeypatch.setattr(module, "_PEER", "pass")
    check = module._discovery()
    assert check.state == "broken"
    assert "ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST" in check.detail
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "OFF")
    assert module._discovery().state == "absent"


def test_a_bad_environment_is_told_in_one_line(monkeypatch):
    pytest.importorskip("cyclonedds")
    monkeypatch.setenv("ROS_DOMAIN_ID", "x")
    (check,) = module._wire()
    assert check.state == "broken"
    assert check.detail == "ROS_DOMAIN_ID must be a number in 0..232, got 'x'"


def test_without_cyclone_the_line_to_install_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    (check,) = module._wire()
    assert (check.state, check.detail[:40]) == (
        "absent",
        "pip install 'owseg_ros[dds]', or source ",
    )


@pytest.mark.parametrize(
    ("text", "state", "says"),
    [
        ("33554432", "ok", "32 MiB"),
        ("212992", "absent", "208 KiB: large images may get lost; sudo sysctl -w net.core.rmem"),
        ("?", "absent", "cannot be read"),
    ],
)
def test_buffers(monkeypatch, tmp_path, text, state, says):
    file = tmp_path / "rmem_max"
    file.write_text(text)
    monkeypatch.setattr(module, "RMEM_MAX", file)
    check = module._buffers()
    assert check.state == state
    assert says in check.detail


def test_doctor_asks_other_packages(monkeypatch, no_wire):
    doctor = importlib.import_module("owseg.cli.doctor")
    entries = [
        EntryPoint("nodes", "owseg_ros.checks:checks", "owseg.checks"),
        EntryPoint("broken", "no.such.module:checks", "owseg.checks"),
    ]
    monkeypatch.setattr(doctor, "entry_points", lambda group: entries)
    by_name = {check.name: check for check in doctor._others()}
    assert "large socket buffers" in by_name
    assert by_name["broken"].state == "broken"
    assert "No module named 'no'" in by_name["broken"].detail
    assert doctor._others in doctor.CHECKS
    assert '"owseg.checks": ["nodes = owseg_ros.checks:checks"]' in (ROOT / "setup.py").read_text()
    assert "owseg_ros.checks" in sys.modules
