"""Label maps of the methods, and their confusion matrices over a data set, in one pass.

Ids are those of a protocol: 0..N-1 the base classes, then the new ones in their order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from owseg.datasets import DatasetReader, TruthMap
from owseg.metrics import SegmentationMetric
from owseg_training.data.resize import load_at
from owseg_training.incremental.bank import to_tensor
from owseg_training.incremental.labels import merge, own_class
from owseg_training.incremental.network import PLMNetwork
from owseg_training.models import DMLNet
from owseg_training.models.layers import resize

Predictor = Callable[[Tensor], Mapping[str, Tensor]]
"""From an image (1, 3, H, W) in 0..1 to label maps (1, H, W) int64 by method."""


def evaluate(
    predictors: Sequence[Predictor],
    reader: DatasetReader,
    truth_map: TruthMap,
    names: Sequence[str],
    size: tuple[int, int],
    device: torch.device,
    title: str,
) -> dict[str, SegmentationMetric]:
    """Compare label maps with the truth, at the input size of the network.

    Args:
        predictors: what to compare; each gives the maps of one method or several.
        reader: the split to evaluate on.
        truth_map: meaning of its label ids; nothing held out.
        names: the classes in the order of their ids.
        size: (height, width) of the network's input.
        device: where the predictors live.
        title: text before the progress bar.

    Returns:
        The confusion matrix of each method.
    """
    metrics: dict[str, SegmentationMetric] = {}
    for sample in tqdm(list(reader), desc=title, unit="image", leave=False):
        image, labels = load_at(sample, size)
        truth = truth_map.apply(labels, names).known
        x = to_tensor(image, device)
        for predict in predictors:
            with torch.no_grad():
                maps = predict(x)
            for method, found in maps.items():
                metric = metrics.setdefault(method, SegmentationMetric(len(names)))
                metric.update(found[0].cpu().numpy().astype(np.uint8), truth)
    return metrics


def closed_set(
    network: DMLNet, class_names: Sequence[str], names: Sequence[str], method: str
) -> Predictor:
    """Return the predictor of a plain network; its classes are given the ids of the protocol."""
    ids = torch.tensor([list(names).index(name) for name in class_names])

    def predict(x: Tensor) -> Mapping[str, Tensor]:
        return {method: ids.to(x.device)[_best(network(x).embedding, x)]}

    return predict


def with_heads(network: PLMNetwork) -> Predictor:
    """Return the predictor of PLM_latest and PLM_all."""

    def predict(x: Tensor) -> Mapping[str, Tensor]:
        output = network(x)
        size = (int(x.shape[-2]), int(x.shape[-1]))
        claims = [own_class(head, size) for head in output.heads]
        base = _best(output.embedding, x)
        return {
            "plm_latest": _best(output.heads[-1], x),
            "plm_all": merge(base, claims, network.num_base),
        }

    return predict


def _best(embedding: Tensor, x: Tensor) -> Tensor:
    """Nearest of prototypes of equal norm, which is the largest component."""
    return resize(embedding.float(), (int(x.shape[-2]), int(x.shape[-1]))).argmax(dim=1)
