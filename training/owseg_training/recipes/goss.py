"""Recipes of the GOSS Segmentor: classes and directions from one network.

`camvid_goss_small` is a schedule for a CPU: three seeds of a comparison in an evening. The others
are the variants of the paper (Hong et al., 2022, Section 6.1) on it, and the paper's own network
and optimiser for a GPU.
"""

from __future__ import annotations

from dataclasses import replace

from owseg_training.config import (
    AugmentConfig,
    ContrastConfig,
    DataConfig,
    LoopConfig,
    LossConfig,
    NetworkConfig,
    OptimConfig,
    Recipe,
    ScoreConfig,
)

BETA = 5.0
"""Confidence adjustment of the paper."""

CONTRAST = 0.01
"""Weight of the contrastive loss in the paper."""

PROJECTION = 256

PASTE = 0.5
"""Share of the images that strange objects are pasted into, as in the shipped model."""


def camvid_goss_small() -> Recipe:
    """N-model on the small real-time network, both branches trained jointly, for a CPU."""
    return Recipe(
        name="camvid_goss_small",
        augment=AugmentConfig(crop=(192, 256), scale=(0.55, 1.5)),
        network=NetworkConfig(width=24, head="softmax", strategy="joint"),
        # The weight of a mean that 1e-4 of the paper's sum comes to in a street of 641 x 641;
        # half of its anchors, so that the contrast is a fourth of a step.
        loss=LossConfig(direction=0.3, sampling=ContrastConfig(anchors=512)),
        optim=OptimConfig(warmup=60, ema=0.995),
        loop=LoopConfig(steps=1100, workers=0, checkpoint_every=100),
        score=ScoreConfig(method="msp"),
    )


def camvid_goss_medium() -> Recipe:
    """`camvid_goss_small` with more than twice the steps, on larger crops."""
    base = camvid_goss_small()
    return replace(
        base,
        name="camvid_goss_medium",
        augment=replace(base.augment, crop=(240, 320)),
        optim=replace(base.optim, warmup=100, ema=0.998),
        loop=replace(base.loop, steps=2400),
    )


def camvid_goss_metric() -> Recipe:
    """DMLNet (DCE + 0.01 VL) on the schedule of the small one."""
    return _named("camvid_goss_metric", metric(camvid_goss_small()))


def camvid_goss_metric_dce() -> Recipe:
    """DMLNet without the variance loss."""
    return _named("camvid_goss_metric_dce", dce_only(camvid_goss_small()))


def camvid_goss_metric_vl() -> Recipe:
    """DMLNet with nothing but the variance loss."""
    return _named("camvid_goss_metric_vl", vl_only(camvid_goss_small()))


def camvid_goss_separate() -> Recipe:
    """Two networks, one for classes and one for directions, on the schedule of the small one."""
    return _named("camvid_goss_separate", separate(camvid_goss_small()))


def camvid_goss_contrast() -> Recipe:
    """GST as an N-model: `camvid_goss_small` with the pixel contrastive loss."""
    return _named("camvid_goss_contrast", contrastive(camvid_goss_small()))


def camvid_goss_n_plus_1() -> Recipe:
    """N+1-model: `camvid_goss_small` with void pixels as one more class."""
    return _named("camvid_goss_n_plus_1", n_plus_1(camvid_goss_small()))


def camvid_goss_gst() -> Recipe:
    """GST: N+1-model, confidence adjustment and contrastive loss."""
    return _named("camvid_goss_gst", gst(camvid_goss_small()))


def camvid_goss_strange() -> Recipe:
    """GST that has seen strange objects: pasted ones are unknown too, and have directions."""
    return _named("camvid_goss_strange", strange(gst(camvid_goss_small())))


def camvid_goss_tiny() -> Recipe:
    """Try the machinery in a minute: a few steps on small crops, no useful model."""
    return Recipe(
        name="camvid_goss_tiny",
        data=DataConfig(cache=False),
        augment=AugmentConfig(crop=(96, 128)),
        network=NetworkConfig(
            backbone="fast_scnn", head="softmax", strategy="joint", size=(96, 128)
        ),
        loss=LossConfig(direction=0.3, sampling=ContrastConfig(anchors=32, pool=128, negatives=8)),
        optim=OptimConfig(warmup=5),
        loop=LoopConfig(steps=20, batch=2, workers=0, checkpoint_every=10),
        score=ScoreConfig(method="msp"),
    )


