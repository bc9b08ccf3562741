"""Configuration of the incremental methods: frozen, keyword-only, stored with the results."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from owseg_training.config import AugmentConfig, OptimConfig, build_config


@dataclass(frozen=True, kw_only=True)
class IncrementalConfig:
    """How a head is trained on a few shots, or a network fine-tuned on them.

    Attributes:
        steps: optimiser steps.
        batch: augmented images per step.
        views: augmented views of all shots together, made once; batches are drawn from them, so
            that there are no more than steps * batch.
        variance: weight of the variance loss.
        amp: mixed precision: bfloat16 where the device has it.
        class_balance: exponent b of the class weights frequency^-b, 0 = none.
        augment: random changes of the views; the crop is the input size of the network.
        optim: optimiser and schedule; no weight average.
    """

    steps: int = 200
    batch: int = 4
    views: int = 96
    amp: bool = True
    variance: float = 0.01
    class_balance: float = 0.0
    augment: AugmentConfig = field(
        default_factory=lambda: AugmentConfig(
            scale=(0.7, 1.5), copy_paste=0.0, paste=1.0, paste_max=6
        )
    )
    optim: OptimConfig = field(
        default_factory=lambda: OptimConfig(lr=3e-3, weight_decay=0.01, warmup=10, ema=0.0)
    )


def incremental_config_from_dict(raw: dict[str, Any]) -> IncrementalConfig:
    """Rebuild a configuration from `dataclasses.asdict`.

    Raises:
        UsageError: a field is unknown to this version.
    """
    config = build_config(IncrementalConfig, raw)
    assert isinstance(config, IncrementalConfig)
    return config
