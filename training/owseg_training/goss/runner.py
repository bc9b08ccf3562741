"""The comparison: train networks, evaluate them; what is there already is not done again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from owseg.datasets import DatasetReader, open_dataset
from owseg.errors import UsageError
from owseg.replay.runner import make_folder
from owseg_training import loop
from owseg_training.checkpoint import load_checkpoint
from owseg_training.config import Recipe
from owseg_training.experiments.runs import trained
from owseg_training.experiments.settings import (
    DATA,
    RECIPE,
    check_settings,
    data_digest,
    note_settings,
)
from owseg_training.goss.cells import CellKey, load_cell, save_cell
from owseg_training.goss.dfc import DfcConfig, cluster_image
from owseg_training.goss.evaluate import Figures, evaluate
from owseg_training.goss.groupings import (
    FieldGrouping,
    ImageGrouping,
    MaskGrouping,
    StoredClusters,
)
from owseg_training.goss.methods import (
    COMPONENTS,
    DFC,
    NETWORKS,
    SUPER_BPD,
    methods_of,
    rows_of,
)
from owseg_training.goss.objects import fit_objects
from owseg_training.goss.protocols import GossProtocol
from owseg_training.goss.scores import fit_scores
from owseg_training.incremental.checkpoint import base_network
from owseg_training.recipes import get_recipe

FIT_EVERY = 4
"""Thresholds are fitted on every so manieth training image."""


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What to run.

    Attributes:
        protocol: the comparison.
        root: folder of the data set.
        out: folder of the results.
        seeds: seeds of the networks.
        methods: names in `METHODS` and `ABLATIONS`.
        recipe: recipe of the networks; None = that of the protocol.
        dfc: how images are clustered for the grouping "dfc".
    """

    protocol: GossProtocol
    root: Path
    out: Path
    seeds: tuple[int, ...]
    methods: tuple[str, ...]
    recipe: str | None = None
    dfc: DfcConfig = field(default_factory=DfcConfig)

    def results(self) -> list[CellKey]:
        """Return the results that are needed, seed by seed."""
        rows = rows_of(self.methods)
        pairs = {(row.network, row.grouping) for row in rows}
        return [
            CellKey(network=network, grouping=grouping, seed=seed)
            for seed in self.seeds
            for network in NETWORKS
            for grouping in (SUPER_BPD, COMPONENTS, DFC)
            if (network, grouping) in pairs
        ]


def run_comparison(options: RunOptions) -> int:
    """Make all results that are missing in the folder.

    Returns:
        The number of images that are evaluated.

    Raises:
        DatasetError: the data set cannot be used.
        InputError: a checkpoint or earlier result cannot be read.
        UsageError: the folder holds another comparison, or a network cannot be trained.
        OutputError: the folder cannot be written.
    """
    loop.keep_freed_memory()
    run = _Run(options)
    missing = [key for key in options.results() if not key.path(options.out).is_file()]
    for network, seed in dict.fromkeys((key.network, key.seed) for key in missing):
        groupings = [k.grouping for k in missing if (k.network, k.seed) == (network, seed)]
        run.make(network, seed, groupings)
    return len(run.held_back)


def _refuse_variants(recipe: Recipe) -> None:
    """Refuse a recipe with which the rows of the tables would not be what their names say.

    Raises:
        UsageError: directions are not learnt, or by a second network; or there are strange objects.
    """
    wrong = {
        "trains no directions": not recipe.network.direction,
        "has a network of its own for directions": recipe.network.strategy == "separate",
        "shows strange objects": shows_strangers(recipe),
    }
    for what in (what for what, found in wrong.items() if found):
        raise UsageError(
            f"the recipe '{recipe.name}' {what}; choose another --recipe, such as "
            "camvid_goss_small, whose variants are what is compared"
        )


def shows_strangers(recipe: Recipe) -> bool:
    """Whether a recipe shows anything that stands for the unknown."""
    shares = (recipe.augment.paste, recipe.augment.foreign, recipe.data.outliers.share)
    return any(shares) or recipe.data.scenes > 0


class _Run:
    """Recipe and data of one comparison."""

    def __init__(self, options: RunOptions) -> None:
        self.options, protocol = options, options.protocol
        self.truth = protocol.truth
        recipe = get_recipe(options.recipe or protocol.recipe)
        if recipe.data.dataset != protocol.dataset:
            raise UsageError(
                f"the recipe '{recipe.name}' trains on {recipe.data.dataset}, "
                f"{protocol.name} on {protocol.dataset}; choose another --recipe"
            )
        _refuse_variants(recipe)
        data = replace(recipe.data, truth_map=protocol.truth_map, split="train")
        self.recipe = replace(recipe, data=data)
        if protocol.split == data.split:
            raise UsageError(f"networks are trained on {data.split}; evaluate another --split")
        self.train: DatasetReader = open_dataset(protocol.dataset, options.root, data.split)
        self.held_back: DatasetReader = open_dataset(protocol.dataset, options.root, protocol.split)
        self._settle()
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    def _settle(self) -> None:
        """Refuse a folder of another comparison, and results that cannot be read."""
        out = self.options.out
        settings: dict[str, Any] = {
            "protocol": self.options.protocol.name,
            "split": self.options.protocol.split,
            RECIPE: self.recipe.to_dict(),
            DATA: data_digest((self.train, self.held_back)),
        }
        if DFC in self.options.methods:
            settings["dfc"] = asdict(self.options.dfc)
        found = check_settings(out, settings)
        for key in self.options.results():
            if key.path(out).is_file():
                load_cell(key, out)
        make_folder(out / "cells")
        note_settings(out, {**found, **settings})

    def network_recipe(self, network: str, seed: int) -> Recipe:
        """Return the recipe of a network."""
        made = NETWORKS[network](self.recipe)
        return replace(made, name=f"{self.recipe.name} {network}", seed=seed)

    def make(self, name: str, seed: int, groupings: Sequence[str]) -> None:
        """Train a network and evaluate it with some groupings."""
        out = self.options.out
        recipe = self.network_recipe(name, seed)
        path = trained(recipe, self.options.root, out / "models" / f"{name}_seed{seed}")
        network = base_network(load_checkpoint(path), path).to(self.device)
        size, title = recipe.network.size, f"{name}, seed {seed}"
        some = list(self.train)[::FIT_EVERY]
        samples = tqdm(some, desc=f"{title}: thresholds", unit="image", leave=False)
        scores = fit_scores(network, samples, self.truth, size, methods_of(name), self.device)
        figures = {}
        for grouping in groupings:
            # Clusters by DFC take too long to make for training images too.
            fitting = self.grouping(SUPER_BPD if grouping == DFC else grouping, network.stride)
            samples = tqdm(some, desc=f"{title}: smallest objects", unit="image", leave=False)
            smallest = fit_objects(network, samples, self.truth, size, scores, fitting)
            used = self.grouping(grouping, network.stride)
            whole = grouping != COMPONENTS  # of which a whole image is one
            figures[grouping] = Figures(self.truth, scores, used, smallest, partition=whole)
        evaluate(network, self.held_back, size, list(figures.values()), f"{title}: evaluation")
        for grouping, found in figures.items():
            save_cell(CellKey(network=name, grouping=grouping, seed=seed), found.as_dict(), out)

    def grouping(self, name: str, stride: int) -> ImageGrouping:
        """Return a grouping by name."""
        if name == SUPER_BPD:
            return FieldGrouping(stride)
        if name == COMPONENTS:
            return MaskGrouping()
        config = self.options.dfc
        return StoredClusters(
            self.options.out / DFC, lambda image: cluster_image(image, config, self.device)
        )
