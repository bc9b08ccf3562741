"""The stream of training images: reproducible draws, held-out pixels never known, real scenes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from owseg.datasets import CAMVID11, CamVid, load_truth_map
from owseg.scenes import STRANGE_ID, SceneConfig, render_drive
from owseg_training.config import AugmentConfig, DataConfig, Recipe
from owseg_training.data import OUTLIER_ID, TrainingStream, collate, scene_bank
from owseg_training.data import stream as stream_module
from owseg_training.data.stream import init_worker

VOID, CODE = 255, 20
SPLIT_A = load_truth_map("camvid_a")
CAR = CAMVID11.id_of("car")


@pytest.fixture
def plain(tiny: Callable[..., Recipe]) -> Recipe:
    """Return a recipe whose augmentation moves pixels but leaves their colours."""
    config = AugmentConfig(crop=(64, 96), jitter=0, hue=0, copy_paste=0.7)
    return replace(tiny(steps=12), augment=config, data=DataConfig(cache=True))


def interior(array: np.ndarray, margin: int = 4) -> np.ndarray:
    """Pixels whose whole neighbourhood has one value, away from the rim."""
    kernel = np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)
    same = np.asarray(cv2.erode(array, kernel) == cv2.dilate(array, kernel))
    same[:margin] = same[-margin:] = same[:, :margin] = same[:, -margin:] = False
    return same


def known_id(label: int) -> int:
    name = (*CAMVID11.names, "void")[label]
    return SPLIT_A.known_names.index(name) if name in SPLIT_A.known_names else VOID


def test_labels_say_what_the_image_shows_and_held_out_pixels_are_void(
    painted_reader: Any, plain: Recipe
) -> None:
    stream = TrainingStream(painted_reader, SPLIT_A, plain, 8)
    seen: set[int] = set()
    for index in range(len(stream)):
        draw = stream[index]
        grey = draw.image[..., 0].astype(int)
        painted = np.round(grey / CODE).astype(np.uint8)
        flat = interior(painted, 1) & (np.abs(grey - painted.astype(int) * CODE) <= 2)
        sure = flat & interior(draw.labels)
        for label in np.unique(painted[sure & (draw.labels != VOID)]):
            assert set(np.unique(draw.labels[sure & (painted == label)])) <= {known_id(label), VOID}
        assert (draw.labels[sure & (painted == CAR)] == VOID).all()
        seen |= set(np.unique(draw.labels).tolist())
    assert seen == {*range(len(SPLIT_A.known_names)), VOID}


def same(a: Any, b: Any) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_a_draw_depends_on_seed_and_index_alone(painted_reader: Any, plain: Recipe) -> None:
    wanted = replace(plain, augment=replace(plain.augment, jitter=0.3, hue=0.03, paste=0.5))
    one = TrainingStream(painted_reader, SPLIT_A, wanted, 8)
    draws = [one[i] for i in range(8)]
    uncached = replace(wanted, data=DataConfig(cache=False))
    two = TrainingStream(painted_reader, SPLIT_A, uncached, 8)
    assert all(same(two[i], draws[i]) for i in reversed(range(8)))
    assert not same(draws[0], draws[1])
    other = TrainingStream(painted_reader, SPLIT_A, replace(wanted, seed=1), 8)
    assert not same(other[0], draws[0])


def test_one_image_is_augmented_anew_at_each_draw(plain: Recipe, painted_reader: Any) -> None:
    painted_reader.samples = painted_reader.samples[:1]
    stream = TrainingStream(painted_reader, SPLIT_A, plain, 8)
    draws = [stream[i] for i in range(4)]
    assert not any(same(draws[i], draws[j]) for i in range(4) for j in range(i))


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_worker_processes_deliver_the_same_batches(painted_reader: Any, plain: Recipe) -> None:
    stream = TrainingStream(painted_reader, SPLIT_A, plain, 8)
    here = list(DataLoader(stream, batch_size=4, collate_fn=collate))
    there = DataLoader(
        stream, batch_size=4, num_workers=2, collate_fn=collate, worker_init_fn=init_worker
    )
    for a, b in zip(here, there, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_every_epoch_shows_every_image_once_in_a_new_order(
    painted_reader: Any, plain: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = AugmentConfig(crop=(64, 96), copy_paste=0)
    stream = TrainingStream(painted_reader, SPLIT_A, replace(plain, augment=config), 8)
    asked: list[int] = []
    sample = stream._sample
    monkeypatch.setattr(stream, "_sample", lambda i: asked.append(i) or sample(i))
    for index in range(24):
        stream[index]
    epochs = [tuple(asked[i : i + 4]) for i in range(0, 24, 4)]
    assert all(sorted(epoch) == [0, 1, 2, 3] for epoch in epochs)
    assert len(set(epochs)) > 1


def test_class_frequencies_count_known_pixels_only(painted_reader: Any, plain: Recipe) -> None:
    stream = TrainingStream(painted_reader, SPLIT_A, plain, 8)
    labels = np.concatenate([s.load()[1].ravel() for s in painted_reader])
    counts = np.array([np.count_nonzero(labels == CAMVID11.id_of(n)) for n in SPLIT_A.known_names])
    np.testing.assert_allclose(stream.frequencies, counts / counts.sum(), rtol=1e-6)


def test_only_rare_classes_are_copied(painted_reader: Any, plain: Recipe) -> None:
    stream = TrainingStream(painted_reader, SPLIT_A, plain, 8)
    assert set(stream._rare) == set(np.flatnonzero(stream.frequencies < 0.03))


def test_collate_makes_the_tensors_of_a_batch(painted_reader: Any, plain: Recipe) -> None:
    stream = TrainingStream(painted_reader, SPLIT_A, plain, 8)
    draws = [stream[0], stream[1]]
    batch = collate(draws)
    assert (batch.images.dtype, batch.labels.dtype) == (torch.float32, torch.int64)
    expected = np.stack([d.image for d in draws]).transpose(0, 3, 1, 2) / np.float32(255)
    np.testing.assert_allclose(batch.images.numpy(), expected, rtol=1e-6)
    assert same(batch.direction.numpy(), [d.direction for d in draws])


def test_scenes_give_known_classes_outliers_and_void(
    painted_reader: Any, plain: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = np.repeat(np.array([3, CAR, STRANGE_ID, 0], np.uint8), 24)[None].repeat(64, axis=0)
    image = np.zeros((64, 96, 3), np.uint8)
    asked: list[tuple[int, tuple[int, int], int, int]] = []
    monkeypatch.setattr(
        stream_module, "render_bank", lambda *args: asked.append(args) or [(image, labels)]
    )
    wanted = replace(
        plain,
        seed=5,
        data=DataConfig(scenes=1.0, scene_worlds=9),
        augment=AugmentConfig(crop=(64, 96), scale=(1.0, 1.0), flip=0, copy_paste=0),
    )
    found = TrainingStream(painted_reader, SPLIT_A, wanted, 8)[0].labels
    expected = [SPLIT_A.known_names.index("road"), VOID, OUTLIER_ID, 0]
    np.testing.assert_array_equal(found, np.repeat(expected, 24)[None].repeat(64, axis=0))
    assert asked == [(9, (64, 96), 5, 0)]


def test_scene_bank_is_reproducible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scene_bank, "FRAMES_PER_WORLD", 1)
    one, two = (scene_bank.render_bank(1, (48, 64), 3, 0) for _ in range(2))
    assert same(one[0], two[0])
    image, labels = one[0]
    assert (image.shape, labels.shape) == ((48, 64, 3), (48, 64))
    assert set(np.unique(labels)) <= {*range(11), STRANGE_ID}


def test_stream_over_a_camvid_folder_of_rendered_scenes(tmp_path: Path, plain: Recipe) -> None:
    for folder in ("train", "trainannot"):
        (tmp_path / folder).mkdir()
    config = SceneConfig(width=128, height=96, seed=5, style="park", cars=2.0, strange=())
    for i, scene in enumerate(render_drive(config, 2, 0.5)):
        cv2.imwrite(str(tmp_path / "train" / f"{i}.png"), scene.image[..., ::-1])
        cv2.imwrite(str(tmp_path / "trainannot" / f"{i}.png"), scene.labels)
    stream = TrainingStream(CamVid(tmp_path, "train"), SPLIT_A, plain, 4)
    cars = sum(np.count_nonzero(s.load()[1] == CAR) for s in stream.samples)
    assert cars > 0
    void = sum(np.count_nonzero(stream._sample(i)[1] == VOID) for i in range(2))
    assert void == cars
    draw = stream[0]
    assert draw.direction.shape == (2, 16, 24)
    assert stream.frequencies.sum() == pytest.approx(1, abs=1e-6)
    assert SPLIT_A.known_names[int(stream.frequencies.argmax())] in ("road", "sky", "tree")
