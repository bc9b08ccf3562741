"""The frames that are processed: of a recording, or of generated streets."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

from owseg.errors import InputError
from owseg.manifest import Manifest
from owseg.replay.sources import open_source
from owseg.resize import fit_image
from owseg.scenes import SceneConfig, render_scene
from owseg.types import UInt8Array

COUNT = 16
"""Frames of a recording; they are repeated as often as needed."""

SCENES = 4


def frames_of(source: Path | None) -> Callable[[Manifest], Sequence[UInt8Array]]:
    """Return a function that gives the frames at the size of a model.

    Args:
        source: a recording, folder, image or video; None = generated streets.

    Raises:
        InputError: it cannot be read, or has no image.
    """
    if source is None:
        images = [render_scene(SceneConfig(seed=seed)).image for seed in range(SCENES)]
    else:
        with open_source(source) as opened:
            images = [sample.frame.image for sample in itertools.islice(opened, COUNT)]
    if not images:
        raise InputError(f"{source} has no image")
    return lambda manifest: [fit_image(image, manifest) for image in images]
