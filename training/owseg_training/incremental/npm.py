"""The Novel Prototype Method in torch: learnt by the core, applied to a data set.

Prototypes and radius come from `owseg.prototypes`, the code that runs on the vehicle.

Source: DMLNet, Section 4.3, Eq. 11 and 12.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from owseg.engines.base import BaseEngine, Outputs, PrototypeSlots
from owseg.manifest import Manifest, OperatingPoint
from owseg.prototypes import NovelClass, PrototypeSet
from owseg.prototypes.examples import Example
from owseg.prototypes.learn import learn_class
from owseg.types import ClassInfo, UInt8Array
from owseg_training.distances import squared_distances
from owseg_training.incremental.bank import AnnotatedImage
from owseg_training.incremental.evaluate import Predictor
from owseg_training.models import DMLNet
from owseg_training.models.dmlnet import MEAN, STD
from owseg_training.models.layers import resize

SPACE = "torch"
SLOTS = 32
BLACK = (0, 0, 0)


class EmbeddingEngine(BaseEngine):
    """Gives the core the embedding of a network in torch.

    Args:
        network: a trained network, in evaluation mode.
        class_names: its classes.
        size: (height, width) of its input.
    """

    name = SPACE

    def __init__(self, network: DMLNet, class_names: Sequence[str], size: tuple[int, int]) -> None:
        super().__init__(_manifest(network, class_names, size), SPACE)
        self.network = network

    def infer(
        self,
        images: UInt8Array,
        prototypes: PrototypeSlots,
        threshold: float,
        outputs: Sequence[str] = ("embedding",),
    ) -> Outputs:
        """Return the embedding of a batch; see `Engine.infer`."""
        self.check_inputs(images, prototypes, threshold, outputs)
        assert tuple(outputs) == ("embedding",)
        x = torch.from_numpy(images).to(self.network.prototypes.device)
        with torch.no_grad():
            embedding = self.network(x.permute(0, 3, 1, 2).float() / 255.0).embedding
        return {"embedding": embedding.float().cpu().numpy()}


def learn_prototypes(
    engine: EmbeddingEngine, shots: Mapping[str, Sequence[AnnotatedImage]]
) -> PrototypeSet:
    """Learn classes one after another, each knowing the ones before.

    Args:
        engine: the network of the base classes.
        shots: shots by class, in the order of learning.
    """
    present = PrototypeSet(space=SPACE)
    for name, examples in shots.items():
        learnt = learn_class(
            engine,
            [Example(image=shot.image, mask=shot.mask, source=name) for shot in examples],
            present=present,
        )
        novel = NovelClass(
            id=len(engine.manifest.classes) + len(present.classes),
            name=name,
            color=BLACK,
            radius=learnt.radius,
            vectors=learnt.vectors,
        )
        present = PrototypeSet(space=SPACE, classes=(*present.classes, novel))
    return present


def with_prototypes(network: DMLNet, prototypes: PrototypeSet) -> Predictor:
    """Return the predictor of the method: Eq. 12 with the nearest novel prototype that reaches."""
    device = network.prototypes.device
    novel = prototypes.classes
    vectors = torch.from_numpy(np.concatenate([item.vectors for item in novel])).to(device)
    counts = [len(item.vectors) for item in novel]
    radius = torch.tensor(np.repeat([item.radius for item in novel], counts), device=device)
    ids = torch.tensor(np.repeat([item.id for item in novel], counts), device=device)

    def predict(x: Tensor) -> Mapping[str, Tensor]:
        size = (int(x.shape[-2]), int(x.shape[-1]))
        embedding = network(x).embedding
        known = resize(squared_distances(embedding, network.prototypes), size)
        distances = resize(squared_distances(embedding, vectors), size)
        held = distances < radius[:, None, None]
        nearest, slot = distances.masked_fill(~held, torch.inf).min(dim=1)
        limit, best = known.min(dim=1)
        claimed = nearest < limit
        return {"npm": torch.where(claimed, ids[slot], best)}

    return predict


def _manifest(network: DMLNet, class_names: Sequence[str], size: tuple[int, int]) -> Manifest:
    return Manifest(
        name=SPACE,
        classes=tuple(ClassInfo(id=i, name=n, color=BLACK) for i, n in enumerate(class_names)),
        height=size[0],
        width=size[1],
        mean=MEAN,
        std=STD,
        stride=network.stride,
        prototypes=network.prototypes.float().cpu().numpy(),
        slots=SLOTS,
        score={},
        operating_points=(OperatingPoint(name="all", threshold=1.0, fitted_on="nothing"),),
        default_operating_point="all",
    )
