"""Augmented views of a few shots with the features of the frozen trunk, computed once.

The trunk does not change while a head is trained, so that a training step
costs only the head.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from owseg.types import UInt8Array
from owseg_training.data.augment import augment, scale_and_crop
from owseg_training.incremental.config import IncrementalConfig
from owseg_training.incremental.labels import own_class, pseudo_labels
from owseg_training.incremental.network import PLMNetwork
from owseg_training.models.layers import resize

CACHE_BYTES = 2**30
"""Room for the features of all views; there are fewer views where they are large."""


class AnnotatedImage(NamedTuple):
    """A shot at the input size of the network: an image of which only one class is annotated.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        mask: (H, W) uint8, 1 = the class, 0 = not annotated, 255 = outside of the image.
    """

    image: UInt8Array
    mask: UInt8Array


class Views(NamedTuple):
    """Views of all shots.

    Attributes:
        features: what the trunk gives, each (V, C, h, w) float32.
        labels: (V, H, W) uint8 pseudo labels; 255 = ignore.
    """

    features: tuple[Tensor, ...]
    labels: Tensor


def augmented(
    shots: Sequence[AnnotatedImage], config: IncrementalConfig, seed: int
) -> Iterator[AnnotatedImage]:
    """Yield views without end, all shots in turn: first as they are, then changed.

    View i depends on the seed and i alone.
    """
    yield from shots
    change = replace(config.augment, crop=shots[0].mask.shape)
    number = len(shots)
    while True:
        rng = np.random.default_rng([seed, number, 3])
        image, mask = scale_and_crop(*shots[number % len(shots)], change, rng)
        yield AnnotatedImage(*augment(image, mask, change, rng))
        number += 1


@torch.no_grad()
def make_views(
    network: PLMNetwork, shots: Sequence[AnnotatedImage], config: IncrementalConfig, seed: int
) -> Views:
    """Make the views that a new head of the network is trained on.

    Args:
        network: base and older heads; they give the pseudo labels.
        shots: at the input size of the network, at least one.
        config: number of views, augmentation.
        seed: decides the views.
    """
    device = network.prototypes.device
    features: list[tuple[Tensor, ...]] = []
    labels: list[Tensor] = []
    wanted = max(min(config.views, config.steps * config.batch), len(shots))
    used = 0
    with tqdm(total=wanted, desc="views", unit="view", leave=False) as bar:
        for image, mask in augmented(shots, config, seed):
            trunk = network.base.trunk(to_tensor(image, device))
            features.append(trunk)
            labels.append(_pseudo(network, trunk, torch.from_numpy(mask).to(device)[None]))
            used += sum(part.nbytes for part in trunk)
            bar.update()
            enough = len(features) >= wanted or used >= CACHE_BYTES
            if enough and len(features) >= len(shots):
                break
    columns = zip(*features, strict=True)
    return Views(tuple(torch.cat(column) for column in columns), torch.cat(labels))


def _pseudo(network: PLMNetwork, trunk: tuple[Tensor, ...], mask: Tensor) -> Tensor:
    size = (int(mask.shape[1]), int(mask.shape[2]))
    embedding = network.base.embed_only(trunk)
    base = resize(embedding, size).argmax(dim=1)
    claims = [own_class(head(trunk), size) for head in network.heads]
    return pseudo_labels(base, claims, mask, network.num_base).to(torch.uint8)


def to_tensor(image: UInt8Array, device: torch.device) -> Tensor:
    """Return an image (H, W, 3) uint8 as (1, 3, H, W) float32 in 0..1."""
    tensor = torch.from_numpy(np.ascontiguousarray(image)).to(device)
    return tensor.permute(2, 0, 1)[None].float() / 255.0
