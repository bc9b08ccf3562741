"""Scores with a state, fitted on cells of training images."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn

from owseg.datasets import Truth
from owseg.errors import BundleError, UsageError
from owseg.types import IGNORE_ID, UInt8Array
from owseg_export.trained import TrainedNetwork
from owseg_training.scorers import FITTED_SCORERS, Cells

CELLS_PER_IMAGE = 2000


def gather_cells(trained: TrainedNetwork, data: Iterator[tuple[UInt8Array, Truth]]) -> Cells:
    """Draw cells of known classes from the network's grid, with a fixed seed.

    A cell has the class of the pixel in its middle.

    Args:
        trained: the network.
        data: images with truth, at the network's size.

    Raises:
        UsageError: no image has a pixel of a known class.
    """
    rng = np.random.default_rng(0)
    parts: list[Cells] = []
    for image, truth in data:
        with torch.no_grad():
            x = torch.from_numpy(image[None]).permute(0, 3, 1, 2).float() / 255.0
            evidence = trained.evidence_of(x)
        assert evidence.embedding is not None
        labels = _at_cells(truth.known, evidence.logits.shape[-2:])
        known = np.flatnonzero(labels != IGNORE_ID)
        if not known.size:
            continue
        chosen = rng.choice(known, min(CELLS_PER_IMAGE, known.size), False)
        index = torch.from_numpy(chosen)
        parts.append(
            Cells(
                evidence.embedding[0].flatten(1)[:, index].T,
                evidence.logits[0].flatten(1)[:, index].T,
                torch.from_numpy(labels.ravel()[chosen].astype(np.int64)),
            )
        )
    if not parts:
        raise UsageError(
            "no image has a pixel of a known class to fit the score on; check the truth map"
        )
    return Cells(*(torch.cat(column) for column in zip(*parts, strict=True)))


def _at_cells(labels: UInt8Array, grid: Sequence[int]) -> UInt8Array:
    """Return the labels in the middle of the cells of a grid of (rows, columns)."""
    rows, columns = (
        ((np.arange(count) + 0.5) * length / count).astype(np.int64)
        for count, length in zip(grid, labels.shape, strict=True)
    )
    return labels[np.ix_(rows, columns)]


def fit_scores(
    trained: TrainedNetwork, data: Iterator[tuple[UInt8Array, Truth]], methods: Sequence[str]
) -> tuple[dict[str, nn.Module], int]:
    """Fit the scores with a state.

    Args:
        trained: the network.
        data: images with truth, at the network's size; not looked at where there is no such score.
        methods: names of scores.

    Returns:
        The fitted ones of them by name, and the number of cells that they are fitted on.

    Raises:
        UsageError: no image has a pixel of a known class.
    """
    wanted = [name for name in methods if name in FITTED_SCORERS]
    if not wanted:
        return {}, 0
    cells = gather_cells(trained, data)
    return {name: FITTED_SCORERS[name](cells) for name in wanted}, len(cells.labels)


def check_stored(model: onnx.ModelProto, fitted: nn.Module) -> None:
    """Refuse a graph that does not hold the state of its score to the bit.

    What a score says of a few images does not show every value: the nearest of a bank of
    embeddings is but one of them.

    Raises:
        BundleError: a part of the state is not among the constants of the graph.
    """
    arrays = (numpy_helper.to_array(tensor) for tensor in model.graph.initializer)
    stored = {(array.shape, array.tobytes()) for array in arrays}
    for name, value in sorted(fitted.state_dict().items()):
        if (tuple(value.shape), value.numpy().tobytes()) not in stored:
            raise BundleError(
                f"the exported graph does not hold '{name}' of the fitted score; no bundle was "
                "written"
            )


def fingerprint(fitted: nn.Module) -> str:
    """Return the SHA-256 of the state of a score: names and float32 values, by name."""
    digest = hashlib.sha256()
    for name, value in sorted(fitted.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.numpy().astype("<f4").tobytes())
    return digest.hexdigest()