def camvid_goss_deeplab50() -> Recipe:
    """N-model on DeepLabV3+ ResNet-50 from ImageNet weights, the paper's optimiser; for a GPU."""
    return Recipe(
        name="camvid_goss_deeplab50",
        augment=AugmentConfig(crop=(360, 480), scale=(0.5, 1.5), copy_paste=0.0),
        network=_deeplab((360, 480)),
        loss=_papers_loss(),
        optim=_papers_optimiser(),
        loop=LoopConfig(steps=20000, batch=10, workers=8, checkpoint_every=1000),
        score=ScoreConfig(method="msp"),
    )


def cityscapes_goss_deeplab50() -> Recipe:
    """N-model of Table 4: Cityscapes with car, truck and bus held out; for a GPU."""
    return Recipe(
        name="cityscapes_goss_deeplab50",
        data=DataConfig(dataset="cityscapes", truth_map="cityscapes_16_3", cache=False),
        augment=AugmentConfig(crop=(641, 641), scale=(0.5, 1.5), copy_paste=0.0),
        network=_deeplab((512, 1024)),
        loss=_papers_loss(),
        optim=_papers_optimiser(),
        loop=LoopConfig(steps=40000, batch=2, workers=8, checkpoint_every=1000),
        score=ScoreConfig(method="msp"),
    )


def cityscapes_goss_contrast() -> Recipe:
    """GST of Table 4: the N-model with the pixel contrastive loss; for a GPU."""
    return _named("cityscapes_goss_contrast", contrastive(cityscapes_goss_deeplab50()))


# Variants of any recipe -------------------------------------------------------------------------


def softmax(recipe: Recipe) -> Recipe:
    """Return the N-model: plain softmax over the known classes."""
    network = replace(recipe.network, head="softmax", unknown=False, projection=0)
    loss = replace(recipe.loss, contrast=0.0)
    return replace(recipe, network=network, loss=loss, score=ScoreConfig(method="msp"))


def metric(recipe: Recipe) -> Recipe:
    """Return the same with prototypes (deep metric learning, DMLNet)."""
    plain = softmax(recipe)
    network = replace(plain.network, head="metric")
    return replace(plain, network=network, score=ScoreConfig(method="eds"))


def dce_only(recipe: Recipe) -> Recipe:
    """Return the network with prototypes that learns by the cross entropy alone."""
    made = metric(recipe)
    return replace(made, loss=replace(made.loss, variance=0.0))


def vl_only(recipe: Recipe) -> Recipe:
    """Return the network with prototypes that learns by the variance loss alone, weight 1."""
    made = metric(recipe)
    return replace(made, loss=replace(made.loss, dce=0.0, variance=1.0))


def separate(recipe: Recipe) -> Recipe:
    """Return the same with a network of its own for the directions."""
    return replace(recipe, network=replace(recipe.network, strategy="separate"))


def contrastive(recipe: Recipe) -> Recipe:
    """Return the same with the pixel contrastive loss."""
    network = replace(recipe.network, projection=PROJECTION)
    return replace(recipe, network=network, loss=replace(recipe.loss, contrast=CONTRAST))


def n_plus_1(recipe: Recipe) -> Recipe:
    """Return the N+1-model: void pixels are one more class."""
    plain = softmax(recipe)
    network = replace(plain.network, unknown=True)
    return replace(plain, network=network, score=ScoreConfig(method="n_plus_1"))


def gst(recipe: Recipe) -> Recipe:
    """Return the N+1-model with confidence adjustment and contrastive loss."""
    made = contrastive(n_plus_1(recipe))
    return replace(made, score=replace(made.score, beta=BETA))


def strange(recipe: Recipe) -> Recipe:
    """Return the same with procedural strange objects pasted into the images (not in the paper)."""
    return replace(recipe, augment=replace(recipe.augment, paste=PASTE))


def _named(name: str, recipe: Recipe) -> Recipe:
    return replace(recipe, name=name)


def _deeplab(size: tuple[int, int]) -> NetworkConfig:
    return NetworkConfig(
        backbone="deeplab50", head="softmax", strategy="joint", size=size, imagenet=True
    )


def _papers_loss() -> LossConfig:
    """Weights 1, 1e-4 and (where it is switched on) 1e-2; the second is that of a sum."""
    return LossConfig(class_balance=0.0, direction=1e-4, direction_sum=True)


def _papers_optimiser() -> OptimConfig:
    return OptimConfig(optimizer="adam", lr=5e-5, weight_decay=0.0, warmup=1000, ema=0.0)
