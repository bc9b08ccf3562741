"""Pictures, against hand-worked pixels and a slow reference."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from owseg.datasets.label_spaces import CAMVID11
from owseg.render import (
    OUTLINE_COLOR,
    UNKNOWN_COLOR,
    anomaly_palette,
    cluster_palette,
    color_anomaly,
    color_clusters,
    color_labels,
    dim,
    draw_clusters,
    draw_outlines,
    overlay,
    palette,
    quantise,
)
from owseg.types import ClassInfo, Frame, Result

ROAD = ClassInfo(id=0, name="road", color=(200, 0, 50))
TREE = ClassInfo(id=3, name="tree", color=(0, 100, 0))


def to_lab(colors: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(colors.astype(np.float32)[None] / 255, cv2.COLOR_RGB2LAB)[0]


def gaps(colors: np.ndarray) -> np.ndarray:
    """Distances in Lab between all pairs."""
    lab = to_lab(np.asarray(colors))
    distance = np.linalg.norm(lab[:, None] - lab[None], axis=2)
    return distance[np.triu_indices(len(lab), 1)]


def result(image: np.ndarray, open_set: np.ndarray, clusters: np.ndarray) -> Result:
    shape = image.shape[:2]
    return Result(
        frame=Frame(image=image),
        known=np.zeros(shape, np.uint8),
        anomaly=np.zeros(shape, np.float32),
        open_set=open_set,
        clusters=clusters,
    )


def test_palette_holds_class_colors_unknown_and_grey() -> None:
    table = palette([ROAD, TREE])
    assert table[0].tolist() == [200, 0, 50]
    assert table[3].tolist() == [0, 100, 0]
    assert table[255].tolist() == list(UNKNOWN_COLOR)
    assert table[1].tolist() == table[254].tolist() == [128, 128, 128]


def test_unknown_looks_unlike_every_camvid_class() -> None:
    colors = np.array(CAMVID11.colors)
    distance = np.linalg.norm(to_lab(colors) - to_lab(np.array([UNKNOWN_COLOR])), axis=1)
    assert distance.min() > 35


@pytest.mark.parametrize("step", [1, 2])
def test_color_labels_is_a_table_lookup(step: int) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 256, (13, 18), dtype=np.uint8)[:, ::step]
    table = rng.integers(0, 256, (256, 3), dtype=np.uint8)
    colored = color_labels(labels, table)
    np.testing.assert_array_equal(colored, table[labels])
    assert colored.flags.c_contiguous


def test_quantise_rounds() -> None:
    scores = np.array([[0.0, 1.0, 0.1, 100.4 / 255, 100.6 / 255]], np.float32)
    assert quantise(scores).tolist() == [[0, 255, 26, 100, 101]]


def test_anomaly_colors_grow_brighter_with_the_score() -> None:
    lightness = to_lab(anomaly_palette())[:, 0]
    assert lightness[0] < 2
    assert lightness[255] > 95
    assert (np.diff(lightness) > -0.5).all()
    colored = color_anomaly(np.array([[0.0, 1.0]], np.float32))
    np.testing.assert_array_equal(colored[0], anomaly_palette()[[0, 255]])


def test_cluster_colors_are_distinct_and_the_same_in_every_run() -> None:
    table = cluster_palette()
    assert table[0].tolist() == [0, 0, 0]
    assert len(np.unique(table, axis=0)) == 256
    assert gaps(table[1:9]).min() > 45
    assert gaps(table[1:17]).min() > 30
    np.testing.assert_array_equal(table, cluster_palette.__wrapped__())
    assert not table.flags.writeable


def test_cluster_colors_stand_out_from_ground_and_outline() -> None:
    ground = to_lab(np.array([[60, 60, 60], [120, 120, 120], OUTLINE_COLOR]))
    lab = to_lab(cluster_palette()[1:17])
    assert np.linalg.norm(lab[:, None] - ground[None], axis=2).min() > 30


def test_cluster_ids_beyond_255_start_again() -> None:
    ids = np.array([[0, 1, 255, 256, 511, 65535]], np.uint16)
    expected = cluster_palette()[[0, 1, 255, 1, 1, 255]]
    np.testing.assert_array_equal(color_clusters(ids)[0], expected)


def test_outline_covers_the_rim_and_its_neighbours() -> None:
    clusters = np.zeros((7, 7), np.uint16)
    clusters[2:5, 2:5] = 9
    drawn = draw_outlines(np.zeros((7, 7, 3), np.uint8), clusters, (1, 2, 3))
    expected = [
        ".......",
        ".#####.",
        ".#####.",
        ".##.##.",
        ".#####.",
        ".#####.",
        ".......",
    ]
    line = np.array([[c == "#" for c in row] for row in expected])
    np.testing.assert_array_equal(drawn, line[..., None] * np.array([1, 2, 3]))


def test_outline_parts_objects_that_touch() -> None:
    clusters = np.repeat(np.array([[1] * 5 + [2] * 5], np.uint16), 4, axis=0)
    drawn = draw_outlines(np.zeros((4, 10, 3), np.uint8), clusters)
    assert np.flatnonzero(drawn[2, :, 0]).tolist() == [4, 5]


def test_no_outline_along_the_edge_of_the_image() -> None:
    full = np.ones((6, 6), np.uint16)
    assert not draw_outlines(np.zeros((6, 6, 3), np.uint8), full).any()


@pytest.mark.parametrize(("rows", "width"), [(719, 2), (720, 4)])
def test_outline_is_wider_on_large_images(rows: int, width: int) -> None:
    clusters = np.zeros((rows, 20), np.uint16)
    clusters[:, 10:] = 1
    drawn = draw_outlines(np.zeros((rows, 20, 3), np.uint8), clusters)
    assert np.count_nonzero(drawn[300, :, 0]) == width


def test_overlay_blends_classes_and_outlines_objects() -> None:
    image = np.full((9, 9, 3), 100, np.uint8)
    open_set = np.zeros((9, 9), np.uint8)
    open_set[5:8, 5:8] = 255
    open_set[0, 0] = 255
    clusters = np.where(open_set == 255, 1, 0).astype(np.uint16)
    clusters[0, 0] = 0
    drawn = overlay(result(image, open_set, clusters), palette([ROAD]))
    assert drawn[2, 2].tolist() == [150, 50, 75]
    assert drawn[5, 5].tolist() == list(OUTLINE_COLOR)
    assert drawn[4, 4].tolist() == list(OUTLINE_COLOR)
    assert drawn[6, 6].tolist() == [178, 82, 50]
    assert drawn[0, 0].tolist() == [178, 82, 50], "speckle that is no object has no outline"
    assert (image == 100).all()


def test_overlay_without_opacity_is_the_image() -> None:
    image = np.random.default_rng(1).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    zeros = np.zeros((5, 6), np.uint8)
    drawn = overlay(result(image, zeros, zeros.astype(np.uint16)), palette([ROAD]), opacity=0)
    np.testing.assert_array_equal(drawn, image)


def test_dim_is_grey_and_darker() -> None:
    image = np.array([[[255, 255, 255], [0, 0, 0], [200, 200, 200]]], np.uint8)
    assert dim(image).tolist() == [[[154] * 3, [26] * 3, [126] * 3]]


def test_clusters_are_drawn_over_a_dimmed_image() -> None:
    image = np.full((9, 9, 3), 100, np.uint8)
    clusters = np.zeros((9, 9), np.uint16)
    clusters[3:8, 3:8] = 2
    drawn = draw_clusters(image, clusters)
    assert drawn[0, 0].tolist() == [76, 76, 76]
    expected = np.rint(0.4 * 100 + 0.6 * cluster_palette()[2].astype(float))
    np.testing.assert_allclose(drawn[5, 5], expected, atol=1)
    assert drawn[3, 5].tolist() == list(OUTLINE_COLOR)
    assert (image == 100).all()
