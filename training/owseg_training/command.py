"""`owseg train`: run a recipe."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from owseg.cli.common import positive_int
from owseg_training.config import Recipe
from owseg_training.experiments.options import needs_torch, seed_int
from owseg_training.recipes import RECIPES, get_recipe

SUMMARY = "train a network by a recipe"
EXAMPLE = "owseg train camvid_small --root CamVid --out runs/camvid_small"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("recipe", choices=sorted(RECIPES), help="name of the recipe")
    parser.add_argument("--root", type=Path, required=True, help="folder of the data set")
    parser.add_argument("--out", type=Path, required=True, help="folder for the checkpoint")
    parser.add_argument("--truth-map", help="split: camvid_a, camvid_b, camvid_c or a file")
    parser.add_argument(
        "--outliers", type=Path, help="folder of the outlier data set, for recipes that have one"
    )
    parser.add_argument("--init", type=Path, help="checkpoint to start from")
    parser.add_argument("--seed", type=seed_int, default=0, help="decides weights and batches (0)")
    parser.add_argument("--steps", type=positive_int, help="other length than the recipe's")
    parser.add_argument("--resume", action="store_true", help="continue the run in --out")


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    with needs_torch("owseg train"):
        from owseg_training.loop import train
        from owseg_training.parallel import this_process
    path = train(_recipe(args), args.root, args.out, resume=args.resume)
    if this_process().leads:
        print(f"checkpoint {path}\ncurves     {path.parent / 'curves.png'}")
    return 0


def _recipe(args: argparse.Namespace) -> Recipe:
    recipe = replace(get_recipe(args.recipe), seed=args.seed)
    if args.truth_map:
        recipe = replace(recipe, data=replace(recipe.data, truth_map=args.truth_map))
    if args.outliers:
        outliers = replace(recipe.data.outliers, root=str(args.outliers))
        recipe = replace(recipe, data=replace(recipe.data, outliers=outliers))
    if args.init:
        network = replace(recipe.network, init=str(args.init))
        recipe = replace(recipe, network=network)
    if args.steps:
        recipe = replace(recipe, loop=replace(recipe.loop, steps=args.steps))
    return recipe
