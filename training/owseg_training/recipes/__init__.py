"""Recipes by name. A recipe is a function that returns the whole configuration of a run."""

from __future__ import annotations

from collections.abc import Callable

from owseg.errors import UsageError
from owseg_training.config import Recipe
from owseg_training.recipes.camvid import (
    camvid_fast_scnn,
    camvid_mit_b0,
    camvid_open,
    camvid_open_softmax,
    camvid_pspnet50,
    camvid_small,
    camvid_softmax,
    camvid_tiny,
)
from owseg_training.recipes.cityscapes import (
    cityscapes_deeplab101,
    cityscapes_entropy_wrn38,
    cityscapes_mit_b0,
    cityscapes_mit_b2,
    cityscapes_pspnet50,
    cityscapes_small,
    cityscapes_wrn38,
)
from owseg_training.recipes.goss import (
    camvid_goss_contrast,
    camvid_goss_deeplab50,
    camvid_goss_gst,
    camvid_goss_medium,
    camvid_goss_metric,
    camvid_goss_metric_dce,
    camvid_goss_metric_vl,
    camvid_goss_n_plus_1,
    camvid_goss_separate,
    camvid_goss_small,
    camvid_goss_strange,
    camvid_goss_tiny,
    cityscapes_goss_contrast,
    cityscapes_goss_deeplab50,
)
from owseg_training.recipes.idd import idd_pretrain
from owseg_training.recipes.negatives import (
    camvid_dropout,
    camvid_entropy,
    camvid_negatives,
    camvid_negatives_entropy,
    camvid_open_small,
    camvid_open_small_softmax,
    camvid_strange_entropy,
)
from owseg_training.recipes.pspnet import (
    bdd100k_pspnet50,
    streethazards_pspnet50,
    streethazards_pspnet50_softmax,
)

RECIPES: dict[str, Callable[[], Recipe]] = {
    "camvid_small": camvid_small,
    "camvid_softmax": camvid_softmax,
    "camvid_open": camvid_open,
    "camvid_open_softmax": camvid_open_softmax,
    "camvid_fast_scnn": camvid_fast_scnn,
    "camvid_pspnet50": camvid_pspnet50,
    "camvid_mit_b0": camvid_mit_b0,
    "camvid_tiny": camvid_tiny,
    "cityscapes_small": cityscapes_small,
    "cityscapes_pspnet50": cityscapes_pspnet50,
    "cityscapes_deeplab101": cityscapes_deeplab101,
    "cityscapes_wrn38": cityscapes_wrn38,
    "cityscapes_entropy_wrn38": cityscapes_entropy_wrn38,
    "cityscapes_mit_b0": cityscapes_mit_b0,
    "cityscapes_mit_b2": cityscapes_mit_b2,
    "streethazards_pspnet50": streethazards_pspnet50,
    "streethazards_pspnet50_softmax": streethazards_pspnet50_softmax,
    "bdd100k_pspnet50": bdd100k_pspnet50,
    "camvid_goss_small": camvid_goss_small,
    "camvid_goss_medium": camvid_goss_medium,
    "camvid_goss_separate": camvid_goss_separate,
    "camvid_goss_contrast": camvid_goss_contrast,
    "camvid_goss_metric": camvid_goss_metric,
    "camvid_goss_metric_dce": camvid_goss_metric_dce,
    "camvid_goss_metric_vl": camvid_goss_metric_vl,
    "camvid_goss_n_plus_1": camvid_goss_n_plus_1,
    "camvid_goss_gst": camvid_goss_gst,
    "camvid_goss_strange": camvid_goss_strange,
    "camvid_goss_tiny": camvid_goss_tiny,
    "camvid_goss_deeplab50": camvid_goss_deeplab50,
    "cityscapes_goss_deeplab50": cityscapes_goss_deeplab50,
    "cityscapes_goss_contrast": cityscapes_goss_contrast,
    "camvid_negatives": camvid_negatives,
    "camvid_negatives_entropy": camvid_negatives_entropy,
    "camvid_strange_entropy": camvid_strange_entropy,
    "camvid_entropy": camvid_entropy,
    "camvid_dropout": camvid_dropout,
    "camvid_open_small": camvid_open_small,
    "camvid_open_small_softmax": camvid_open_small_softmax,
    "idd_pretrain": idd_pretrain,
}


def get_recipe(name: str) -> Recipe:
    """Return the recipe of a name.

    Raises:
        UsageError: no recipe has this name.
    """
    if name not in RECIPES:
        raise UsageError(f"no recipe '{name}'; there are {', '.join(RECIPES)}")
    return RECIPES[name]()
