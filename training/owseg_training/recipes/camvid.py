"""Recipes for CamVid, 11 classes, with open-set split A (car held out) as the default."""

from __future__ import annotations

from dataclasses import replace

from owseg_training.config import (
    AugmentConfig,
    DataConfig,
    LoopConfig,
    LossConfig,
    NetworkConfig,
    OptimConfig,
    Recipe,
    ScoreConfig,
)


def camvid_small() -> Recipe:
    """DMLNet as in the paper (DCE + 0.01 VL) on a small real-time network, from scratch."""
    return Recipe(name="camvid_small")


def camvid_softmax() -> Recipe:
    """Closed-set baseline: the same network and schedule with plain softmax."""
    base = camvid_small()
    return replace(
        base,
        name="camvid_softmax",
        network=replace(base.network, head="softmax"),
        score=ScoreConfig(method="msp"),
    )


def camvid_open() -> Recipe:
    """Shipped model: DMLNet on real and procedural streets, with pasted strange objects."""
    base = camvid_small()
    return replace(
        base,
        name="camvid_open",
        data=replace(base.data, scenes=0.3),
        augment=replace(base.augment, paste=0.5),
        loss=replace(base.loss, outlier=0.05),
    )


def camvid_open_softmax() -> Recipe:
    """Baseline of the shipped model: the same images, plain softmax; strange objects are void."""
    base = camvid_open()
    return replace(
        base,
        name="camvid_open_softmax",
        network=replace(base.network, head="softmax"),
        loss=replace(base.loss, outlier=0.0),
        score=ScoreConfig(method="msp"),
    )


def camvid_fast_scnn() -> Recipe:
    """DMLNet on Fast-SCNN (1.1 M parameters, stride 8) for the smallest machines."""
    base = camvid_small()
    return replace(
        base, name="camvid_fast_scnn", network=replace(base.network, backbone="fast_scnn")
    )


def camvid_pspnet50() -> Recipe:
    """DMLNet on PSPNet ResNet-50 from ImageNet weights with the paper's optimiser; for a GPU."""
    return Recipe(
        name="camvid_pspnet50",
        augment=AugmentConfig(crop=(360, 480), scale=(0.5, 2.0)),
        network=NetworkConfig(backbone="pspnet50", imagenet=True),
        optim=OptimConfig(optimizer="sgd", lr=0.02, weight_decay=1e-4, schedule="poly", warmup=500),
        loop=LoopConfig(steps=30000, workers=8),
    )


def camvid_mit_b0() -> Recipe:
    """DMLNet on the Mix Transformer B0 from ImageNet weights; for a GPU."""
    return Recipe(
        name="camvid_mit_b0",
        augment=AugmentConfig(crop=(360, 480), scale=(0.5, 2.0)),
        network=NetworkConfig(backbone="mit_b0", imagenet=True),
        # SegFormer: 6e-5 for the encoder, ten times as much for its decoder; here one rate for all.
        optim=OptimConfig(lr=1e-4, weight_decay=0.01, warmup=1500),
        loop=LoopConfig(steps=20000, workers=8, checkpoint_every=1000),
    )


def camvid_tiny() -> Recipe:
    """Try the machinery in a minute: a few steps on small crops, no useful model."""
    return Recipe(
        name="camvid_tiny",
        data=DataConfig(cache=False),
        augment=AugmentConfig(crop=(96, 128)),
        network=NetworkConfig(backbone="fast_scnn", size=(96, 128)),
        loss=LossConfig(),
        optim=OptimConfig(warmup=5),
        loop=LoopConfig(steps=30, batch=2, workers=0, checkpoint_every=10),
    )
