"""Recipes for Cityscapes; the split is chosen by the truth map."""

from __future__ import annotations

from owseg_training.config import (
    AugmentConfig,
    DataConfig,
    LoopConfig,
    NetworkConfig,
    OptimConfig,
    Recipe,
)


def cityscapes_small() -> Recipe:
    """DMLNet on the small real-time network at half resolution, car, truck and bus held out."""
    return Recipe(
        name="cityscapes_small",
        data=DataConfig(dataset="cityscapes", truth_map="cityscapes_16_3", cache=False),
        augment=AugmentConfig(crop=(384, 768), scale=(0.25, 1.0), copy_paste=0.0),
        network=NetworkConfig(size=(512, 1024)),
        loop=LoopConfig(steps=30000, batch=12, workers=8, checkpoint_every=1000),
    )


def cityscapes_pspnet50() -> Recipe:
    """DMLNet on PSPNet ResNet-50 from ImageNet weights with the paper's optimiser; for a GPU."""
    return Recipe(
        name="cityscapes_pspnet50",
        data=DataConfig(dataset="cityscapes", truth_map="cityscapes_16_3", cache=False),
        augment=AugmentConfig(crop=(512, 512), scale=(0.25, 1.0), copy_paste=0.0),
        network=NetworkConfig(backbone="pspnet50", imagenet=True, size=(512, 1024)),
        optim=OptimConfig(optimizer="sgd", lr=0.02, weight_decay=1e-4, schedule="poly", warmup=500),
        loop=LoopConfig(steps=30000, workers=8, checkpoint_every=1000),
    )
