"""Camera effects: glow, blur, vignetting, tone curve, noise and compression."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from owseg.scenes.config import SceneConfig
from owseg.scenes.seeds import stream, sub_seed
from owseg.types import FloatArray, UInt8Array

NOISE_TILE = 768


@lru_cache(maxsize=8)
def _vignette(width: int, height: int, strength: float) -> FloatArray:
    """Return (H, W, 3) float32 factors that fall off towards the corners."""
    ys, xs = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None, :]
    fall = 1 - strength * (xs * xs + ys * ys) / 2
    return np.repeat(fall[..., None], 3, axis=2).astype(np.float32)


@lru_cache(maxsize=1)
def _noise() -> npt.NDArray[np.int16]:
    """Return one large tile of sensor noise, standard deviation 16."""
    rng = np.random.default_rng(127)
    grey = rng.normal(0, 13, (NOISE_TILE, NOISE_TILE, 1))
    return (grey + rng.normal(0, 9, (NOISE_TILE, NOISE_TILE, 3))).astype(np.int16)


def _tone(config: SceneConfig) -> UInt8Array:
    """Return (256, 1, 3) uint8 tone curve of the camera: exposure, contrast, white balance."""
    rng = stream(config.seed, 131)
    gain = rng.uniform(0.88, 1.22)
    contrast, gamma = rng.uniform(1.0, 1.3), rng.uniform(0.88, 1.1)
    balance = np.array([rng.uniform(0.95, 1.05), 1.0, rng.uniform(0.95, 1.06)])
    x = np.arange(256)[:, None] / 255 * gain * balance
    y = np.clip((x**gamma - 0.36) * contrast + 0.36, 0, 1.2)
    return np.asarray(np.clip(255 * y, 0, 255), np.uint8).reshape(256, 1, 3)


def apply_effects(image: UInt8Array, config: SceneConfig, frame: int) -> UInt8Array:
    """Return the image as a camera would have taken it.

    Args:
        image: (H, W, 3) uint8 RGB, as painted.
        config: strength and size; the camera's character follows from the seed.
        frame: number of the frame, so that noise differs from frame to frame.
    """
    strength = config.effects
    if strength <= 0:
        return image
    rng = stream(config.seed, 137)
    h, w = image.shape[:2]
    out = cv2.LUT(image, _tone(config))
    small = cv2.resize(out, (max(1, w // 8), max(1, h // 8)), interpolation=cv2.INTER_AREA)
    glow = cv2.GaussianBlur(np.maximum(small, 190) - np.uint8(190), (0, 0), 3)
    out = cv2.add(out, cv2.resize(cv2.convertScaleAbs(glow, alpha=0.6 * strength), (w, h)))
    out = cv2.GaussianBlur(out, (3, 3), 0.3 + 0.45 * rng.random() * strength)
    fall = round(rng.uniform(0.05, 0.3) * min(1.0, strength), 2)
    out = cv2.multiply(out, _vignette(w, h, fall), dtype=cv2.CV_8U)
    out = _with_noise(
        np.asarray(out, np.uint8),
        rng.uniform(0.1, 0.4) * strength,
        sub_seed(config.seed, 139, frame),
    )
    if rng.random() < 0.4:
        out = _compressed(out, round(rng.uniform(70, 95)))
    return out


def _with_noise(image: UInt8Array, level: float, seed: int) -> UInt8Array:
    """Return the image plus sensor noise; level 1 is a standard deviation of 16."""
    h, w = image.shape[:2]
    tile = _noise()
    if max(h, w) > NOISE_TILE:
        tile = np.tile(tile, (-(-h // NOISE_TILE), -(-w // NOISE_TILE), 1))
    y, x = seed % (tile.shape[0] - h + 1), (seed >> 12) % (tile.shape[1] - w + 1)
    noise = tile[y : y + h, x : x + w]
    return np.asarray(
        cv2.addWeighted(image, 1, np.ascontiguousarray(noise), level, 0, dtype=cv2.CV_8U), np.uint8
    )


def _compressed(image: UInt8Array, quality: int) -> UInt8Array:
    """Return the image after a round through JPEG."""
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
