"""Training a new head on pseudo labels; all the rest stays as it is.

Source: DMLNet, Section 4.3, "Pseudo Label Method".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from owseg.types import IGNORE_ID
from owseg_training.distances import squared_distances
from owseg_training.incremental.bank import AnnotatedImage, Views, make_views
from owseg_training.incremental.config import IncrementalConfig
from owseg_training.incremental.network import BranchHead, PLMNetwork
from owseg_training.loop import has_bfloat16
from owseg_training.losses import discriminative_cross_entropy, variance_loss
from owseg_training.optim import build_optimizer, learning_rate


def learn_class(
    network: PLMNetwork,
    shots: Sequence[AnnotatedImage],
    config: IncrementalConfig,
    seed: int,
    title: str = "head",
) -> list[float]:
    """Train one more head and add it to the network.

    Args:
        network: base and older heads; changed in place, their weights are not.
        shots: images of which only the new class is annotated, at the input size.
        config: views, steps, optimiser.
        seed: decides views, batches and the new weights.
        title: text before the progress bar.

    Returns:
        The loss of each step.
    """
    torch.manual_seed(seed)
    views = make_views(network, shots, config, seed)
    head = network.new_head()
    losses = train_head(head, views, config, seed, title)
    network.add(head)
    return losses


def train_head(
    head: BranchHead, views: Views, config: IncrementalConfig, seed: int, title: str = "head"
) -> list[float]:
    """Train a head on cached features; returns the loss of each step."""
    head.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    device = views.labels.device
    mixed = config.amp and has_bfloat16(device)
    optimizer = build_optimizer(head, config.optim)
    weights = class_weights(views.labels, head.embed.out_channels, config.class_balance)
    losses: list[float] = []
    with tqdm(total=config.steps, desc=title, unit="step", leave=False) as bar:
        for step, chosen in enumerate(draws(len(views.labels), config, seed)):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, config.steps, config.optim)
            trunk = tuple(
                part[chosen].contiguous(memory_format=torch.channels_last)
                for part in views.features
            )
            with torch.autocast(device.type, torch.bfloat16, enabled=mixed):
                embedding = head(trunk)
            labels = views.labels[chosen].long()
            loss = metric_loss(embedding, labels, head.prototypes, config.variance, weights)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(head.parameters(), config.optim.clip)
            optimizer.step()
            losses.append(float(loss.detach()))
            bar.set_postfix(loss=f"{losses[-1]:.3f}", refresh=False)
            bar.update()
    return losses


def draws(count: int, config: IncrementalConfig, seed: int) -> Iterator[Tensor]:
    """Yield the numbers of the views of each batch: all in random order, again and again."""
    generator = torch.Generator().manual_seed(seed)
    needed = config.steps * config.batch
    orders = [torch.randperm(count, generator=generator) for _ in range(-(-needed // count))]
    yield from torch.cat(orders)[:needed].split(config.batch)  # type: ignore[no-untyped-call]


def metric_loss(
    embedding_BDhw: Tensor,
    labels_BHW: Tensor,
    prototypes_KD: Tensor,
    variance: float,
    weights_K: Tensor | None,
) -> Tensor:
    """DCE + variance * VL at the output stride, with the nearest labels (DMLNet, Eq. 3 and 4)."""
    size = (int(embedding_BDhw.shape[-2]), int(embedding_BDhw.shape[-1]))
    distances = squared_distances(embedding_BDhw, prototypes_KD)
    labels = F.interpolate(labels_BHW[:, None].float(), size, mode="nearest-exact")[:, 0].long()
    loss = discriminative_cross_entropy(distances, labels, weights_K)
    return loss + variance * variance_loss(distances, labels)


def class_weights(labels: Tensor, num_classes: int, exponent: float) -> Tensor | None:
    """Return weights frequency^-exponent with a mean of 1 over the labelled pixels."""
    if not exponent:
        return None
    counts = labels[labels != IGNORE_ID].long().bincount(minlength=num_classes).float()
    frequency = (counts / counts.sum().clamp_min(1)).clamp_min(1e-4)
    weights = frequency.pow(-exponent)
    return weights / (weights * frequency).sum()
