"""Recipes for Cityscapes; the split is chosen by the truth map."""

from __future__ import annotations

from dataclasses import replace

from owseg_training.config import (
    AugmentConfig,
    DataConfig,
    LoopConfig,
    LossConfig,
    NetworkConfig,
    OptimConfig,
    OutlierConfig,
    Recipe,
    ScoreConfig,
)
from owseg_training.recipes.negatives import LAMBDA

IMAGES = 2975
"""Training images of Cityscapes."""

PROXY = IMAGES // 10
"""Images of COCO for an epoch of it, in the code of Chan et al."""


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


def cityscapes_deeplab101() -> Recipe:
    """DMLNet on DeepLabV3+ ResNet-101, the base of its incremental part (Table 4); for a GPU."""
    return Recipe(
        name="cityscapes_deeplab101",
        data=DataConfig(dataset="cityscapes", truth_map="cityscapes_16_3", cache=False),
        augment=AugmentConfig(crop=(768, 768), scale=(1.0, 1.0), jitter=0.5, copy_paste=0.0),
        network=NetworkConfig(backbone="deeplab101", imagenet=True, size=(1024, 2048)),
        # The paper: 0.1, and a tenth of it for the encoder; here the encoder's rate for all.
        optim=OptimConfig(optimizer="sgd", lr=0.01, weight_decay=1e-4, warmup=500, ema=0.0),
        loop=LoopConfig(steps=30000, batch=16, workers=8, checkpoint_every=1000),
    )


def cityscapes_wrn38() -> Recipe:
    """Plain softmax over 19 classes on DeepLabV3+ WiderResNet-38; for GPUs with much memory.

    The network that entropy maximisation starts from (Zhu et al.). Theirs starts from ImageNet
    and Mapillary; no library has these weights, so this starts from scratch, at a higher rate.
    """
    return Recipe(
        name="cityscapes_wrn38",
        data=DataConfig(dataset="cityscapes", truth_map="cityscapes", cache=False),
        augment=AugmentConfig(crop=(800, 800), scale=(0.5, 2.0), copy_paste=0.0),
        network=NetworkConfig(backbone="deeplab_wrn38", head="softmax", size=(1024, 2048)),
        loss=LossConfig(class_balance=0.0),
        optim=OptimConfig(optimizer="sgd", lr=0.01, weight_decay=1e-4, warmup=1000, ema=0.0),
        loop=LoopConfig(steps=175 * IMAGES // 8, workers=8, checkpoint_every=1000),
        score=ScoreConfig(method="entropy"),
    )


def cityscapes_entropy_wrn38() -> Recipe:
    """Entropy maximisation with COCO for one epoch (Chan et al.); `--init` with the former."""
    base = cityscapes_wrn38()
    share = PROXY / (IMAGES + PROXY)
    return replace(
        base,
        name="cityscapes_entropy_wrn38",
        data=replace(base.data, outliers=OutlierConfig(share=share, images=PROXY)),
        augment=AugmentConfig(
            crop=(480, 480), scale=(1.0, 1.0), jitter=0.0, hue=0.0, copy_paste=0.0
        ),
        loss=replace(base.loss, entropy=LAMBDA),
        optim=OptimConfig(optimizer="adam", lr=1e-5, weight_decay=0.0, warmup=0, ema=0.0),
        loop=LoopConfig(steps=(IMAGES + PROXY) // 8, workers=8, checkpoint_every=100),
    )


def cityscapes_mit_b0() -> Recipe:
    """DMLNet on the Mix Transformer B0 at half resolution, for real time; for a GPU."""
    return Recipe(
        name="cityscapes_mit_b0",
        data=DataConfig(dataset="cityscapes", truth_map="cityscapes_16_3", cache=False),
        augment=AugmentConfig(crop=(512, 512), scale=(0.25, 1.0), copy_paste=0.0),
        network=NetworkConfig(backbone="mit_b0", imagenet=True, size=(512, 1024)),
        # SegFormer: 6e-5 for the encoder, ten times as much for its decoder; here one rate for all.
        optim=OptimConfig(lr=1e-4, weight_decay=0.01, warmup=1500),
        loop=LoopConfig(steps=80000, workers=8, checkpoint_every=1000),
    )


def cityscapes_mit_b2() -> Recipe:
    """DMLNet on the Mix Transformer B2 at half resolution; for a GPU."""
    base = cityscapes_mit_b0()
    network = replace(base.network, backbone="mit_b2")
    return replace(base, name="cityscapes_mit_b2", network=network)
