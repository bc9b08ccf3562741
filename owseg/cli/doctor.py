"""`owseg doctor`: what is installed, what works, and the line that fixes what does not."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from importlib.metadata import entry_points

from owseg import __version__
from owseg.errors import OwsegError

SUMMARY = "check the installation and say how to mend it"
EXAMPLE = "owseg doctor"


@dataclass(frozen=True, kw_only=True)
class Check:
    """One line of the diagnosis.

    Attributes:
        name: what was checked.
        state: "ok", "absent" (optional, not there) or "broken".
        detail: version or figure, or the line that fixes it.
    """

    name: str
    state: str
    detail: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--json", action="store_true", help="print the checks as JSON")


def run(args: argparse.Namespace) -> int:
    """Run the command; returns 1 when something that is needed is broken."""
    checks = [check for make in CHECKS for check in make()]
    if args.json:
        print(json.dumps([asdict(check) for check in checks], indent=2))
    else:
        for check in checks:
            print(f"{check.state:<7} {check.name:<24} {check.detail}")
    return 1 if any(check.state == "broken" for check in checks) else 0


def _platform() -> list[Check]:
    version = platform.python_version()
    state = "ok" if sys.version_info >= (3, 10) else "broken"
    return [
        Check(name="owseg", state="ok", detail=__version__),
        Check(name="python", state=state, detail=f"{version} on {platform.platform()}"),
    ]


def _required() -> list[Check]:
    modules = {
        "numpy": "numpy",
        "numba": "numba",
        "opencv": "cv2",
        "onnxruntime": "onnxruntime",
        "rosbags": "rosbags",
        "mcap": "mcap",
        "jinja2": "jinja2",
    }
    remedy = "pip install owseg_ros"
    return [_module(name, module, remedy, "broken") for name, module in modules.items()]


def _optional() -> list[Check]:
    return [
        _module("torch (training)", "torch", "pip install 'owseg_ros[train]'", "absent"),
        _module("onnx (export)", "onnx", "pip install 'owseg_ros[train]'", "absent"),
        _module("rclpy (ROS 2)", "rclpy", "source /opt/ros/<distro>/setup.bash", "absent"),
    ]


def _module(name: str, module: str, remedy: str, missing: str) -> Check:
    try:
        imported = importlib.import_module(module)
    except Exception as error:  # a half-installed package can fail in any way
        return Check(name=name, state=missing, detail=f"{error}; {remedy}")
    version = getattr(imported, "__version__", None)
    try:
        version = version or metadata.version(module)
    except metadata.PackageNotFoundError:
        version = "version unknown"
    return Check(name=name, state="ok", detail=str(version))


def _gpu() -> list[Check]:
    try:
        from owseg.engines.ort_cuda import cuda_obstacle, made_for_cuda

        made, obstacle = made_for_cuda(), cuda_obstacle()
    except ImportError as error:
        return [Check(name="GPU", state="absent", detail=str(error))]
    if not obstacle:
        return [Check(name="GPU", state="ok", detail="ONNX Runtime with CUDA")]
    if made:
        return [Check(name="GPU", state="absent", detail=obstacle)]
    driver = shutil.which("nvidia-smi") is not None
    remedy = "pip install 'owseg_ros[gpu]'" if driver else "no NVIDIA driver; the CPU is used"
    return [Check(name="GPU", state="absent", detail=remedy)]


def _tensorrt() -> list[Check]:
    try:
        from owseg.engines.tensorrt.cuda import Cuda
        from owseg.engines.tensorrt.runtime import find_tensorrt

        found = find_tensorrt()
        detail = f"{found.title} on {Cuda().name}"
    except (OwsegError, ImportError) as error:
        return [Check(name="TensorRT", state="absent", detail=str(error))]
    return [Check(name="TensorRT", state="ok", detail=detail)]


def _ros() -> list[Check]:
    distro = os.environ.get("ROS_DISTRO")
    if distro:
        return [Check(name="ROS 2", state="ok", detail=distro)]
    remedy = "not sourced; replay and eval do not need it"
    return [Check(name="ROS 2", state="absent", detail=remedy)]


def _others() -> list[Check]:
    """Ask the other packages of this project, through the entry-point group `owseg.checks`."""
    found: list[Check] = []
    for entry in sorted(entry_points(group="owseg.checks"), key=lambda entry: entry.name):
        try:
            found += entry.load()()
        except Exception as error:  # what is half installed can fail in any way
            detail = f"{' '.join(str(error).split())}; pip install owseg_ros"
            found.append(Check(name=entry.name, state="broken", detail=detail))
    return found


def _model() -> list[Check]:
    try:
        return [Check(name="shipped model", state="ok", detail=_timed_model())]
    except (OwsegError, ImportError) as error:
        return [Check(name="shipped model", state="broken", detail=str(error))]


def _timed_model() -> str:
    """Run the shipped model; the imports are here, so that a broken package is a finding."""
    import numpy as np

    from owseg.bundle import load_bundle, shipped_model
    from owseg.engines import OnnxRuntimeEngine, PrototypeSlots

    bundle = load_bundle(shipped_model())
    m = bundle.manifest
    image = np.zeros((1, m.height, m.width, 3), np.uint8)
    slots = PrototypeSlots.empty(m)
    with OnnxRuntimeEngine(bundle, "cpu") as engine:
        engine.infer(image, slots, 0.5)
        started = time.perf_counter()
        engine.infer(image, slots, 0.5)
        took = (time.perf_counter() - started) * 1e3
    heads = f"{took:.0f} ms on the CPU, {engine.heads} heads"
    return f"{m.name}, {m.width}x{m.height}, {len(m.classes)} classes, {heads}"


CHECKS: tuple[Callable[[], list[Check]], ...] = (
    _platform,
    _required,
    _optional,
    _gpu,
    _tensorrt,
    _ros,
    _others,
    _model,
)
