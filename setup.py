"""One setup.py for both worlds: pip (`pip install .`) and colcon (ament_python)."""

import glob
import os
import re
import shutil
import sys

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

NAME = "owseg_ros"
with open(os.path.join("owseg", "__init__.py"), encoding="utf-8") as _file:
    VERSION = re.search(r'__version__ = "(.+)"', _file.read()).group(1)

DDS = ['cyclonedds==11.0.1; python_version < "3.14"']
LINUX_PC = "sys_platform == 'linux' and platform_machine == 'x86_64'"
RTX = [f"tensorrt-rtx-cu13-{part}>=1.7; {LINUX_PC}" for part in ("bindings", "libs")]
TRAIN = [
    "torch>=2.6",
    "onnx>=1.17",
    "onnxscript>=0.3",
    "matplotlib>=3.8",
    "scikit-learn>=1.4",
]
TRANSFORMERS = ["transformers>=4.57"]
TEST = [
    "pytest>=8",
    "pytest-xdist>=3.5",
    "hypothesis>=6.100",
    "scikit-learn>=1.4",
    "scipy>=1.11",
    "onnx>=1.17",
    *DDS,
    *RTX,
    *TRANSFORMERS,
    "ruff>=0.6",
    "mypy>=1.11",
]

# colcon runs `setup.py install` or `develop`, and setup.cfg puts the scripts into lib/owseg_ros,
# where `ros2 run` looks for them. pip runs neither: in the bin of an environment names like
# "camera" would be in the way, and `owseg node camera` does the same.
NODES = [
    "perception = owseg_ros.commands.perception:main",
    "prototype_server = owseg_ros.prototype_server.command:main",
    "camera = owseg_ros.camera.command:main",
]
IS_COLCON = not {"install", "develop"}.isdisjoint(sys.argv[1:])


class BuildPy(build_py):
    """Also copies the interface package, whose types the standalone host reads."""

    def run(self):
        """Build as usual, then copy owseg_msgs/{msg,srv} into the package owseg_ros."""
        super().run()
        if getattr(self, "editable_mode", False):
            return
        for kind in ("msg", "srv"):
            target = os.path.join(self.build_lib, "owseg_ros", "interfaces", "owseg_msgs", kind)
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(os.path.join("owseg_msgs", kind), target)


setup(
    name=NAME,
    version=VERSION,
    description="Open-world semantic segmentation for ROS 2: known classes, anomalies, new classes",
    license="Apache-2.0",
    maintainer="owseg_ros maintainers",
    maintainer_email="maintainers@owseg-ros.invalid",
    python_requires=">=3.10",
    packages=[
        *find_packages(include=["owseg", "owseg.*", "owseg_ros", "owseg_ros.*"]),
        *find_packages("training"),
        *find_packages("export"),
    ],
    package_dir={
        "owseg_training": "training/owseg_training",
        "owseg_export": "export/owseg_export",
    },
    package_data={
        "owseg": ["py.typed", "models/*", "replay/templates/*"],
        "owseg.datasets": ["manifests/*.json"],
        "owseg_ros": ["py.typed", "interfaces/*/*/*"],
        "owseg_training": ["py.typed"],
        "owseg_export": ["py.typed"],
    },
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/" + NAME]),
        ("share/" + NAME, ["package.xml"]),
        *(
            (os.path.join("share", NAME, folder), sorted(glob.glob(os.path.join(folder, "*.*"))))
            for folder in ("launch", "config", "rviz")
        ),
    ],
    install_requires=[
        "setuptools",
        "numpy>=1.24",
        "numba>=0.58",
        "opencv-python-headless>=4.8",
        "onnxruntime>=1.17",
        "rosbags>=0.11",
        "mcap>=1.1",
        "jinja2>=3.1",
        "tqdm>=4.66",
        "ruamel.yaml>=0.18",
    ],
    cmdclass={"build_py": BuildPy},
    extras_require={
        "train": TRAIN,
        "transformers": [*TRAIN, *TRANSFORMERS],
        "dds": DDS,
        "gpu": ["onnxruntime-gpu>=1.17"],
        "tensorrt": ["tensorrt>=8.5", "cuda-python>=12"],
        "rtx": [*RTX, "cuda-python>=12"],
        "viz": ["matplotlib>=3.8"],
        "test": TEST,
    },
    entry_points={
        "console_scripts": ["owseg = owseg.cli:main", *(NODES if IS_COLCON else [])],
        "owseg.commands": [
            "train = owseg_training.command",
            "export = owseg_export.command",
            "table = owseg_export.tables.command",
            "incremental = owseg_training.incremental.command",
            "goss = owseg_training.goss.command",
            "node = owseg_ros.commands.node",
            "up = owseg_ros.commands.up",
        ],
        "owseg.checks": ["nodes = owseg_ros.checks:checks"],
        "owseg.bench_peers": ["torch = owseg_export.bench_peers:PEERS"],
    },
    zip_safe=False,
)
