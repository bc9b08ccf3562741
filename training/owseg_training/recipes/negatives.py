"""Recipes that learn what is unknown: with an outlier data set, and without any.

All run on the schedule and network of `camvid_goss_small`, so that they compare with it and with
each other.
"""

from __future__ import annotations

from dataclasses import replace

from owseg_training.config import OutlierConfig, Recipe, ScoreConfig
from owseg_training.recipes.goss import PASTE, camvid_goss_small, metric, n_plus_1, softmax

FOREIGN = 0.5
"""Share of the images that foreign pieces are pasted into, as that of strange objects."""

LAMBDA = 0.9
"""Weight of the entropy in the code of Chan et al., for whole images as outliers."""

SCENES, OUTLIER = 0.3, 0.05
"""Share of procedural streets, and weight of strange objects, in the shipped model."""


def camvid_negatives() -> Recipe:
    """Negatives without outlier data: foreign pieces are the one more class that is learnt."""
    return replace(negatives(camvid_goss_small()), name="camvid_negatives")


def camvid_negatives_entropy() -> Recipe:
    """Entropy maximisation on the same pieces, without one more class."""
    return replace(negatives_entropy(camvid_goss_small()), name="camvid_negatives_entropy")


def camvid_strange_entropy() -> Recipe:
    """Entropy maximisation on all that can stand for the unknown without outlier data."""
    made = strange_entropy(with_scenes(camvid_goss_small()))
    return replace(made, name="camvid_strange_entropy")


def camvid_entropy() -> Recipe:
    """Entropy maximisation with class-safe images of COCO as outliers (Chan et al.)."""
    return replace(outlier_entropy(camvid_goss_small()), name="camvid_entropy")


def camvid_dropout() -> Recipe:
    """`camvid_goss_small` with dropout in front of the last layer, for Monte-Carlo dropout."""
    return replace(with_dropout(camvid_goss_small()), name="camvid_dropout")


def camvid_open_small() -> Recipe:
    """Training of the shipped model (`camvid_open`) on the schedule of the small one."""
    return replace(strange_objects(with_scenes(camvid_goss_small())), name="camvid_open_small")


def camvid_open_small_softmax() -> Recipe:
    """Baseline of it: the same images, plain softmax; strange objects are void."""
    made = strange_void(with_scenes(camvid_goss_small()))
    return replace(made, name="camvid_open_small_softmax")


# Variants of any recipe -------------------------------------------------------------------------


def negatives(recipe: Recipe) -> Recipe:
    """Return the same with foreign pieces as one more class."""
    made = n_plus_1(recipe)
    return replace(
        made,
        data=replace(made.data, learn_void=False),
        augment=replace(made.augment, foreign=FOREIGN),
    )


def negatives_entropy(recipe: Recipe) -> Recipe:
    """Return the softmax network that learns a high entropy on foreign pieces."""
    made = softmax(recipe)
    return replace(
        made,
        augment=replace(made.augment, foreign=FOREIGN),
        loss=replace(made.loss, entropy=0.5),
        score=ScoreConfig(method="entropy"),
    )


def strange_entropy(recipe: Recipe) -> Recipe:
    """Return the softmax network with a high entropy on foreign pieces and strange objects."""
    made = negatives_entropy(recipe)
    return replace(
        made,
        augment=replace(made.augment, paste=PASTE),
        loss=replace(made.loss, entropy=0.3),
    )


def outlier_entropy(recipe: Recipe) -> Recipe:
    """Return the softmax network that learns a high entropy on images of COCO."""
    made = softmax(recipe)
    return replace(
        made,
        data=replace(made.data, outliers=OutlierConfig(share=0.3, images=4000)),
        loss=replace(made.loss, entropy=LAMBDA),
        score=ScoreConfig(method="entropy"),
    )


def with_dropout(recipe: Recipe) -> Recipe:
    """Return the softmax network with dropout in front of its last layer."""
    made = softmax(recipe)
    return replace(made, network=replace(made.network, dropout=0.2))


def strange_objects(recipe: Recipe) -> Recipe:
    """Return the network with prototypes that pulls pasted strange objects to their centre."""
    made = metric(recipe)
    return replace(
        made,
        augment=replace(made.augment, paste=PASTE),
        loss=replace(made.loss, outlier=OUTLIER),
    )


def strange_void(recipe: Recipe) -> Recipe:
    """Return the softmax network on the same images, which ignores the strange objects."""
    made = softmax(recipe)
    return replace(made, augment=replace(made.augment, paste=PASTE))


def with_scenes(recipe: Recipe) -> Recipe:
    """Return the same with procedural streets, whose classes are those of CamVid only."""
    if recipe.data.dataset != "camvid":
        return recipe
    return replace(recipe, data=replace(recipe.data, scenes=SCENES))
