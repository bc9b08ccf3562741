"""Recipes of the open-set tables of the DMLNet paper: PSPNet ResNet-50; for a GPU.

Images are scaled to a short side of 300 to 560 pixels (the code: 300 to 600, the long side at most
1000) and cropped, where the code takes them whole.
"""

from __future__ import annotations

from dataclasses import replace

from owseg_training.config import (
    AugmentConfig,
    DataConfig,
    LoopConfig,
    NetworkConfig,
    OptimConfig,
    Recipe,
    ScoreConfig,
)


def streethazards_pspnet50() -> Recipe:
    """DMLNet of Table 1: StreetHazards, 13 classes, anomalies in the test images only."""
    return Recipe(
        name="streethazards_pspnet50",
        data=DataConfig(dataset="street_hazards", truth_map="street_hazards", cache=False),
        augment=AugmentConfig(crop=(448, 800), scale=(0.42, 0.78), copy_paste=0.0),
        network=NetworkConfig(backbone="pspnet50", imagenet=True, size=(450, 800)),
        optim=OptimConfig(optimizer="sgd", lr=0.02, weight_decay=1e-4, warmup=500),
        loop=LoopConfig(steps=20 * 1500, workers=8, checkpoint_every=1000),
    )


def streethazards_pspnet50_softmax() -> Recipe:
    """Baseline of Table 1: the same data and schedule with plain softmax (MSP, MaxLogit)."""
    base = streethazards_pspnet50()
    return replace(
        base,
        name="streethazards_pspnet50_softmax",
        network=replace(base.network, head="softmax"),
        score=ScoreConfig(method="msp"),
    )


def bdd100k_pspnet50() -> Recipe:
    """DMLNet of Table 2: BDD100K, 19 classes; for Lost and Found and Road Anomaly."""
    base = streethazards_pspnet50()
    return replace(
        base,
        name="bdd100k_pspnet50",
        data=replace(base.data, dataset="bdd100k", truth_map="cityscapes"),
    )
