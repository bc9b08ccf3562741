"""The pictures of the report: errors, numbers, truth, and their size."""

from __future__ import annotations

import base64
import runpy
from pathlib import Path

import cv2
import numpy as np
import pytest

from owseg.replay import report as report_module
from owseg.replay.report_frames import TRUTH_ANOMALY, take_shot
from owseg.replay.report_panels import (
    FALSE_ALARM,
    FOUND,
    MISSED,
    WRONG_CLASS,
    draw_errors,
    draw_truth,
    errors_of,
    number_clusters,
    panels_of,
    thumbnail,
)

made = runpy.run_path(str(Path(__file__).with_name("report_model.py")))
result, truth_of = (made[name] for name in ("result", "truth_of"))


def test_errors_by_hand() -> None:
    #                  right wrong false miss  found learnt ignored ignored
    truth = np.array([[1, 1, 1, 254, 254, 254, 255, 255]], np.uint8)
    open_set = np.array([[1, 2, 255, 3, 255, 11, 255, 3]], np.uint8)
    kinds = errors_of(open_set, truth, classes=10)
    assert kinds.tolist() == [[0, WRONG_CLASS, FALSE_ALARM, MISSED, FOUND, FOUND, 0, 0]]


def test_a_known_pixel_called_a_learnt_class_is_a_wrong_class() -> None:
    kinds = errors_of(np.array([[11]], np.uint8), np.array([[2]], np.uint8), classes=10)
    assert kinds.tolist() == [[WRONG_CLASS]]


def test_a_learnt_class_is_right_where_it_is_true_and_wrong_elsewhere() -> None:
    truth = np.array([[11, 11, 11, 11]], np.uint8)
    kinds = errors_of(np.array([[11, 2, 255, 12]], np.uint8), truth, classes=10)
    assert kinds.tolist() == [[0, WRONG_CLASS, WRONG_CLASS, WRONG_CLASS]]


def test_unknown_objects_carry_their_numbers() -> None:
    clusters = np.zeros((60, 90), np.uint16)
    clusters[10:40, 5:35], clusters[20:50, 50:85] = 1, 12
    image = np.full((60, 90, 3), 100, np.uint8)
    drawn = number_clusters(image.copy(), clusters)
    changed = (drawn != image).any(axis=-1)
    assert changed[clusters == 1].any()
    assert changed[clusters == 12].any()
    assert not changed[clusters == 0].any()
    rows, columns = np.nonzero(changed & (clusters == 12))
    assert (abs(rows.mean() - 34.5), abs(columns.mean() - 67)) < (3, 3)
    np.testing.assert_array_equal(number_clusters(image.copy(), clusters * 0), image)


@pytest.mark.parametrize("place", [(0, 0), (0, 89), (59, 0), (59, 89)])
def test_numbers_of_objects_in_the_corners_are_whole(place: tuple[int, int]) -> None:
    clusters = np.zeros((60, 90), np.uint16)
    clusters[30, 45] = 888
    whole = number_clusters(np.zeros((60, 90, 3), np.uint8), clusters)
    clusters[30, 45], clusters[place] = 0, 888
    cornered = number_clusters(np.zeros((60, 90, 3), np.uint8), clusters)
    assert np.count_nonzero(cornered > 128) == np.count_nonzero(whole > 128) > 20


def test_error_picture_colors_errors_only() -> None:
    image = np.full((1, 2, 3), 100, np.uint8)
    drawn = draw_errors(image, np.array([[0, MISSED]], np.uint8))
    assert drawn[0, 0].tolist() == [76, 76, 76]
    assert drawn[0, 1].tolist() == [206, 55, 126]


def test_truth_picture_outlines_anomalies() -> None:
    truth = np.zeros((9, 9), np.uint8)
    truth[3:8, 3:8] = TRUTH_ANOMALY
    truth[0] = 255
    colors = np.full((256, 3), 9, np.uint8)
    drawn = draw_truth(truth, colors)
    assert drawn[5, 5].tolist() == [255, 64, 0]
    assert drawn[3, 5].tolist() == [255, 255, 255]
    assert drawn[1, 1].tolist() == [9, 9, 9]
    assert drawn[0, 0].tolist() == [38, 42, 48]


@pytest.mark.parametrize("with_truth", [False, True])
def test_panels_decode_to_what_they_show(with_truth: bool) -> None:
    made = result((40, 60), unknown=0.5)
    made.frame.image[:] = (250, 120, 10)
    truth = truth_of((40, 60)) if with_truth else None
    colors = np.zeros((256, 3), np.uint8)
    colors[255], colors[0] = (255, 64, 0), (0, 90, 200)
    panels = panels_of(take_shot(made, 3, 0.5, truth), colors, 400_000, 10)
    keys = ["camera", "classes", "anomaly", "objects", "truth", "errors"]
    assert [p.key for p in panels] == keys[: 6 if with_truth else 4]
    classes = decode(panels[1].uri)
    assert classes.shape == (40, 60, 3)
    np.testing.assert_array_equal(classes[5, 30], (255, 64, 0))
    np.testing.assert_array_equal(classes[35, 30], (0, 90, 200))
    np.testing.assert_allclose(decode(panels[0].uri), made.frame.image, atol=6)


def test_panels_give_way_to_the_budget() -> None:
    made = result((480, 640), unknown=0.4)
    shot = take_shot(made, 0, 0.4, truth_of((480, 640)))
    colors = np.random.default_rng(0).integers(0, 256, (256, 3), dtype=np.uint8)
    free = sum(len(p.uri) for p in panels_of(shot, colors, 10**9, 10))
    tight = sum(len(p.uri) * 3 // 4 for p in panels_of(shot, colors, 130_000, 10))
    assert tight <= 130_000 < free
    assert report_module._PICTURE_BYTES * 4 / 3 < 5.5e6


def test_thumbnail_is_small() -> None:
    colors = np.zeros((256, 3), np.uint8)
    assert decode(thumbnail(take_shot(result((480, 640)), 0, 0.0), colors)).shape == (99, 132, 3)


def decode(uri: str) -> np.ndarray:
    data = np.frombuffer(base64.b64decode(uri.split(",", 1)[1]), np.uint8)
    return cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
