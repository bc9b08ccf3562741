"""Recipes: frozen, complete, and the same after a journey through JSON."""

from __future__ import annotations

import dataclasses
import json

import pytest

from owseg.errors import UsageError
from owseg_training.config import AugmentConfig, Recipe, recipe_from_dict
from owseg_training.recipes import RECIPES, get_recipe


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_are_named_frozen_and_survive_json(name: str) -> None:
    recipe = get_recipe(name)
    assert recipe.name == name
    assert recipe_from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe
    for part in (recipe, *vars(recipe).values()):
        if dataclasses.is_dataclass(part):
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(part, dataclasses.fields(part)[0].name, None)


def test_a_changed_nested_value_survives_json() -> None:
    recipe = Recipe(name="other", augment=AugmentConfig(scale=(0.25, 3.0)), seed=7)
    back = recipe_from_dict(json.loads(json.dumps(recipe.to_dict())))
    assert back.augment.scale == (0.25, 3.0)
    assert back == recipe
    assert back != Recipe(name="other", seed=7)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"name": "x", "colour": 1}, r"Recipe has unknown fields: \['colour'\]"),
        ({"name": "x", "optim": {"lr": 1.0, "beta": 2}}, r"OptimConfig has .*\['beta'\]"),
    ],
)
def test_unknown_fields_are_refused(raw: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        recipe_from_dict(raw)


def test_fields_that_an_older_checkpoint_lacks_take_their_defaults() -> None:
    assert recipe_from_dict({"name": "old", "loop": {"steps": 3}}).loop.batch == 8


def test_unknown_recipe_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(UsageError, match=r"no recipe 'huge'; there are camvid_small, "):
        get_recipe("huge")


def test_the_softmax_baseline_differs_from_the_metric_recipe_in_head_and_score_only() -> None:
    metric, softmax = get_recipe("camvid_small").to_dict(), get_recipe("camvid_softmax").to_dict()
    differing = {key for key in metric if metric[key] != softmax[key]}
    assert differing == {"name", "network", "score"}
    changed = {k for k, v in metric["network"].items() if softmax["network"][k] != v}
    assert changed == {"head"}
