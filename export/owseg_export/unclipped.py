"""The score itself in the graph and in torch: of the very same embedding, and before it is clipped.

The gate of `parity` sees the score as users do. Two things hide there what is wrong with it: the
network rounds a little differently in every runtime, which a score may magnify, so that limits
are wide; and what is clipped to 0 or 1 agrees whatever it was.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor

from owseg.datasets import Truth
from owseg.engines.onnx_file.cut import cut
from owseg.errors import BundleError
from owseg.types import FloatArray, UInt8Array
from owseg_export.parity import ParityLimits
from owseg_export.trained import TrainedNetwork
from owseg_training.scorers import CalibratedScore, Evidence, get_scorer

_SCORE, _EMBEDDING = "anomaly", "embedding"


def check_unclipped(
    trained: TrainedNetwork,
    score: CalibratedScore,
    model: onnx.ModelProto,
    data: Sequence[tuple[UInt8Array, Truth]],
    limit: float = ParityLimits.unclipped,
) -> float:
    """Compare the score of every pixel.

    Args:
        trained: the network.
        score: its calibrated score.
        model: the exported graph.
        data: images at the network's size; their truth is not looked at.
        limit: how far a pixel may differ.

    Returns:
        The largest difference; 1 = the distance between the raw scores that become 0 and 1, or
        the score itself where it is larger.

    Raises:
        BundleError: a pixel differs by more than the limit, or is not finite.
    """
    name = _before_the_clip(model)
    session = _session(model, name)
    largest = 0.0
    for image, _ in data:
        found, embedding = session.run([name, _EMBEDDING], {"image": image[None]})
        with torch.no_grad():
            evidence = trained.evidence_from(torch.from_numpy(embedding), found.shape[1:])
            expected = _unclipped(score, evidence).numpy()
        largest = max(largest, _gap(expected, found))
    if not largest <= limit:
        raise BundleError(
            f"the score of the exported graph differs from torch by {largest:.2g} from the same "
            f"embedding (limit {limit:g}); no bundle was written"
        )
    return largest


def _before_the_clip(model: onnx.ModelProto) -> str:
    """Return the name of the score before it is clipped, or of the score where it is not."""
    (node,) = [node for node in model.graph.node if _SCORE in node.output]
    return str(node.input[0]) if node.op_type == "Clip" else _SCORE


def _session(model: onnx.ModelProto, name: str) -> onnxruntime.InferenceSession:
    """Open the graph cut down to the embedding and a tensor that may be within it."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    if name != _SCORE:
        (score,) = [output for output in copy.graph.output if output.name == _SCORE]
        copy.graph.output.add().CopyFrom(score)
        copy.graph.output[-1].name = name
    graph = cut(copy.SerializeToString(), (name, _EMBEDDING))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _unclipped(score: CalibratedScore, evidence: Evidence) -> Tensor:
    calibration = score.calibrations.get(score.method)
    if score.form != "constant" or calibration is None:
        result: Tensor = score(evidence)
        return result
    return calibration.scaled(get_scorer(score.method, score.fitted)(evidence))


def _gap(expected: FloatArray, found: FloatArray) -> float:
    return float((np.abs(expected - found) / np.maximum(np.abs(expected), 1.0)).max())
