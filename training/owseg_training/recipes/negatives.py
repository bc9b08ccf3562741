"""Recipes that learn what is unknown: with an outlier data set, and without any.

All run on the schedule and network of `camvid_goss_small`, so that they compare with it and with
each other.
"""

from __future__ import annotations

from dataclasses import replace

from owseg_training.config import OutlierConfig, Recipe, ScoreConfig
from owseg_training.recipes.goss import camvid_goss_small, n_plus_1

FOREIGN = 0.5
"""Share of the images that foreign pieces are pasted into, as that of strange objects."""

LAMBDA = 0.9
"""Weight of the entropy in the code of Chan et al., for whole images as outliers."""


def camvid_negatives() -> Recipe:
    """Negatives without outlier data: foreign pieces are the one more class that is learnt."""
    base = n_plus_1(camvid_goss_small())
    return replace(
        base,
        name="camvid_negatives",
        data=replace(base.data, learn_void=False),
        augment=replace(base.augment, foreign=FOREIGN),
    )


def camvid_negatives_entropy() -> Recipe:
    """Entropy maximisation on the same pieces, without one more class."""
    base = camvid_goss_small()
    return replace(
        base,
        name="camvid_negatives_entropy",
        augment=replace(base.augment, foreign=FOREIGN),
        loss=replace(base.loss, entropy=0.5),
        score=ScoreConfig(method="entropy"),
    )


def camvid_entropy() -> Recipe:
    """Entropy maximisation with class-safe images of COCO as outliers (Chan et al.)."""
    base = camvid_goss_small()
    return replace(
        base,
        name="camvid_entropy",
        data=replace(base.data, outliers=OutlierConfig(share=0.3, images=4000)),
        loss=replace(base.loss, entropy=LAMBDA),
        score=ScoreConfig(method="entropy"),
    )


def camvid_dropout() -> Recipe:
    """`camvid_goss_small` with dropout in front of the last layer, for Monte-Carlo dropout."""
    base = camvid_goss_small()
    return replace(base, name="camvid_dropout", network=replace(base.network, dropout=0.2))
