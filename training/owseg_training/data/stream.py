"""The reproducible stream of training images.

Draw i of a run depends on the seed and i alone, never on workers or on where
the run was interrupted: resuming at step s continues with draw s * batch.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from owseg.datasets import CAMVID11, DatasetReader, TruthMap
from owseg.errors import UsageError
from owseg.scenes import STRANGE_ID
from owseg.types import IGNORE_ID, FloatArray, UInt8Array
from owseg_training.config import Recipe
from owseg_training.data.augment import (
    OUTLIER_ID,
    UNLABELLED_ID,
    augment,
    copy_paste,
    paste_foreign,
    scale_and_crop,
)
from owseg_training.data.direction_target import direction_target
from owseg_training.data.proxy import proxy_samples
from owseg_training.data.scene_bank import LabelledImage, render_bank

RARE = 0.03
"""Classes with a smaller share of the pixels are copied between images."""


class Batch(NamedTuple):
    """One training batch.

    Attributes:
        images: (B, 3, H, W) float32, RGB in 0..1.
        labels: (B, H, W) int64; 255 = ignore, 254 = outlier, 253 = unlabelled.
        direction: (B, 2, h, w) float32 unit vectors.
        direction_weight: (B, h, w) float32.
    """

    images: Tensor
    labels: Tensor
    direction: Tensor
    direction_weight: Tensor


class Draw(NamedTuple):
    """One augmented training image, still in numpy."""

    image: UInt8Array
    labels: UInt8Array
    direction: FloatArray
    direction_weight: FloatArray


class TrainingStream(Dataset[Draw]):
    """All draws of a run; item i is draw i.

    Args:
        reader: the data set.
        truth_map: which classes are known; held-out and ignored pixels become 255.
        recipe: shares, augmentation, seed and length of the run.
        stride: output stride of the network, for the direction target.

    Raises:
        UsageError: the recipe learns void pixels as a class, and there are none.
    """

    def __init__(
        self, reader: DatasetReader, truth_map: TruthMap, recipe: Recipe, stride: int
    ) -> None:
        self.samples = list(reader)
        self.recipe = recipe
        self.stride = stride
        self.names = truth_map.known_names
        self.truth_map = truth_map
        self._scenes = self._render_scenes(_scene_table(truth_map))
        self._proxy = proxy_samples(recipe.data.outliers, recipe.seed)
        self._cache: dict[int, LabelledImage] = {}
        if recipe.data.cache:
            self._cache = {i: self._load(i) for i in range(len(self.samples))}
        self.frequencies = self._class_frequencies()
        self._rare = np.flatnonzero(self.frequencies[: len(self.names)] < RARE)
        if recipe.network.unknown and recipe.data.learn_void and not self.frequencies[-1]:
            raise UsageError(
                f"the recipe '{recipe.name}' learns void pixels as a class, but {reader.name} "
                f"{reader.split} has none with the truth map '{truth_map.name}'; choose a recipe "
                "without it, or one that learns pasted negatives (data.learn_void=False)"
            )

    def __len__(self) -> int:
        return self.recipe.loop.steps * self.recipe.loop.batch

    def __getitem__(self, index: int) -> Draw:
        rng = np.random.default_rng([self.recipe.seed, index])
        config = self.recipe.augment
        if self._proxy and rng.random() < self.recipe.data.outliers.share:
            return self._outlier(rng)
        if self._scenes and rng.random() < self.recipe.data.scenes:
            image, labels = self._scenes[int(rng.integers(len(self._scenes)))]
        else:
            image, labels = self._real(index)
        image, labels = scale_and_crop(image, labels, config, rng)
        if rng.random() < config.copy_paste:
            donor = self._sample(int(rng.integers(len(self.samples))))
            copy_paste(image, labels, *scale_and_crop(*donor, config, rng), self._rare)
        if config.foreign and rng.random() < config.foreign:
            for _ in range(int(rng.integers(1, config.foreign_max + 1))):
                other = int(rng.integers(len(self.samples)))
                paste_foreign(image, labels, self._sample(other)[0], rng)
        image, labels = augment(image, labels, config, rng)
        regions = np.where(labels == UNLABELLED_ID, np.uint8(IGNORE_ID), labels)
        direction, weight = direction_target(regions, self.stride)
        return Draw(image, labels, direction, weight)

    def _outlier(self, rng: np.random.Generator) -> Draw:
        """Draw an image that stands for the unknown: all of it is strange, nothing has a form."""
        image = self._proxy[int(rng.integers(len(self._proxy)))].load_image()
        strange = np.full(image.shape[:2], OUTLIER_ID, np.uint8)
        image, labels = scale_and_crop(image, strange, self.recipe.augment, rng)
        image, labels = augment(image, labels, self.recipe.augment, rng)
        nothing = np.full_like(labels, IGNORE_ID)
        return Draw(image, labels, *direction_target(nothing, self.stride))

    def _class_frequencies(self) -> FloatArray:
        """Return the share of each class among the pixels that are learnt, (N,) float32.

        Those of the unknown come last, (N + 1,): void pixels, 0 where they are not learnt.
        """
        counts = np.zeros(256, np.int64)
        for i in range(len(self.samples)):
            counts += np.bincount(self._sample(i)[1].ravel(), minlength=256)
        known = counts[: len(self.names)].astype(np.float64)
        if self.recipe.network.unknown:
            known = np.append(known, counts[UNLABELLED_ID])
        shares: FloatArray = (known / max(1.0, known.sum())).astype(np.float32)
        return shares

    def _real(self, index: int) -> LabelledImage:
        epoch, position = divmod(index, len(self.samples))
        order = np.random.default_rng([self.recipe.seed, epoch, 1]).permutation(len(self.samples))
        return self._sample(int(order[position]))

    def _sample(self, i: int) -> LabelledImage:
        return self._cache[i] if i in self._cache else self._load(i)

    def _load(self, i: int) -> LabelledImage:
        image, labels = self.samples[i].load()
        truth = self.truth_map.apply(labels, self.names)
        if not (self.recipe.network.unknown and self.recipe.data.learn_void):
            return image, truth.known
        # Held-out classes stay out of training; only void pixels stand for the unknown.
        return image, np.where(truth.valid, truth.known, np.uint8(UNLABELLED_ID))

    def _render_scenes(self, table: UInt8Array) -> list[LabelledImage]:
        data = self.recipe.data
        if not data.scenes:
            return []
        workers = self.recipe.loop.workers and self.recipe.loop.workers + 1
        bank = render_bank(data.scene_worlds, self.recipe.network.size, self.recipe.seed, workers)
        return [(image, table[labels]) for image, labels in bank]


def _scene_table(truth_map: TruthMap) -> UInt8Array:
    """Lookup from scene label ids to training ids; strange objects become outliers."""
    by_name = {name: i for i, name in enumerate(truth_map.known_names)}
    table = np.full(256, IGNORE_ID, np.uint8)
    for i, name in enumerate(CAMVID11.names):
        table[i] = by_name.get(name, IGNORE_ID)
    table[STRANGE_ID] = OUTLIER_ID
    return table


def collate(draws: list[Draw]) -> Batch:
    """Stack draws into a batch of tensors."""
    images = np.stack([draw.image for draw in draws])
    tensor = torch.from_numpy(images).permute(0, 3, 1, 2)
    return Batch(
        images=tensor.float().div_(255.0),
        labels=torch.from_numpy(np.stack([draw.labels for draw in draws])).long(),
        direction=torch.from_numpy(np.stack([draw.direction for draw in draws])),
        direction_weight=torch.from_numpy(np.stack([draw.direction_weight for draw in draws])),
    )


def init_worker(worker_id: int) -> None:
    """Keep each loader process on one thread."""
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
