"""Recipes for IDD Lite: a second real domain, to pre-train a backbone on."""

from __future__ import annotations

from owseg_training.config import (
    AugmentConfig,
    DataConfig,
    LoopConfig,
    NetworkConfig,
    Recipe,
    ScoreConfig,
)


def idd_pretrain() -> Recipe:
    """Closed-set pre-training with vehicles void; use its checkpoint with `--init`."""
    return Recipe(
        name="idd_pretrain",
        data=DataConfig(dataset="idd_lite", truth_map="idd_lite_a"),
        augment=AugmentConfig(crop=(192, 256), scale=(0.7, 1.8), copy_paste=0.0),
        network=NetworkConfig(head="softmax", direction=False, size=(224, 320)),
        loop=LoopConfig(steps=2500, batch=12),
        score=ScoreConfig(method="msp"),
    )
