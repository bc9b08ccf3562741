"""The anomaly score in fewer bytes, for what has to leave a GPU: a quarter or half of float32.

Every engine can give, beside the outputs of the graph,

    anomaly_u8    uint8 [B, H, W]    the score in steps of 1/255, to the nearest
    anomaly_f16   float16 [B, H, W]  the score to the nearest float16

Engines on a GPU let the graph compute them, so that only they are copied; others round on the
host, and so does TensorRT before 10.12 for float16, which it has only in networks that it may
compute in float16. Decisions are not touched: `open_set` compares the float32 score with the
threshold.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from owseg.engines.base import COMPACT, Outputs
from owseg.engines.onnx_file.model import (
    FLOAT,
    FLOAT16,
    GRAPH,
    INITIALIZER,
    NODE,
    OUTPUT,
    UINT8,
    Node,
    encode_tensor,
    int_attribute,
    value_info,
)
from owseg.engines.onnx_file.protobuf import body, fields, name_of, pack
from owseg.manifest import Manifest
from owseg.types import FloatArray

SCORE = "anomaly"

SCORES: Mapping[str, str] = {"float32": SCORE, "float16": COMPACT[1], "uint8": COMPACT[0]}
"""Output that carries the score, by its type."""

_STEPS = np.float32(255.0)


def narrow(name: str, scores: FloatArray) -> np.ndarray:
    """Round scores on the host as the graph does.

    Args:
        name: in `COMPACT`.
        scores: float32, 0..1.
    """
    if name == SCORES["float16"]:
        return scores.astype(np.float16)
    rounded: np.ndarray = (scores * _STEPS + np.float32(0.5)).astype(np.uint8)
    return rounded


def widen(scores: np.ndarray) -> FloatArray:
    """Turn scores of any of the types back into float32, 0..1."""
    if scores.dtype != np.uint8:
        return scores.astype(np.float32, copy=False)
    wide: FloatArray = np.divide(scores, _STEPS, dtype=np.float32)
    return wide


def on_host(outputs: Sequence[str], run: Callable[[Sequence[str]], Outputs]) -> Outputs:
    """Serve compact scores from an engine that has only those of the graph.

    Args:
        outputs: names, compact ones may be among them.
        run: gives outputs of the graph by their names.
    """
    if set(COMPACT).isdisjoint(outputs):
        return run(outputs)
    arrays = run(tuple(dict.fromkeys(SCORE if name in COMPACT else name for name in outputs)))
    scores: FloatArray = arrays[SCORE]  # type: ignore[assignment]
    return {name: narrow(name, scores) if name in COMPACT else arrays[name] for name in outputs}


def bytes_of(manifest: Manifest, outputs: Sequence[str]) -> dict[str, int]:
    """Return the bytes of each output for one image: what a GPU copies to the host for it."""
    pixels, cells = manifest.height * manifest.width, math.prod(manifest.grid)
    sizes = {
        "known": pixels,
        "open_set": pixels,
        "anomaly": 4 * pixels,
        "anomaly_f16": 2 * pixels,
        "anomaly_u8": pixels,
        "direction": 4 * 2 * cells,
        "embedding": 4 * manifest.embedding_size * cells,
    }
    return {name: sizes[name] for name in outputs}


# In the graph ------------------------------------------------------------------------------------


def add_compact(model: bytes, *, halves: bool = True) -> bytes:
    """Return a model with the compact scores as further outputs.

    Args:
        model: a serialized ONNX model with its weights inside.
        halves: whether those in float16 are wanted, too.

    Returns:
        The model itself where it has no score, or has them already.
    """
    return b"".join(
        pack(GRAPH, _extended(body(value), halves)) if number == GRAPH else raw
        for number, value, raw in fields(model)
    )


def _extended(graph: bytes, halves: bool) -> bytes:
    found = {
        name_of(body(value), 1): body(value)
        for number, value, _ in fields(graph)
        if number == OUTPUT
    }
    if SCORE not in found or not found.keys().isdisjoint(COMPACT):
        return graph
    like, (byte, half) = found[SCORE], COMPACT
    nodes = [
        _node("Mul", (SCORE, f"{byte}_steps"), f"{byte}_scaled"),
        _node("Add", (f"{byte}_scaled", f"{byte}_half"), f"{byte}_rounded"),
        # In the form that TensorRT takes without a change: integers go to uint8 by way of floats.
        _node("Cast", (f"{byte}_rounded",), f"{byte}_as_float", FLOAT),
        _node("Cast", (f"{byte}_as_float",), byte, UINT8),
    ]
    parts = [pack(NODE, node.encode()) for node in nodes]
    for name, number in (("steps", _STEPS), ("half", np.float32(0.5))):
        data = np.array(number, "<f4").tobytes()
        parts.append(pack(INITIALIZER, encode_tensor(f"{byte}_{name}", FLOAT, (), data)))
    parts.append(pack(OUTPUT, value_info(like, byte, UINT8)))
    if halves:
        parts.append(pack(NODE, _node("Cast", (SCORE,), half, FLOAT16).encode()))
        parts.append(pack(OUTPUT, value_info(like, half, FLOAT16)))
    return b"".join((graph, *parts))


def _node(op: str, inputs: tuple[str, ...], output: str, to: int = 0) -> Node:
    attributes = {"to": int_attribute("to", to)} if to else {}
    return Node(
        op=op, inputs=inputs, outputs=(output,), name=f"{output}_{op}", attributes=attributes
    )
