"""In which precision a network is built, and what stays in float32 whatever it is.

What the file is typed as, TensorRT 10.12 and later, and TensorRT for RTX, build as it is. Older
ones are told by flags, and may then compute anything in float16; distances, scores and labels
are kept from it: everything behind the last convolution is pinned to float32. Integers come
from QDQ nodes of the file only, never from a calibration by TensorRT.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from owseg.engines.tensorrt.runtime import TensorRT
from owseg.errors import EngineError, UsageError

PRECISIONS = ("fp32", "fp16", "int8")

DECISIONS = ("known", "anomaly", "open_set")
"""Outputs that float16 could spoil."""

_QDQ = frozenset({"QUANTIZE", "DEQUANTIZE"})
_NETWORK = frozenset({"CONVOLUTION", "DECONVOLUTION"})
_WEIGHTED = _NETWORK | {"MATRIX_MULTIPLY"}
_FLOATS = frozenset({"FLOAT", "HALF"})


def layers_of(network: Any) -> Iterator[Any]:
    """Yield the layers of a parsed network in their order."""
    for index in range(network.num_layers):
        yield network.get_layer(index)


def typed_as(network: Any) -> str:
    """Return the precision that a parsed network is typed as."""
    if any(layer.type.name in _QDQ for layer in layers_of(network)):
        return "int8"
    return "fp16" if _uses_halves(network) else "fp32"


def _uses_halves(network: Any) -> bool:
    weighted = (layer for layer in layers_of(network) if layer.type.name in _WEIGHTED)
    return any(layer.get_input(0).dtype.name == "HALF" for layer in weighted)


def choose_precision(wanted: str | None, typed: str, trt: TensorRT, model: str) -> str:
    """Return the precision to build in.

    Args:
        wanted: what was asked for; None = what the file is typed as.
        typed: what the file is typed as.
        trt: what builds it.
        model: name of the model, for messages.

    Raises:
        UsageError: there is no such precision.
        EngineError: this file cannot be built in it.
    """
    if wanted is None or wanted == typed:
        return typed
    if wanted not in PRECISIONS:
        raise UsageError(f"no precision '{wanted}'; there are {', '.join(PRECISIONS)}")
    if wanted == "int8":
        raise EngineError(
            f"model '{model}' is typed {typed}: int8 needs a file with QDQ nodes, made from "
            "calibration data at export; TensorRT's own calibration is not used"
        )
    if trt.strongly_typed:
        raise EngineError(
            f"model '{model}' is typed {typed}, and {trt.title} computes in the types of the file: "
            f"give one that is exported as {wanted}, or leave out --precision"
        )
    if typed != "fp32":
        raise EngineError(
            f"model '{model}' is typed {typed} and cannot be built as {wanted}; give the file that "
            f"is exported as {wanted}, or leave out --precision"
        )
    return wanted


def set_precision(trt: TensorRT, network: Any, config: Any, precision: str) -> int:
    """Tell a builder the precision; returns the number of layers that are pinned to float32.

    TF32 is switched off: its products have the mantissa of float16, which distances of large
    embeddings do not bear.
    """
    flags = trt.module.BuilderFlag
    config.clear_flag(flags.TF32)
    if trt.strongly_typed or precision == "fp32":
        return 0
    if precision == "int8":
        config.set_flag(flags.INT8)
    if precision == "fp16" or _uses_halves(network):
        config.set_flag(flags.FP16)
    config.set_flag(flags.OBEY_PRECISION_CONSTRAINTS)
    count = 0
    for layer in decision_layers(network):
        layer.precision = trt.module.float32
        for index in range(layer.num_outputs):
            if layer.get_output(index).dtype.name in _FLOATS:
                layer.set_output_type(index, trt.module.float32)
        count += 1
    return count


def decision_layers(network: Any) -> list[Any]:
    """Return the layers that compute with floats between the last convolutions and the decisions.

    They are found from the outputs backwards: the walk ends at convolutions, whose results feed
    distances, scores and labels, and at the inputs.
    """
    makers = {
        layer.get_output(index).name: (number, layer)
        for number, layer in enumerate(layers_of(network))
        for index in range(layer.num_outputs)
    }
    found: dict[int, Any] = {}
    waiting = list(DECISIONS)
    while waiting:
        number, layer = makers.get(waiting.pop(), (-1, None))
        if layer is None or number in found or layer.type.name in _NETWORK:
            continue
        found[number] = layer
        inputs = (layer.get_input(index) for index in range(layer.num_inputs))
        waiting += [tensor.name for tensor in inputs if tensor is not None]
    return [layer for _, layer in sorted(found.items()) if _computes_with_floats(layer)]


def _computes_with_floats(layer: Any) -> bool:
    """Whether a layer has a precision: neither constants nor shapes nor integers have."""
    if layer.type.name in ("CONSTANT", "SHAPE", "CAST"):
        return False
    tensors = [layer.get_output(index) for index in range(layer.num_outputs)]
    tensors += [layer.get_input(index) for index in range(layer.num_inputs)]
    return any(tensor is not None and tensor.dtype.name in _FLOATS for tensor in tensors)
