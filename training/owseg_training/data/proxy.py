"""Images of another data set that stand for the unknown, without those of known classes.

An image that shows a known class anywhere would teach the network not to know it; the whole image
is left out, also where the class is in a group.

Source: Chan et al., "Entropy Maximization and Meta Classification for Out-of-Distribution Detection
in Semantic Segmentation", ICCV 2021, Section 3.1; Uhlemeyer et al., "Detecting and Learning the
Unknown in Semantic Segmentation", Eq. 29.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from owseg.datasets import DatasetReader, open_dataset
from owseg.datasets.base import Sample
from owseg.datasets.coco import CATEGORIES, CocoSample
from owseg.errors import UsageError
from owseg.types import IGNORE_ID
from owseg_training.config import OutlierConfig


def proxy_samples(config: OutlierConfig, seed: int) -> list[Sample]:
    """Return the images that stand for the unknown; none where the recipe wants none.

    Args:
        config: data set, classes to leave out, and how many images.
        seed: decides which images are drawn where there are more.

    Raises:
        UsageError: the folder is not named, a class to leave out does not exist, or no image is
            left.
        DatasetError: the data set cannot be used.
    """
    if not config.share:
        return []
    if not config.root:
        raise UsageError(
            f"the recipe learns from images of {config.dataset} as outliers; name their folder "
            "with --outliers"
        )
    reader = open_dataset(config.dataset, Path(config.root), config.split)
    safe = class_safe(reader, config.exclude)
    if not safe:
        raise UsageError(
            f"no image of {reader.name} {reader.split} in {config.root} is left without "
            f"{', '.join(config.exclude)}"
        )
    if not config.images or config.images >= len(safe):
        return safe
    order = np.random.default_rng([seed, 3]).permutation(len(safe))[: config.images]
    return [safe[int(place)] for place in order]


def class_safe(reader: DatasetReader, exclude: Sequence[str]) -> list[Sample]:
    """Return the samples that show none of some classes.

    Raises:
        UsageError: the data set has no such class.
    """
    names = reader.label_space.names
    missing = [name for name in exclude if name not in names]
    if missing:
        raise UsageError(f"{reader.name} has no class {', '.join(missing)} to leave out")
    unsafe = {names.index(name) for name in exclude}
    progress = tqdm(list(reader), desc=f"{reader.name} {reader.split}", unit="image")
    return [sample for sample in progress if not shown(sample) & unsafe]


def shown(sample: Sample) -> set[int]:
    """Return the classes of an image; where there are annotations, without drawing them."""
    if isinstance(sample, CocoSample):
        numbers = (thing.get("category_id") for thing in sample.objects)
        return {CATEGORIES[number] for number in numbers if number in CATEGORIES}
    return set(np.unique(sample.load_labels()).tolist()) - {IGNORE_ID}
