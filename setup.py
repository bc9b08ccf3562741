"""One setup.py for both worlds: pip (`pip install .`) and colcon (ament_python)."""

import os
import re

from setuptools import find_packages, setup

NAME = "owseg_ros"
with open(os.path.join("owseg", "__init__.py"), encoding="utf-8") as _file:
    VERSION = re.search(r'__version__ = "(.+)"', _file.read()).group(1)

TRAIN = [
    "torch>=2.6",
    "onnx>=1.17",
    "onnxscript>=0.3",
    "matplotlib>=3.8",
]
TEST = [
    "pytest>=8",
    "pytest-xdist>=3.5",
    "hypothesis>=6.100",
    "scikit-learn>=1.4",
    "scipy>=1.11",
    "onnx>=1.17",
    "ruff>=0.6",
    "mypy>=1.11",
]

setup(
    name=NAME,
    version=VERSION,
    description="Open-world semantic segmentation for ROS 2: known classes, anomalies, new classes",
    license="Apache-2.0",
    maintainer="owseg_ros maintainers",
    maintainer_email="maintainers@owseg-ros.invalid",
    python_requires=">=3.10",
    packages=[
        *find_packages(include=["owseg", "owseg.*"]),
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
        "owseg_training": ["py.typed"],
        "owseg_export": ["py.typed"],
    },
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/" + NAME]),
        ("share/" + NAME, ["package.xml"]),
    ],
    install_requires=[
        "setuptools",
        "numpy>=1.24",
        "opencv-python-headless>=4.8",
        "onnxruntime>=1.17",
        "rosbags>=0.11",
        "mcap>=1.1",
        "jinja2>=3.1",
        "tqdm>=4.66",
    ],
    extras_require={
        "train": TRAIN,
        "gpu": ["onnxruntime-gpu>=1.17"],
        "test": TEST,
    },
    entry_points={
        "console_scripts": ["owseg = owseg.cli:main"],
        "owseg.commands": [
            "train = owseg_training.command",
            "export = owseg_export.command",
        ],
    },
    zip_safe=False,
)
