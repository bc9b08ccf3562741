"""What is measured of each unknown object: size, shape, place, scores, classes in and around it.

All of it comes from maps that are there for every frame, so that measuring needs no second look
into the network.

Source: after Rottmann et al., Prediction error meta classification in semantic segmentation, IJCNN
2020, and Chan et al., Entropy maximization and meta classification, ICCV 2021, with the calibrated
anomaly score in place of the dispersion of the softmax.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from owseg.types import FloatArray, UInt8Array, UInt16Array

FloatVector = npt.NDArray[np.float64]

SHAPES = (
    "log_area",
    "border_share",
    "compactness",
    "box_width",
    "box_height",
    "box_fill",
    "column",
    "row",
)
SCORES = (
    "score_mean",
    "score_std",
    "score_max",
    "score_inside",
    "score_inside_std",
    "score_border",
    "score_border_std",
    "score_around",
    "score_around_std",
    "score_step",
    "classes_entropy",
    "classes_around_entropy",
)

_RING = 5
"""Width of the square that reaches the surroundings: two pixels on each side."""


def feature_names(classes: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the features for the known classes of a model, in their order."""
    return (
        *SHAPES,
        *SCORES,
        *(f"share {name}" for name in classes),
        *(f"around {name}" for name in classes),
    )


def measure(
    clusters: UInt16Array, anomaly: FloatArray, known: UInt8Array, num_classes: int
) -> FloatArray:
    """Measure each object of a map.

    Args:
        clusters: (H, W) uint16 ids 1, 2, ..., 0 = none.
        anomaly: (H, W) float32 anomaly score, 0..1.
        known: (H, W) uint8 best known class of each pixel; others than
            0..num_classes - 1 (learnt ones) count as no class.
        num_classes: N.

    Returns:
        (largest id, F) float32, in the order of `feature_names`; zeros for ids without pixels.
    """
    count = int(clusters.max(initial=0))
    if not count:
        return np.zeros((0, len(SHAPES) + len(SCORES) + 2 * num_classes), np.float32)
    grown = cv2.dilate(clusters, np.ones((_RING, _RING), np.uint8))
    place = np.flatnonzero(grown)
    inside = clusters.reshape(-1)[place]
    ids = grown.reshape(-1)[place].astype(np.intp)
    score = anomaly.reshape(-1)[place].astype(np.float64)
    label = np.minimum(known.reshape(-1)[place], num_classes).astype(np.intp)
    own, ring = inside > 0, inside == 0
    ids[own] = inside[own]
    border = own & _border(clusters).reshape(-1)[place]
    shapes = _shapes(clusters.shape, ids[own], place[own], border[own], count)
    parts = {"": own, "inside": own & ~border, "border": border, "around": ring}
    means = {name: _mean_std(ids[of], score[of], count) for name, of in parts.items()}
    in_it = _class_shares(ids[own], label[own], count, num_classes)
    around = _class_shares(ids[ring], label[ring], count, num_classes)
    whole, core, edge, outside = (means[name] for name in parts)
    highest = np.zeros(count + 1)
    np.maximum.at(highest, ids[own], score[own])
    columns = [
        *shapes,
        *whole,
        highest,
        *core,
        *edge,
        *outside,
        whole[0] - outside[0],
        _entropy(in_it),
        _entropy(around),
        *in_it[:num_classes],
        *around[:num_classes],
    ]
    table: FloatArray = np.stack(columns, axis=1)[1:].astype(np.float32)
    table[~np.isin(np.arange(1, count + 1), inside[own])] = 0
    return table


def _border(clusters: UInt16Array) -> npt.NDArray[np.bool_]:
    """(H, W) pixels with a neighbour, left, right, above or below, of another id."""
    border = np.zeros(clusters.shape, np.bool_)
    across, down = clusters[:, 1:] != clusters[:, :-1], clusters[1:] != clusters[:-1]
    border[:, 1:] |= across
    border[:, :-1] |= across
    border[1:] |= down
    border[:-1] |= down
    return border


def _shapes(
    size: tuple[int, ...],
    ids: npt.NDArray[np.intp],
    place: npt.NDArray[np.intp],
    border: npt.NDArray[np.bool_],
    count: int,
) -> list[FloatVector]:
    """Columns of `SHAPES`, (count + 1,) each; lengths are shares of the image."""
    height, width = size
    row, column = np.divmod(place, width)
    area = np.bincount(ids, minlength=count + 1).astype(np.float64)
    pixels = np.maximum(area, 1.0)
    edge = np.bincount(ids, weights=border, minlength=count + 1)
    box = []
    for values, length in ((column, width), (row, height)):
        low, high = np.full(count + 1, length), np.zeros(count + 1, np.intp)
        np.minimum.at(low, ids, values)
        np.maximum.at(high, ids, values + 1)
        box.append(np.maximum(high - low, 1))
    return [
        np.log(pixels / (height * width)),
        edge / pixels,
        pixels / np.maximum(edge, 1.0) ** 2,
        box[0] / width,
        box[1] / height,
        pixels / (box[0] * box[1]),
        np.bincount(ids, weights=column + 0.5, minlength=count + 1) / pixels / width,
        np.bincount(ids, weights=row + 0.5, minlength=count + 1) / pixels / height,
    ]


def _mean_std(
    ids: npt.NDArray[np.intp], values: FloatVector, count: int
) -> tuple[FloatVector, FloatVector]:
    """Mean and standard deviation by id, (count + 1,); 0 where there is no pixel."""
    number = np.maximum(np.bincount(ids, minlength=count + 1), 1)
    mean = np.bincount(ids, weights=values, minlength=count + 1) / number
    square = np.bincount(ids, weights=(values - mean[ids]) ** 2, minlength=count + 1) / number
    return mean, np.sqrt(square)


def _class_shares(
    ids: npt.NDArray[np.intp], labels: npt.NDArray[np.intp], count: int, num_classes: int
) -> FloatVector:
    """(N + 1, count + 1) share of the pixels of each class; the last one is no known class."""
    classes = num_classes + 1
    table = np.bincount(ids * classes + labels, minlength=(count + 1) * classes)
    table = table.reshape(count + 1, classes).T
    shares: FloatVector = table / np.maximum(table.sum(axis=0), 1)
    return shares


def _entropy(shares: FloatVector) -> FloatVector:
    """Entropy over the first axis, in nats."""
    logs = np.log(np.where(shares > 0, shares, 1.0))
    entropy: FloatVector = -(shares * logs).sum(axis=0)
    return entropy
