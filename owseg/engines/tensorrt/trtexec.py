"""The same build as a command line of NVIDIA's own tool, to compare with or to report a bug."""

from __future__ import annotations

import shlex
from pathlib import Path

from owseg.engines.cache_key import EngineKey
from owseg.engines.tensorrt.runtime import TensorRT
from owseg.engines.tensorrt.tensors import IMAGE


def trtexec_line(trt: TensorRT, key: EngineKey, onnx: Path, plan: Path, timing: Path) -> str:
    """Return the equivalent call of trtexec, or of tensorrt_rtx.

    What it has no short option for is left out: the layers that are kept in float32 where
    TensorRT before 10.12 builds in fp16 or int8.

    Args:
        trt: what builds.
        key: what is built.
        onnx: the model.
        plan: the engine.
        timing: file of the measurements.
    """
    words = ["tensorrt_rtx" if trt.rtx else "trtexec", f"--onnx={onnx}", f"--saveEngine={plan}"]
    words += _shapes(key)
    words.append(f"--memPoolSize=workspace:{key.workspace}")
    words.append("--noTF32")
    if trt.rtx:
        words.append(f"--computeCapabilities={key.capability.replace('.', '')}")
    else:
        words += _precision(trt, key)
        words.append(f"--timingCacheFile={timing}")
    words.append("--buildOnly" if not trt.rtx and trt.release < (8, 6) else "--skipInference")
    return shlex.join(words)


def _shapes(key: EngineKey) -> list[str]:
    batch, _, rest = key.inputs.partition("x")
    if ".." not in batch:
        return []
    least, _, most = batch.partition("..")
    sizes = {"min": least, "opt": most, "max": most}
    return [f"--{name}Shapes={IMAGE}:{count}x{rest}" for name, count in sizes.items()]


def _precision(trt: TensorRT, key: EngineKey) -> list[str]:
    if trt.strongly_typed:
        return ["--stronglyTyped"]
    return [] if key.precision == "fp32" else [f"--{key.precision}"]
