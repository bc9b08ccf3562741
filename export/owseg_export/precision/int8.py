"""The network in int8: QDQ nodes around its layers, scales from a calibration set.

Weights are int8 with a scale for each channel. The last convolutions, which make the embedding,
keep float32 weights.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import onnx

from owseg.errors import UsageError
from owseg.types import UInt8Array
from owseg_export.precision.normalise import fold_normalisation
from owseg_export.precision.parts import last_convolutions, replace_network, take_network

FORMS = ("cpu", "tensorrt")
"""For whom the nodes are made.

"cpu": unsigned, asymmetric activations and quantised biases, of which ONNX Runtime makes integer
kernels; the ReLU costs nothing. "tensorrt": symmetric int8 activations around convolutions and
additions, float biases, which is what TensorRT takes; on a CPU it is hardly faster than float32.
"""

_LAYERS = {
    "cpu": ("Conv", "Relu", "Add", "Concat", "Resize", "MaxPool"),
    "tensorrt": ("Conv", "Add"),
}


def to_int8(model: onnx.ModelProto, images: Sequence[UInt8Array], form: str) -> onnx.ModelProto:
    """Return the model with a network in int8.

    Args:
        model: with float32 weights.
        images: the calibration set, (H, W, 3) uint8 RGB at the size of the model.
        form: one of FORMS.

    Raises:
        UsageError: there is no such form, or no image.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    if form not in FORMS:
        raise UsageError(f"no form '{form}' of int8; there are {', '.join(FORMS)}")
    if not images:
        raise UsageError("int8 needs images to be calibrated with; name some with --calibration")
    network = take_network(model)
    symmetric = form == "tensorrt"
    if not symmetric:
        fold_normalisation(network)
    with _quiet(), _in_a_file() as path:
        quantize_static(
            network,
            path,
            _Reader(images),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(_LAYERS[form]),
            nodes_to_exclude=_excluded(network.graph, form),
            per_channel=True,
            activation_type=QuantType.QInt8 if symmetric else QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            extra_options={
                "ActivationSymmetric": symmetric,
                "WeightSymmetric": True,
                "QuantizeBias": not symmetric,
            },
        )
        quantised = onnx.load(path)
    return replace_network(model, quantised)


def _excluded(graph: Any, form: str) -> list[str]:
    """Return the names of layers that stay float32: the last convolutions, and biases of others.

    TensorRT takes no quantised constant in front of an addition.
    """
    names = last_convolutions(graph)
    if form == "tensorrt":
        constants = {tensor.name for tensor in graph.initializer}
        biases = (n for n in graph.node if n.op_type == "Add" and constants & {*n.input})
        names += [node.name for node in biases]
    return names


class _Reader:
    """Feeds the images one by one; what `CalibrationDataReader` of ONNX Runtime asks for."""

    def __init__(self, images: Sequence[UInt8Array]) -> None:
        self._images: Iterator[UInt8Array] = iter(images)

    def get_next(self) -> dict[str, Any] | None:
        """Return the next feed; None at the end."""
        image = next(self._images, None)
        return None if image is None else {"image": image[None]}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Return the feeds."""
        return ({"image": image[None]} for image in self._images)


@contextmanager
def _in_a_file() -> Iterator[str]:
    """Give the path of a file in a folder that is removed afterwards."""
    with TemporaryDirectory() as folder:
        yield str(Path(folder) / "network.onnx")


@contextmanager
def _quiet() -> Iterator[None]:
    """Drop the advice that ONNX Runtime logs: what it recommends is done already."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
