"""Rendered frames: reproducible, exact, coherent from frame to frame."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from owseg.scenes import STRANGE_ID, Scene, SceneConfig, random_config, render_drive, render_scene
from owseg.scenes.render import Renderer
from owseg.scenes.scene import BUILDING, CAR, PAVEMENT, ROAD, SKY, TREE
from owseg.scenes.sprite import Sprite
from owseg.scenes.things import Board

SMALL = {"width": 160, "height": 120}
VALID = {*range(11), STRANGE_ID}


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    rng = np.random.default_rng(3)
    return [render_scene(random_config(rng, **SMALL)) for _ in range(10)]


def test_same_config_gives_the_same_frames() -> None:
    config = SceneConfig(seed=5, **SMALL)
    first, second = list(render_drive(config, 2)), list(render_drive(config, 2))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.image, b.image)
        np.testing.assert_array_equal(a.labels, b.labels)
        np.testing.assert_array_equal(a.instances, b.instances)


def test_a_frame_does_not_depend_on_the_frames_before_it() -> None:
    config = SceneConfig(seed=6, **SMALL)
    third = list(render_drive(config, 3, fps=10))[2]
    alone = Renderer(config).frame(0.2, index=2)
    np.testing.assert_array_equal(third.image, alone.image)
    np.testing.assert_array_equal(third.labels, alone.labels)


def test_seeds_give_different_worlds() -> None:
    a, b = (render_scene(SceneConfig(seed=s, **SMALL)) for s in (1, 2))
    assert (a.labels != b.labels).mean() > 0.05


def test_shapes_dtypes_and_ids(scenes: list[Scene]) -> None:
    for scene in scenes:
        assert scene.image.shape == (120, 160, 3)
        assert scene.image.dtype == np.uint8
        assert scene.labels.shape == (120, 160)
        assert scene.labels.dtype == np.uint8
        assert scene.instances.dtype == np.uint16
        assert set(np.unique(scene.labels).tolist()) <= VALID


def test_every_class_appears(scenes: list[Scene]) -> None:
    seen = {int(i) for scene in scenes for i in np.unique(scene.labels)}
    assert seen == VALID


def test_instances_are_exactly_the_cars_and_strange_objects(scenes: list[Scene]) -> None:
    for scene in scenes:
        numbered = scene.instances > 0
        np.testing.assert_array_equal(numbered, np.isin(scene.labels, (CAR, STRANGE_ID)))
        for number in np.unique(scene.instances[numbered]):
            assert len(np.unique(scene.labels[scene.instances == number])) == 1


def test_composition_resembles_a_street(scenes: list[Scene]) -> None:
    counts = np.zeros(256)
    for scene in scenes:
        counts += np.bincount(scene.labels.ravel(), minlength=256)
    share = counts / counts.sum()
    assert 0.2 < share[ROAD] < 0.5
    assert 0.05 < share[SKY] < 0.35
    assert 0.1 < share[BUILDING] + share[TREE] < 0.6
    assert share[STRANGE_ID] < 0.1


def test_ground_lies_below_the_horizon_and_sky_above() -> None:
    config = SceneConfig(seed=9, effects=0, **SMALL)
    scene = render_scene(config)
    horizon = round(config.horizon * config.height)
    assert not np.isin(scene.labels[: horizon - 2], (ROAD, PAVEMENT)).any()
    assert not (scene.labels[horizon + 6 :] == SKY).any()
    assert (scene.labels[-1] == ROAD).mean() > 0.3


def test_strange_object_grows_as_the_camera_comes_closer() -> None:
    config = SceneConfig(
        seed=4, cars=0, people=0, furniture=0, strange=("sofa",), strange_per_100m=4, **SMALL
    )
    frames = list(islice(render_drive(config, 30, fps=5), 30))
    tracks: dict[int, list[int]] = {}
    for frame in frames:
        numbers, sizes = np.unique(frame.instances[frame.instances > 0], return_counts=True)
        for number, size in zip(numbers.tolist(), sizes.tolist(), strict=True):
            tracks.setdefault(number, []).append(size)
    long = [track for track in tracks.values() if len(track) >= 10]
    assert long, "no object was in view for two seconds"
    for track in long:
        assert np.mean(track[-4:-1]) > 1.3 * np.mean(track[:3])


def test_consecutive_frames_are_alike_and_not_equal() -> None:
    a, b = render_drive(SceneConfig(seed=12, **SMALL), 2, fps=20)
    changed = (a.labels != b.labels).mean()
    assert 0 < changed < 0.12


def test_no_strange_objects_when_none_are_wanted() -> None:
    rng = np.random.default_rng(2)
    for _ in range(2):
        scene = render_scene(random_config(rng, strange=(), **SMALL))
        assert not (scene.labels == STRANGE_ID).any()


def test_effects_change_the_image_and_never_the_labels() -> None:
    plain = render_scene(SceneConfig(seed=7, effects=0, **SMALL))
    taken = render_scene(SceneConfig(seed=7, effects=1, **SMALL))
    np.testing.assert_array_equal(plain.labels, taken.labels)
    assert (plain.image != taken.image).mean() > 0.5


@pytest.mark.parametrize("lighting", ["sunny", "overcast", "dusk"])
def test_light_makes_pictures_that_are_neither_black_nor_white(lighting: str) -> None:
    image = render_scene(SceneConfig(seed=3, lighting=lighting, **SMALL)).image
    assert 25 < image.mean() < 200
    assert image.std() > 15


@pytest.mark.parametrize(("width", "height"), [(64, 48), (97, 61), (320, 100), (120, 320)])
def test_unusual_sizes(width: int, height: int) -> None:
    scene = render_scene(SceneConfig(width=width, height=height, seed=1))
    assert scene.image.shape == (height, width, 3)
    assert set(np.unique(scene.labels).tolist()) <= VALID


def test_near_things_hide_far_things() -> None:
    config = SceneConfig(seed=2, cars=0, people=0, strange=(), curvature=0, **SMALL)
    renderer = Renderer(config)
    square = Sprite(
        color=np.full((32, 32, 3), 99, np.uint8), alpha=np.full((32, 32), 255, np.uint8)
    )
    camera = renderer.camera(0.0)
    s = camera.x - renderer.world.street.center(camera.z)
    close, away = (
        Board(picture=lambda _: square, s=s, z=camera.z + gap, label=label, instance=label)
        for gap, label in ((8.0, STRANGE_ID), (12.0, CAR))
    )
    for things in ([close, away], [away, close]):
        renderer.world.around = lambda z, far, things=things: list(things)  # type: ignore[method-assign]
        labels = renderer.frame(0.0).labels
        u, v = camera.pixel(0.0, 0.5, 8.0)
        assert labels[round(v), round(u)] == STRANGE_ID
