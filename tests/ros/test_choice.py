"""Which host runs, what it imports, and what is said when it cannot."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

import owseg_ros
from owseg.errors import MissingDependencyError, UsageError
from owseg_ros.hosts import choice, open_runtime

PACKAGE = Path(owseg_ros.__file__).parent
ONLY_IN = {"cyclonedds": "hosts/standalone/cyclone.py", "rclpy": "hosts/rclpy_host/ros.py"}


def test_an_unknown_host_is_refused():
    with pytest.raises(UsageError, match="host must be one of auto, rclpy, standalone, got 'ros1'"):
        open_runtime("ros1", [])


def pretend(monkeypatch, *installed):
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: object() if name in installed else None
    )


def test_rclpy_is_preferred(monkeypatch):
    pretend(monkeypatch, "rclpy", "cyclonedds")
    assert choice._available() == "rclpy"
    pretend(monkeypatch, "cyclonedds")
    assert choice._available() == "standalone"


def test_nothing_installed_says_what_to_do(monkeypatch):
    pretend(monkeypatch)
    with pytest.raises(MissingDependencyError, match=r"source ROS 2.*pip install .*\[dds\]"):
        open_runtime("auto", [])


@pytest.mark.parametrize(
    ("missing", "kind", "hint"),
    [("rclpy", "rclpy", "source /opt/ros"), ("cyclonedds", "standalone", "owseg_ros[dds]")],
)
def test_a_host_without_its_middleware_says_how_to_get_it(missing, kind, hint):
    program = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from owseg.errors import MissingDependencyError\n"
        "from owseg_ros.hosts import open_runtime\n"
        f"try: open_runtime({kind!r}, [])\n"
        "except MissingDependencyError as error: print(error)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert hint in result.stdout


def imports_of(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module.partition(".")[0]


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_middleware_is_imported_in_one_place(library):
    found = [
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if library in imports_of(path)
    ]
    assert found == [ONLY_IN[library]]


def test_opening_the_package_loads_no_middleware():
    program = (
        "import sys, owseg_ros.hosts, json\n"
        "print([name for name in ('cyclonedds', 'rclpy', 'torch') if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert result.stdout == "[]\n"
