"""Random scale, crop, flip, colour jitter, pasted classes and objects, in numpy and OpenCV."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from owseg.scenes import strange_object
from owseg.types import IGNORE_ID, UInt8Array
from owseg_training.config import AugmentConfig
from owseg_training.data.negatives import SMALLEST, foreign_piece

OUTLIER_ID = 254
"""Label of pasted strange pixels in training batches."""

UNLABELLED_ID = 253
"""Label of void pixels in training batches, for networks that learn them as a class."""


def augment(
    image: UInt8Array, labels: UInt8Array, config: AugmentConfig, rng: np.random.Generator
) -> tuple[UInt8Array, UInt8Array]:
    """Apply flip, pasted objects and colour changes to a crop.

    Args:
        image: (H, W, 3) uint8 RGB.
        labels: (H, W) uint8 class ids, 255 = ignore.
        config: what to apply.
        rng: source of randomness.

    Returns:
        The changed image and labels, same size.
    """
    if rng.random() < config.flip:
        image, labels = image[:, ::-1], labels[:, ::-1]
    image, labels = np.ascontiguousarray(image), np.ascontiguousarray(labels)
    if rng.random() < config.paste:
        for _ in range(int(rng.integers(1, config.paste_max + 1))):
            paste_strange(image, labels, rng)
    return colour_jitter(image, config, rng), labels


def scale_and_crop(
    image: UInt8Array, labels: UInt8Array, config: AugmentConfig, rng: np.random.Generator
) -> tuple[UInt8Array, UInt8Array]:
    """Scale by a random factor (log-uniform), then cut a random window.

    Where the scaled image is smaller than the window it is padded with
    grey and label 255.
    """
    low, high = np.log(config.scale)
    factor = float(np.exp(rng.uniform(low, high)))
    height, width = config.crop
    rows, columns = round(height / factor), round(width / factor)
    top = _random_start(image.shape[0], rows, rng)
    left = _random_start(image.shape[1], columns, rng)
    image = _window(image, top, left, rows, columns, 128)
    labels = _window(labels, top, left, rows, columns, IGNORE_ID)
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    scaled = cv2.resize(image, (width, height), interpolation=method)
    nearest = cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST)
    return scaled.astype(np.uint8, copy=False), nearest.astype(np.uint8, copy=False)


def copy_paste(
    image: UInt8Array,
    labels: UInt8Array,
    donor_image: UInt8Array,
    donor_labels: UInt8Array,
    classes: npt.NDArray[np.integer],
) -> None:
    """Copy all pixels of some classes from a donor of the same size, in place.

    Source: Ghiasi et al., "Simple Copy-Paste is a Strong Data Augmentation
    Method for Instance Segmentation", CVPR 2021; here for rare classes.
    """
    mask = np.isin(donor_labels, classes)
    image[mask] = donor_image[mask]
    labels[mask] = donor_labels[mask]


def _random_start(length: int, window: int, rng: np.random.Generator) -> int:
    low, high = min(0, length - window), max(0, length - window)
    return int(rng.integers(low, high + 1))


def _window(
    array: UInt8Array, top: int, left: int, rows: int, columns: int, fill: int
) -> UInt8Array:
    height, width = array.shape[:2]
    y0, y1 = max(0, top), min(height, top + rows)
    x0, x1 = max(0, left), min(width, left + columns)
    part = array[y0:y1, x0:x1]
    pads = (y0 - top, top + rows - y1, x0 - left, left + columns - x1)
    if not any(pads):
        return part
    padded = cv2.copyMakeBorder(part, *pads, cv2.BORDER_CONSTANT, value=(fill, fill, fill))
    return padded.astype(np.uint8, copy=False)


def paste_strange(image: UInt8Array, labels: UInt8Array, rng: np.random.Generator) -> None:
    """Paste one strange object in place, mostly in the lower two thirds of the image."""
    size = int(np.exp(rng.uniform(np.log(16), np.log(0.45 * labels.shape[0]))))
    _paste(image, labels, *strange_object(rng, size), rng)


def paste_foreign(
    image: UInt8Array, labels: UInt8Array, donor: UInt8Array, rng: np.random.Generator
) -> None:
    """Paste one piece of another image in place, in a random shape."""
    largest = max(SMALLEST + 1.0, 0.45 * labels.shape[0])
    size = int(np.exp(rng.uniform(np.log(SMALLEST), np.log(largest))))
    _paste(image, labels, *foreign_piece(donor, size, rng), rng)


def _paste(
    image: UInt8Array,
    labels: UInt8Array,
    cutout: UInt8Array,
    mask: npt.NDArray[np.bool_],
    rng: np.random.Generator,
) -> None:
    """Paste a cut-out as an outlier in place, where it fits, mostly not into the sky."""
    height, width = labels.shape
    rows, columns = mask.shape
    if rows >= height or columns >= width:
        return
    top = int(rng.integers(int(0.25 * (height - rows)), height - rows + 1))
    left = int(rng.integers(0, width - columns + 1))
    window = np.s_[top : top + rows, left : left + columns]
    alpha = cv2.GaussianBlur(mask.astype(np.float32), (3, 3), 0)[..., None]
    gain = float(rng.uniform(0.6, 1.3))
    lit = np.clip(cutout.astype(np.float32) * gain, 0, 255)
    image[window] = (alpha * lit + (1 - alpha) * image[window]).astype(np.uint8)
    labels[window][mask] = OUTLIER_ID


def colour_jitter(image: UInt8Array, config: AugmentConfig, rng: np.random.Generator) -> UInt8Array:
    """Change brightness, contrast, gamma, white balance, saturation and hue; sometimes blur."""
    amount = config.jitter
    gain = rng.uniform(1 - amount, 1 + amount)
    offset = rng.uniform(-amount, amount) * 40
    gamma = float(np.exp(rng.uniform(-amount, amount)))
    tones = 255 * (np.arange(256) / 255) ** gamma
    balance = rng.uniform(1 - 0.25 * amount, 1 + 0.25 * amount, 3)
    channels = (tones[:, None] * gain + offset + (1 - gain) * 100) * balance
    changed = cv2.LUT(image, np.clip(channels, 0, 255).astype(np.uint8)[None])
    if amount or config.hue:
        hsv = cv2.cvtColor(changed, cv2.COLOR_RGB2HSV)
        shift = round(rng.uniform(-config.hue, config.hue) * 180)
        hues = ((np.arange(256) + shift) % 180).astype(np.uint8)
        saturation = rng.uniform(1 - amount, 1 + amount)
        saturations = np.clip(np.arange(256) * saturation, 0, 255).astype(np.uint8)
        values = np.arange(256, dtype=np.uint8)
        tables = np.stack([hues, saturations, values], axis=-1)[None]
        changed = cv2.cvtColor(cv2.LUT(hsv, tables), cv2.COLOR_HSV2RGB)
    if amount and rng.random() < 0.2:
        changed = cv2.GaussianBlur(changed, (3, 3), float(rng.uniform(0.3, 1.2)))
    return np.ascontiguousarray(changed, dtype=np.uint8)
