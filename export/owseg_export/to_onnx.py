"""From the graph module to ONNX bytes with float16 weights and the embedded manifest."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper

from owseg import __version__
from owseg.bundle import INPUTS, OUTPUTS
from owseg.errors import OutputError
from owseg.manifest import METADATA_KEY, Manifest
from owseg_export.graph import OpenWorldGraph

OPSET = 18
MIN_COMPRESSED = 256
"""Smallest weight tensor, in elements, that is stored as float16."""


def export_onnx(graph: OpenWorldGraph, manifest: Manifest) -> onnx.ModelProto:
    """Trace the graph at the manifest's size with a dynamic batch.

    Args:
        graph: the graph, in evaluation mode.
        manifest: sizes; it is embedded in the model.
    """
    program = _trace(graph, manifest)
    buffer = io.BytesIO()
    program.save(buffer)
    model = onnx.load_from_string(buffer.getvalue())
    compress_weights(model)
    del model.metadata_props[:]
    helper.set_model_props(model, {METADATA_KEY: manifest.to_json()})
    model.producer_name, model.producer_version = "owseg", __version__
    strip_debug(model)
    onnx.checker.check_model(model)
    return model


def save_onnx(model: onnx.ModelProto, path: Path) -> None:
    """Write a model.

    Raises:
        OutputError: the file cannot be written.
    """
    try:
        onnx.save(model, str(path))
    except OSError as error:
        raise OutputError(f"cannot write the bundle {path}: {error.strerror}") from error


def _trace(graph: OpenWorldGraph, manifest: Manifest) -> Any:
    # A batch of 2: a traced batch of 1 would be frozen into the graph.
    args = (
        torch.zeros(2, manifest.height, manifest.width, 3, dtype=torch.uint8),
        torch.zeros(manifest.slots, manifest.embedding_size),
        torch.zeros(manifest.slots),
        torch.zeros(manifest.slots),
        torch.full((1,), 0.5),
    )
    batch = torch.export.Dim("batch", min=1, max=64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.onnx.export(
            graph,
            args,
            dynamo=True,
            opset_version=OPSET,
            input_names=list(INPUTS),
            output_names=list(OUTPUTS),
            dynamic_shapes=({0: batch}, None, None, None, None),
            external_data=False,
            verbose=False,
        )


def compress_weights(model: onnx.ModelProto) -> None:
    """Store large float32 initializers as float16, with a Cast back, in place.

    Runtimes fold the casts when they load the graph; the arithmetic stays float32.
    """
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(tensor)
        if values.size < MIN_COMPRESSED or values.ndim != 4:
            continue
        name = tensor.name
        half = numpy_helper.from_array(values.astype(np.float16), name + "_fp16")
        tensor.CopyFrom(half)
        casts.append(
            helper.make_node(
                "Cast", [half.name], [name], name=f"{name}_cast", to=onnx.TensorProto.FLOAT
            )
        )
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(casts + nodes)


def strip_debug(model: onnx.ModelProto) -> None:
    """Remove stack traces and intermediate shapes that the exporter leaves, in place."""
    del model.graph.value_info[:]
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    for value in (*model.graph.input, *model.graph.output):
        del value.metadata_props[:]
    del model.graph.metadata_props[:]
    for function in model.functions:
        function.doc_string = ""
