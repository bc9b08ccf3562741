"""What imports what: the vehicle never loads torch or ROS, and the arrows run one way."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

NVIDIA = {"tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings", "cuda"}
TRAINING = {"torch", "torchvision", "transformers", "onnx", "onnxscript", "matplotlib", "sklearn"}
HEAVY = {"rclpy", *TRAINING, *NVIDIA}
PACKAGES = {
    "owseg": set(),
    "owseg_training": {"owseg"},
    "owseg_export": {"owseg", "owseg_training"},
    "owseg_ros": {"owseg"},
}
"""Our packages, and which of the others each may import."""

IMPORT_ALL = """
    import importlib, json, pkgutil, sys

    package = importlib.import_module(sys.argv[1])
    found = pkgutil.walk_packages(package.__path__, package.__name__ + ".")
    names = [module.name for module in found if not module.name.endswith(".__main__")]
    for name in names:
        importlib.import_module(name)
    loaded = {name.partition(".")[0] for name in sys.modules}
    print(json.dumps([names, sorted(loaded)]))
"""


def import_all(package, *, extra_path=None):
    """Import every module of a package in a new process: its modules, all that got loaded."""
    path = [str(extra_path)] if extra_path else []
    path += filter(None, [os.environ.get("PYTHONPATH")])
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(IMPORT_ALL), package],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
        check=False,
    )
    assert result.returncode == 0, result.stderr
    modules, loaded = json.loads(result.stdout)
    return set(modules), set(loaded)


def test_the_core_loads_no_heavy_package():
    modules, loaded = import_all("owseg")
    assert {"owseg.pipeline", "owseg.replay.runner", "owseg.cli.main"} <= modules
    assert "cv2" in loaded
    assert loaded & (HEAVY | PACKAGES.keys() - {"owseg"}) == set()


def test_that_check_can_fail(tmp_path):
    (tmp_path / "torch.py").write_text("")
    (tmp_path / "rclpy").mkdir()
    (tmp_path / "rclpy" / "__init__.py").write_text("")
    (tmp_path / "vehicle" / "deep").mkdir(parents=True)
    (tmp_path / "vehicle" / "__init__.py").write_text("")
    (tmp_path / "vehicle" / "deep" / "__init__.py").write_text("")
    (tmp_path / "vehicle" / "deep" / "node.py").write_text("import rclpy.node_\n")
    (tmp_path / "rclpy" / "node_.py").write_text("import torch\n")
    modules, loaded = import_all("vehicle", extra_path=tmp_path)
    assert modules == {"vehicle.deep", "vehicle.deep.node"}
    assert loaded & HEAVY == {"torch", "rclpy"}


# Arrows, read from the source ------------------------------------------------------------------


def folder_of(package):
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        pytest.skip(f"{package} is not installed")
    return Path(next(iter(spec.submodule_search_locations)))


def imports_in(source):
    """Give the top-level names that a text imports, anywhere in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module.partition(".")[0]


def wrong_imports(folder, forbidden):
    """Give (file, name) of each import of a forbidden package below a folder."""
    return {
        (file.relative_to(folder).as_posix(), name)
        for file in folder.rglob("*.py")
        for name in imports_in(file.read_text(encoding="utf-8"))
        if name in forbidden
    }


@pytest.mark.parametrize("package", PACKAGES)
def test_arrows_run_one_way(package):
    others = PACKAGES.keys() - PACKAGES[package] - {package}
    assert wrong_imports(folder_of(package), others) == set()


@pytest.mark.parametrize("package", ["owseg", "owseg_training", "owseg_export"])
def test_only_nodes_know_ros(package):
    assert wrong_imports(folder_of(package), {"rclpy", "ament_index_python", "launch"}) == set()


def test_the_core_imports_no_training_library_even_lazily():
    assert wrong_imports(folder_of("owseg"), HEAVY - {"rclpy", "tensorrt", "matplotlib"}) == set()


def test_those_checks_can_fail(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "late.py").write_text("def f():\n    from torch import nn\n    return nn\n")
    (tmp_path / "b.py").write_text("import owseg_ros.hosts as h, os\nfrom . import torch\n")
    assert wrong_imports(tmp_path, {"torch", "owseg_ros"}) == {
        ("a/late.py", "torch"),
        ("b.py", "owseg_ros"),
    }
