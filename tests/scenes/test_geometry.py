"""Camera, street and canvas: hand-worked cases and independent checks."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from owseg.scenes import SceneConfig
from owseg.scenes.camera import Camera
from owseg.scenes.canvas import Canvas
from owseg.scenes.seeds import stream, sub_seed
from owseg.scenes.sprite import Sprite
from owseg.scenes.street import BLOCK_M, make_street

CAMERA = Camera(
    width=480, height=360, focal_px=400.0, horizon_px=180.0, height_m=1.5, x=0.0, z=0.0, yaw=0.0
)


def test_projection_of_a_hand_worked_point() -> None:
    u, v, depth = CAMERA.project(np.array([[2.0, 0.5, 10.0]], np.float32))[0]
    assert (u, v, depth) == (240 + 400 * 2 / 10, 180 + 400 * (1.5 - 0.5) / 10, 10)


def test_a_point_at_eye_height_lies_on_the_horizon_at_any_distance() -> None:
    points = np.array([[1.0, 1.5, z] for z in (5, 50, 500)], np.float32)
    np.testing.assert_allclose(CAMERA.project(points)[:, 1], 180)


def test_turning_right_moves_things_left() -> None:
    turned = Camera(
        width=480, height=360, focal_px=400.0, horizon_px=180.0, height_m=1.5, x=0.0, z=0.0, yaw=0.1
    )
    u = turned.project(np.array([[0.0, 1.5, 20.0]], np.float32))[0, 0]
    assert u == pytest.approx(240 - 400 * math.tan(0.1), abs=1e-3)


@pytest.mark.parametrize("yaw", [-0.3, 0.0, 0.2])
def test_ground_and_projection_are_inverse(yaw: float) -> None:
    camera = Camera(
        width=64, height=48, focal_px=50.0, horizon_px=20.0, height_m=1.3, x=2.0, z=7.0, yaw=yaw
    )
    x, z, depth = camera.ground(22)
    for row, column in ((0, 0), (10, 33), (25, 63)):
        point = np.array([[x[row, column], 0.0, z[row, column]]], np.float32)
        u, v, d = camera.project(point)[0]
        assert (u, v) == (
            pytest.approx(column + 0.5, abs=1e-2),
            pytest.approx(22.5 + row, abs=1e-2),
        )
        assert d == pytest.approx(depth[row, 0], rel=1e-4)


def test_street_center_agrees_for_numbers_and_arrays_and_slope_is_its_derivative() -> None:
    street = make_street(SceneConfig(seed=3, curvature=1.0))
    z = np.linspace(0, 500, 23, dtype=np.float32)
    np.testing.assert_allclose(street.centers(z), [street.center(float(v)) for v in z], atol=1e-3)
    slope = (street.center(100.01) - street.center(99.99)) / 0.02
    assert street.slope(100.0) == pytest.approx(slope, abs=1e-5)


def test_crossings_lie_in_their_block() -> None:
    street = make_street(SceneConfig(seed=3, crossings=1.0))
    for block in range(-3, 10):
        crossing = street.crossing(block)
        assert crossing is not None
        assert block * BLOCK_M < crossing[0] - crossing[1]
        assert crossing[0] + crossing[1] < (block + 0.5) * BLOCK_M
    assert make_street(SceneConfig(seed=3, crossings=0.0)).crossing(1) is None


def test_streams_with_other_keys_are_independent() -> None:
    assert stream(1, 2, 3).random() == stream(1, 2, 3).random()
    seeds = {sub_seed(s, a, b) for s in range(5) for a in range(-5, 5) for b in range(5)}
    assert len(seeds) == 250


@pytest.mark.parametrize("shift", [0.0, 0.3, -0.4])
def test_polygon_covers_its_pixels_and_no_pixel_beyond_its_rim(shift: float) -> None:
    canvas = Canvas(40, 30)
    square = np.array([(5, 4), (25, 4), (25, 20), (5, 20)], np.float32) + np.float32(shift)
    canvas.polygons([square], (10, 20, 30), label=7, instance=9)
    expected = np.zeros((30, 40), np.uint8)
    expected[4:20, 5:25] = 1
    inner, outer = cv2.erode(expected, np.ones((3, 3))), cv2.dilate(expected, np.ones((3, 3)))
    covered = canvas.labels == 7
    assert covered[inner > 0].all()
    assert not covered[outer == 0].any()
    assert abs(int(covered.sum()) - 16 * 20) <= 36
    np.testing.assert_array_equal(canvas.instances == 9, covered)
    np.testing.assert_allclose(canvas.image[8, 9], (10, 20, 30), atol=1)


@pytest.mark.parametrize("scale", [1.0, 0.5, 0.25, 2.0])
def test_sprite_is_drawn_at_its_place_and_scale(scale: float) -> None:
    canvas = Canvas(120, 100)
    size = 32
    full = np.full((size, size), 255, np.uint8)
    color = np.full((size, size, 3), 90, np.uint8)
    table = np.repeat(np.arange(256, dtype=np.uint8)[:, None, None], 3, axis=2)
    canvas.sprite(Sprite(color=color, alpha=full), 60, 80, scale, table, label=5)
    rows, columns = np.nonzero(canvas.labels == 5)
    side = size * scale
    assert rows.max() + 1 == pytest.approx(80, abs=1)
    assert rows.min() == pytest.approx(80 - side, abs=1)
    assert columns.min() == pytest.approx(60 - side / 2, abs=1)
    assert columns.max() + 1 == pytest.approx(60 + side / 2, abs=1)


def test_flipping_a_sprite_mirrors_it() -> None:
    half = np.zeros((16, 16), np.uint8)
    half[:, :5] = 255
    sprite = Sprite(color=np.full((16, 16, 3), 200, np.uint8), alpha=half)
    table = np.repeat(np.arange(256, dtype=np.uint8)[:, None, None], 3, axis=2)
    plain, turned = Canvas(16, 16), Canvas(16, 16)
    plain.sprite(sprite, 8, 16, 1.0, table, label=1)
    turned.sprite(sprite, 8, 16, 1.0, table, label=1, flip=True)
    assert plain.labels.any()
    np.testing.assert_array_equal(plain.labels, turned.labels[:, ::-1])
