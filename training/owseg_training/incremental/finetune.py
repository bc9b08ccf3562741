"""The baseline: plain fine-tuning of the whole network on the shots. It forgets.

The last layer grows by one output for each new class, all weights are trained, and only
the annotated pixels count: nothing reminds the network of the old classes.

Source: row "FT" of Table 4 in the DMLNet paper.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from owseg.types import IGNORE_ID
from owseg_training.incremental.bank import AnnotatedImage, augmented, to_tensor
from owseg_training.incremental.config import IncrementalConfig
from owseg_training.incremental.network import grown
from owseg_training.incremental.plm import metric_loss
from owseg_training.loop import has_bfloat16
from owseg_training.models.dmlnet import DMLNet, fixed_prototypes
from owseg_training.optim import build_optimizer, learning_rate


def fine_tune(
    network: DMLNet,
    shots: Sequence[AnnotatedImage],
    config: IncrementalConfig,
    seed: int,
    title: str = "fine-tuning",
) -> DMLNet:
    """Return a copy of a network with one more class, fine-tuned on its shots.

    Args:
        network: the network so far; it is not changed.
        shots: images of which only the new class is annotated, at the input size.
        config: steps, batch, augmentation, optimiser.
        seed: decides views and the new weights.
        title: text before the progress bar.
    """
    torch.manual_seed(seed)
    tuned = with_new_class(network)
    device = tuned.prototypes.device
    mixed = config.amp and has_bfloat16(device)
    optimizer = build_optimizer(tuned, config.optim)
    views = augmented(shots, config, seed)
    tuned.train()
    for step in tqdm(range(config.steps), desc=title, unit="step", leave=False):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, config.steps, config.optim)
        images, labels = _batch(itertools.islice(views, config.batch), tuned)
        with torch.autocast(device.type, torch.bfloat16, enabled=mixed):
            embedding = tuned(images).embedding
        loss = metric_loss(embedding, labels, tuned.prototypes, config.variance, None)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(tuned.parameters(), config.optim.clip)
        optimizer.step()
    return tuned.eval()


def with_new_class(network: DMLNet) -> DMLNet:
    """Return a copy with one more output and prototype; all its weights can be trained."""
    larger = copy.deepcopy(network).requires_grad_(True)
    larger.embed = grown(network.embed)
    scale = float(network.prototypes[0, 0])
    prototypes = fixed_prototypes(larger.embed.out_channels, scale)
    larger.prototypes = prototypes.to(network.prototypes.device)
    return larger.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def _batch(views: Iterable[AnnotatedImage], network: DMLNet) -> tuple[Tensor, Tensor]:
    """Images (B, 3, H, W) and labels (B, H, W): the new class, all else 255."""
    chosen = list(views)
    device, new_id = network.prototypes.device, network.embed.out_channels - 1
    images = torch.cat([to_tensor(view.image, device) for view in chosen])
    masks = torch.from_numpy(np.stack([view.mask for view in chosen])).to(device)
    labels = torch.full_like(masks, IGNORE_ID, dtype=torch.int64).masked_fill(masks == 1, new_id)
    return images.contiguous(memory_format=torch.channels_last), labels
