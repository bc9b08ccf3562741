"""A bank of procedural scenes, rendered once at the start of a run.

Rendering costs more than augmenting: a few hundred frames of many worlds,
augmented anew at each draw, give the variety at a fraction of the time.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from functools import partial

import cv2
import numpy as np
from tqdm import tqdm

from owseg.scenes import random_config, render_drive
from owseg.types import UInt8Array

FRAMES_PER_WORLD = 5
SECONDS_BETWEEN_FRAMES = 2.5

LabelledImage = tuple[UInt8Array, UInt8Array]


def render_bank(
    worlds: int, size: tuple[int, int], seed: int, workers: int = 1
) -> list[LabelledImage]:
    """Render frames of random worlds.

    Args:
        worlds: number of worlds; each gives `FRAMES_PER_WORLD` frames.
        size: (height, width) in pixels.
        seed: decides the worlds.
        workers: processes; 0 renders in this one. The result does not depend on it.

    Returns:
        Images (H, W, 3) uint8 RGB with labels (H, W) uint8 in scene ids.
    """
    render = partial(_render_world, size=size, seed=seed)
    progress = partial(tqdm, total=worlds, desc="scenes", unit="world")
    if not workers:
        return [frame for world in progress(map(render, range(worlds))) for frame in world]
    with ProcessPoolExecutor(workers) as pool:
        return [frame for world in progress(pool.map(render, range(worlds))) for frame in world]


def _render_world(world: int, *, size: tuple[int, int], seed: int) -> list[LabelledImage]:
    cv2.setNumThreads(0)
    rng = np.random.default_rng([seed, world, 2])
    config = random_config(rng, size[1], size[0])
    scenes = render_drive(config, FRAMES_PER_WORLD, 1.0 / SECONDS_BETWEEN_FRAMES)
    return [(scene.image, scene.labels) for scene in scenes]
