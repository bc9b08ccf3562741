"""The networks that tables compare: variants of the recipe of a benchmark."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from owseg.errors import UsageError
from owseg_export.tables.benchmarks import Benchmark, Source
from owseg_training.config import Recipe
from owseg_training.goss.runner import shows_strangers
from owseg_training.recipes import get_recipe, goss, negatives
from owseg_training.scorers import FITTED_SCORERS, METRIC_ONLY, SCORERS, UNKNOWN_SCORERS

SMALL = "camvid_goss_small"
"""Recipe of the benchmarks on CamVid."""


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network.

    Attributes:
        title: what it learns, for the legend of tables.
        variant: from the recipe of a benchmark to its own.
        named: its own recipe by the recipe of the benchmark, where there is one.
        outliers: it is trained with an outlier data set.
    """

    title: str
    variant: Callable[[Recipe], Recipe]
    named: Mapping[str, str]
    outliers: bool = False


NETWORKS = {
    "softmax": Network(
        title="plain softmax",
        variant=goss.softmax,
        named={
            SMALL: SMALL,
            "streethazards_pspnet50": "streethazards_pspnet50_softmax",
            "cityscapes_wrn38": "cityscapes_wrn38",
        },
    ),
    "metric": Network(
        title="DMLNet: DCE + 0.01 VL",
        variant=goss.metric,
        named={
            SMALL: "camvid_goss_metric",
            "streethazards_pspnet50": "streethazards_pspnet50",
            "bdd100k_pspnet50": "bdd100k_pspnet50",
        },
    ),
    "metric_dce": Network(
        title="DMLNet: DCE alone", variant=goss.dce_only, named={SMALL: "camvid_goss_metric_dce"}
    ),
    "metric_vl": Network(
        title="DMLNet: VL alone", variant=goss.vl_only, named={SMALL: "camvid_goss_metric_vl"}
    ),
    "dropout": Network(
        title="softmax with dropout",
        variant=negatives.with_dropout,
        named={SMALL: "camvid_dropout"},
    ),
    "n_plus_1": Network(
        title="void classifier: void pixels as one more class",
        variant=goss.n_plus_1,
        named={SMALL: "camvid_goss_n_plus_1"},
    ),
    "negatives": Network(
        title="foreign pieces as one more class",
        variant=negatives.negatives,
        named={SMALL: "camvid_negatives"},
    ),
    "negatives_entropy": Network(
        title="entropy maximisation on foreign pieces",
        variant=negatives.negatives_entropy,
        named={SMALL: "camvid_negatives_entropy"},
    ),
    "strange_entropy": Network(
        title="entropy maximisation on foreign pieces, strange objects, and on CamVid scenes",
        variant=negatives.strange_entropy,
        named={SMALL: "camvid_strange_entropy"},
    ),
    "entropy": Network(
        title="entropy maximisation on COCO",
        variant=negatives.outlier_entropy,
        named={SMALL: "camvid_entropy"},
        outliers=True,
    ),
    "open": Network(
        title="training of the shipped model: strange objects, and on CamVid scenes",
        variant=negatives.strange_objects,
        named={SMALL: "camvid_open_small"},
    ),
    "open_softmax": Network(
        title="the same images, plain softmax, strange objects void",
        variant=negatives.strange_void,
        named={SMALL: "camvid_open_small_softmax"},
    ),
}
"""Networks by name, in the order of tables."""

ENSEMBLE, MEMBERS = "ensemble", "softmax"
"""What stands in the place of a network for an ensemble, and the network of its members."""

TITLES = {
    **{name: network.title for name, network in NETWORKS.items()},
    ENSEMBLE: "the plain softmax networks of all seeds",
}
"""What networks learn, by name."""


def scores_of(network: str) -> tuple[str, ...]:
    """Return all scores that a network supports, in the order of tables."""
    if network == ENSEMBLE:
        return (ENSEMBLE,)
    made = NETWORKS[network].variant(Recipe(name=network)).network
    metric = made.head == "metric"
    usable = [name for name in SCORERS if metric or name not in METRIC_ONLY]
    offline = ["odin", *(["mc_dropout"] if made.dropout else [])]
    more = [*(["mixture"] if metric else []), *(UNKNOWN_SCORERS if made.unknown else ())]
    return (*usable, *more, *FITTED_SCORERS, *offline)


def recipe_name(source: Source, network: str, base: str | None) -> str | None:
    """Return the name of the recipe of a network, None where it is a variant without one."""
    return NETWORKS[network].named.get(base or source.recipe)


def recipe_of(
    benchmark: Benchmark,
    network: str,
    seed: int,
    *,
    base: str | None = None,
    outliers: Path | None = None,
) -> Recipe:
    """Return the recipe of a network.

    Where it has a name it is the recipe of that name, so that a checkpoint of `owseg train` is
    one of these.

    Args:
        benchmark: what it is trained on.
        network: name in `NETWORKS`.
        seed: of the training.
        base: recipe whose variant it is; None = that of the benchmark.
        outliers: folder of COCO.

    Raises:
        UsageError: no recipe has the name `base`, or its variants are not what they are called.
    """
    source = benchmark.source
    name = recipe_name(source, network, base)
    made = get_recipe(name) if name else _variant(network, base or source.recipe)
    train = source.train
    data = replace(made.data, dataset=train.dataset, split=train.split, truth_map=train.truth_map)
    if outliers is not None and NETWORKS[network].outliers:
        data = replace(data, outliers=replace(data.outliers, root=str(outliers)))
    return replace(made, seed=seed, data=data)


def _variant(network: str, base: str) -> Recipe:
    recipe = get_recipe(base)
    if shows_strangers(recipe):
        raise UsageError(
            f"the recipe '{base}' shows strange objects, so that its variants would not be what "
            "their names say; choose another --recipe"
        )
    return replace(NETWORKS[network].variant(recipe), name=f"{base} {network}")
