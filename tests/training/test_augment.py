"""Augmentation: labels follow the image, padding is void, pasted objects are outliers."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from owseg_training.config import AugmentConfig
from owseg_training.data.augment import (
    OUTLIER_ID,
    augment,
    colour_jitter,
    copy_paste,
    paste_strange,
    scale_and_crop,
)

VOID = 255
PLAIN = AugmentConfig(crop=(64, 96), scale=(1.0, 1.0), flip=0, jitter=0, hue=0, copy_paste=0)
CODE = 20


def painted(seed: int, blocks: tuple[int, int] = (4, 6)) -> tuple[np.ndarray, np.ndarray]:
    """Blocks of 16 pixels whose grey value is CODE * label."""
    ids = np.random.default_rng(seed).integers(0, 11, blocks)
    labels = np.kron(ids, np.ones((16, 16))).astype(np.uint8)
    return np.repeat((labels * CODE)[..., None], 3, axis=2), labels


def away_from_edges(labels: np.ndarray, margin: int = 3) -> np.ndarray:
    """Pixels further than the margin from any change of label and from the rim of the crop."""
    kernel = np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)
    far = np.asarray(cv2.erode(labels, kernel) == cv2.dilate(labels, kernel))
    rim = np.ones_like(far)
    rim[margin:-margin, margin:-margin] = False
    return far & ~rim


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**16), st.floats(0.3, 1.0), st.floats(1.0, 3.0), st.sampled_from([0.0, 1.0]))
def test_labels_follow_the_image(seed: int, low: float, high: float, flip: float) -> None:
    config = replace(PLAIN, scale=(low, high), flip=flip)
    rng = np.random.default_rng(seed)
    image, labels = augment(*scale_and_crop(*painted(seed), config, rng), config, rng)
    assert (image.shape, labels.shape) == ((64, 96, 3), (64, 96))
    inside = away_from_edges(labels) & (labels != VOID)
    expected = labels[inside].astype(int) * CODE
    assert np.abs(image[inside].astype(int) - expected[:, None]).max(initial=0) <= 2


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**16))
def test_padding_is_void_and_grey(seed: int) -> None:
    config = replace(PLAIN, scale=(0.5, 0.5))
    image, labels = scale_and_crop(*painted(seed), config, np.random.default_rng(seed))
    assert np.count_nonzero(labels == VOID) == 64 * 96 * 3 // 4
    void = away_from_edges(labels) & (labels == VOID)
    assert (image[void] == 128).all()


def test_crop_of_the_same_size_is_the_image_itself() -> None:
    image, labels = painted(0)
    found = scale_and_crop(image, labels, PLAIN, np.random.default_rng(0))
    np.testing.assert_array_equal(found[0], image)
    np.testing.assert_array_equal(found[1], labels)
    assert not np.shares_memory(found[0], image)


def test_scale_is_log_uniform_between_its_limits() -> None:
    config = replace(PLAIN, scale=(0.25, 2.0))
    image, labels = painted(0)
    rng = np.random.default_rng(0)
    scales = []
    for _ in range(600):
        _, cropped = scale_and_crop(image, labels, config, rng)
        scales.append(np.count_nonzero((cropped != VOID).any(axis=1)) / 64)
    # Of the three octaves two lie below 1, where the height of the image in the crop is the scale.
    assert min(scales) == pytest.approx(0.25, abs=0.02)
    assert np.mean(np.array(scales) < 0.5) == pytest.approx(1 / 3, abs=0.06)
    assert np.mean(np.array(scales) < 0.96) == pytest.approx(2 / 3, abs=0.06)


def test_flip_always_and_never() -> None:
    image, labels = painted(3)
    rng = np.random.default_rng(0)
    flipped = augment(image, labels, replace(PLAIN, flip=1.0), rng)[1]
    np.testing.assert_array_equal(flipped, labels[:, ::-1])
    np.testing.assert_array_equal(augment(image, labels, PLAIN, rng)[1], labels)


def test_copy_paste_takes_the_wanted_classes_with_their_pixels() -> None:
    image, labels = painted(1)
    donor_image, donor_labels = painted(2)
    before = labels.copy()
    copy_paste(image, labels, donor_image, donor_labels, np.array([2, 7]))
    taken = np.isin(donor_labels, [2, 7])
    np.testing.assert_array_equal(labels, np.where(taken, donor_labels, before))
    np.testing.assert_array_equal(image[..., 0], labels * CODE)


@pytest.mark.parametrize("seed", range(5))
def test_pasted_objects_are_labelled_as_outliers_where_the_image_changed(seed: int) -> None:
    image, labels = np.full((96, 128, 3), 77, np.uint8), np.zeros((96, 128), np.uint8)
    paste_strange(image, labels, np.random.default_rng(seed))
    pasted = labels == OUTLIER_ID
    assert pasted.sum() > 30
    assert set(np.unique(labels)) == {0, OUTLIER_ID}
    changed = (image != 77).any(axis=2)
    blurred_edge = cv2.dilate(pasted.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    assert not (changed & ~blurred_edge).any()
    assert (changed & pasted).sum() > 0.8 * pasted.sum()


def test_paste_probability_and_number() -> None:
    image, labels = painted(0, (6, 8))
    never = augment(image.copy(), labels.copy(), PLAIN, np.random.default_rng(0))[1]
    assert OUTLIER_ID not in never
    config = replace(PLAIN, paste=1.0, paste_max=2)
    always = [
        augment(image.copy(), labels.copy(), config, np.random.default_rng(seed))[1]
        for seed in range(5)
    ]
    assert all(OUTLIER_ID in found for found in always)


def test_no_jitter_changes_no_value_by_more_than_one() -> None:
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    found = colour_jitter(image, PLAIN, np.random.default_rng(1))
    assert np.abs(found.astype(int) - image).max() <= 1


def test_jitter_varies_brightness_within_its_strength() -> None:
    image = np.full((8, 8, 3), 120, np.uint8)
    config = replace(PLAIN, jitter=0.35, hue=0.03)
    means = [colour_jitter(image, config, np.random.default_rng(s)).mean() for s in range(100)]
    assert 10 < np.std(means) < 40
    assert np.mean(means) == pytest.approx(120, abs=12)


def test_hue_shift_turns_red_into_its_neighbours_only() -> None:
    image = np.zeros((4, 4, 3), np.uint8)
    image[..., 0] = 200
    config = replace(PLAIN, hue=0.05)
    seen = {
        tuple(colour_jitter(image, config, np.random.default_rng(s))[0, 0].tolist())
        for s in range(40)
    }
    assert len(seen) > 5
    assert all(red >= 195 and max(green, blue) < 80 for red, green, blue in seen)
