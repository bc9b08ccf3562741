"""The equivalent command line of each version."""

from __future__ import annotations

import shlex
from pathlib import Path
from types import ModuleType

import pytest

from owseg.engines.cache_key import EngineKey
from owseg.engines.tensorrt.runtime import TensorRT
from owseg.engines.tensorrt.trtexec import trtexec_line

SHAPES = [
    "--minShapes=image:1x360x480x3",
    "--optShapes=image:4x360x480x3",
    "--maxShapes=image:4x360x480x3",
]
COMMON = ["--memPoolSize=workspace:512", "--noTF32"]
TIMING = "--timingCacheFile=/c/t.bin"


def line(version, *, flavour="tensorrt", **parts):
    trt = TensorRT(module=ModuleType("m"), flavour=flavour, version=version)
    values = {"precision": "fp32", "inputs": "1..4x360x480x3", "workspace": 512} | parts
    key = EngineKey(
        model="m",
        flavour=flavour,
        version=version,
        gpu="g",
        capability="12.0",
        multiprocessors=9,
        **values,
    )
    paths = (Path("/my models/m.onnx"), Path("/c/k.plan"), Path("/c/t.bin"))
    words = shlex.split(trtexec_line(trt, key, *paths))
    assert words[1:3] == ["--onnx=/my models/m.onnx", "--saveEngine=/c/k.plan"]
    return [words[0], *words[3:]]


@pytest.mark.parametrize(
    ("version", "parts", "words"),
    [
        ("8.5.2.2", {}, [TIMING, "--buildOnly"]),
        ("8.6.1", {"precision": "fp16"}, ["--fp16", TIMING, "--skipInference"]),
        ("10.3.0", {"precision": "fp16"}, ["--fp16", TIMING, "--skipInference"]),
        ("10.3.0", {"precision": "int8"}, ["--int8", TIMING, "--skipInference"]),
        ("10.12.0", {"precision": "fp16"}, ["--stronglyTyped", TIMING, "--skipInference"]),
        ("11.4.0", {"precision": "int8"}, ["--stronglyTyped", TIMING, "--skipInference"]),
    ],
)
def test_trtexec(version, parts, words):
    assert line(version, **parts) == ["trtexec", *SHAPES, *COMMON, *words]


def test_a_fixed_batch_has_no_shapes():
    assert line("10.3.0", inputs="2x360x480x3") == ["trtexec", *COMMON, TIMING, "--skipInference"]


def test_tensorrt_for_rtx():
    assert line("1.7.1", flavour="tensorrt_rtx") == [
        "tensorrt_rtx",
        *SHAPES,
        *COMMON,
        "--computeCapabilities=120",
        "--skipInference",
    ]
