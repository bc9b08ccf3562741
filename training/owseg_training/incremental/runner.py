"""The protocol: base, shots, methods, evaluation; what is there already is not done again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from owseg.datasets import DatasetReader, open_dataset
from owseg.errors import UsageError
from owseg.replay.runner import make_folder
from owseg_training import loop
from owseg_training.checkpoint import Checkpoint, load_checkpoint
from owseg_training.config import Recipe
from owseg_training.experiments.runs import trained
from owseg_training.experiments.settings import DATA, check_settings, data_digest, note_settings
from owseg_training.incremental.bank import AnnotatedImage
from owseg_training.incremental.cells import (
    Cell,
    cell_path,
    check_images,
    load_cell,
    save_cell,
)
from owseg_training.incremental.checkpoint import base_network, plm_checkpoint, save_plm
from owseg_training.incremental.checks import check_base, check_recipe, check_upper, weights_digest
from owseg_training.incremental.config import IncrementalConfig
from owseg_training.incremental.draws import Draws
from owseg_training.incremental.evaluate import Predictor, closed_set, evaluate, with_heads
from owseg_training.incremental.finetune import fine_tune
from owseg_training.incremental.network import PLMNetwork
from owseg_training.incremental.npm import EmbeddingEngine, learn_prototypes, with_prototypes
from owseg_training.incremental.plm import learn_class
from owseg_training.incremental.protocols import Protocol
from owseg_training.incremental.shots import ShotManifest, counted, load_shots
from owseg_training.models import DMLNet
from owseg_training.recipes import get_recipe

METHODS = ("ft", "plm_latest", "plm_all", "npm", "upper")
"""The methods, in the order of the table."""

PLM = ("plm_latest", "plm_all")


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What to run.

    Attributes:
        protocol: the setting.
        root: folder of the data set.
        out: folder of the results.
        shots: numbers of shots.
        seeds: seeds of the draws.
        methods: names in `METHODS`.
        base: checkpoint of the base network; None = trained by `recipe` in `out`/base.
        upper: checkpoint of the upper bound; None = trained in `out`/upper.
        recipe: recipe of both; None = that of the protocol, or of the given base.
        shot_manifests: folder with shot manifests to use instead of drawing.
        config: how heads are trained and networks fine-tuned.
    """

    protocol: Protocol
    root: Path
    out: Path
    shots: tuple[int, ...] = (1, 5)
    seeds: tuple[int, ...] = (0, 1, 2)
    methods: tuple[str, ...] = METHODS
    base: Path | None = None
    upper: Path | None = None
    recipe: str | None = None
    shot_manifests: Path | None = None
    config: IncrementalConfig = field(default_factory=IncrementalConfig)


def run_protocol(options: RunOptions) -> int:
    """Run all cells that are missing in the folder of the results.

    Returns:
        The number of images that are evaluated.

    Raises:
        DatasetError: the data set cannot be used, or has too few images of a class.
        InputError: a checkpoint, shot manifest or earlier result cannot be read.
        UsageError: a checkpoint does not fit the protocol, or the folder holds another run.
        OutputError: the folder cannot be written.
    """
    loop.keep_freed_memory()
    run = _Run(options)
    run.references()
    for shots in options.shots:
        for seed in options.seeds:
            run.cell_group(shots, seed)
    return len(run.held_back)


class _Run:
    """Base network, data and shots of one run."""

    def __init__(self, options: RunOptions) -> None:
        self.options = options
        self.protocol = options.protocol
        dataset, root = options.protocol.dataset, options.root
        self.train: DatasetReader = open_dataset(dataset, root, "train")
        self.held_back: DatasetReader = open_dataset(dataset, root, options.protocol.split)
        self._refuse_early()
        finished = self._finished()
        for folder in ("cells", "shots", "models"):
            make_folder(options.out / folder)
        draws = Draws(self.train, options.out / "shots", options.shot_manifests)
        self.shots = {
            (shots, seed): [draws.get(name, shots, seed) for name in self.protocol.novel]
            for shots in options.shots
            for seed in options.seeds
        }
        for cell in finished:
            check_images(cell, options.out, _images(self.shots[cell.shots, cell.seed]))
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.base_path = options.base or self._trained("base", self._base_recipe())
        self.base = load_checkpoint(self.base_path)
        check_base(self.base, self.protocol, self.base_path)
        self.size = self.base.recipe.network.size
        settings = self._settings(self.base)
        check_settings(options.out, settings)
        note_settings(options.out, settings)

    def _refuse_early(self) -> None:
        """Refuse what does not fit before hours are spent on the rest."""
        options = self.options
        check_recipe(self._base_recipe())
        base = None
        if options.base is not None:
            base = load_checkpoint(options.base)
            check_base(base, self.protocol, options.base)
        if options.upper is not None:
            check_upper(load_checkpoint(options.upper), self.protocol, options.upper)
        check_settings(options.out, self._settings(base))

    def _settings(self, base: Checkpoint | None) -> dict[str, Any]:
        """Return what must be the same for all results of a folder, as far as it is known."""
        settings = {
            "protocol": self.protocol.name,
            "config": asdict(self.options.config),
            DATA: data_digest((self.train, self.held_back)),
        }
        return settings if base is None else settings | {"base": weights_digest(base)}

    def _finished(self) -> list[Cell]:
        """Read all cells that are there and wanted, so that a damaged one is found now.

        Returns:
            Those that came from shots.
        """
        options = self.options
        wanted = [("base", 0, 0)] + [("upper", 0, 0)] * ("upper" in options.methods)
        few = [method for method in options.methods if method != "upper"]
        wanted += [(m, n, seed) for n in options.shots for seed in options.seeds for m in few]
        names = self.protocol.names
        cells = [load_cell(options.out, names, *key) for key in wanted if not self.missing(*key)]
        return [cell for cell in cells if cell.shots]

    # Networks ----------------------------------------------------------------------------------

    def _base_recipe(self) -> Recipe:
        recipe = get_recipe(self.options.recipe or self.protocol.recipe)
        return replace(recipe, data=replace(recipe.data, truth_map=self.protocol.base_map))

    def _upper_recipe(self) -> Recipe:
        """Return the recipe of the base, with all classes known."""
        chosen = self.options.recipe
        recipe = get_recipe(chosen) if chosen else self.base.recipe
        return replace(recipe, data=replace(recipe.data, truth_map=self.protocol.full_map))

    def _trained(self, name: str, recipe: Recipe) -> Path:
        return trained(recipe, self.options.root, self.options.out / name)

    def network(self) -> DMLNet:
        """Return a fresh copy of the base network."""
        return base_network(self.base, self.base_path).to(self.device)

    # Cells -------------------------------------------------------------------------------------

    def missing(self, method: str, shots: int = 0, seed: int = 0) -> bool:
        """Whether a cell has to be run."""
        return not cell_path(self.options.out, method, shots, seed).is_file()

    def references(self) -> None:
        """Evaluate the base, and the upper bound if it is wanted."""
        if self.missing("base"):
            names = self.base.class_names
            self._evaluate([closed_set(self.network(), names, self.protocol.names, "base")])
        if "upper" in self.options.methods:
            self._upper_bound()

    def _upper_bound(self) -> None:
        if not self.missing("upper"):
            if self.options.upper is not None:
                self._check_same(load_checkpoint(self.options.upper))
            return
        path = self.options.upper or self._trained("upper", self._upper_recipe())
        upper = load_checkpoint(path)
        check_upper(upper, self.protocol, path)
        network = base_network(upper, path).to(self.device)
        predict = closed_set(network, upper.class_names, self.protocol.names, "upper")
        self._evaluate([predict], details={"weights": weights_digest(upper)})

    def _check_same(self, upper: Checkpoint) -> None:
        out = self.options.out
        cell = load_cell(out, self.protocol.names, "upper")
        if cell.details.get("weights") != weights_digest(upper):
            raise UsageError(
                f"{out} holds the result of another upper bound than {self.options.upper}; remove "
                f"{cell_path(out, 'upper', 0, 0)}, or choose another --out"
            )

    def cell_group(self, shots: int, seed: int) -> None:
        """Run the missing methods of one draw, and evaluate them in one pass."""
        wanted = [m for m in self.options.methods if m != "upper" and self.missing(m, shots, seed)]
        if not wanted:
            return
        manifests = self.shots[shots, seed]
        images = {m.class_name: load_shots(self.train, m, self.size) for m in manifests}
        predictors: list[Predictor] = []
        if "ft" in wanted:
            predictors.append(self._fine_tuned(images, seed))
        if set(PLM) & set(wanted):
            predictors.append(self._with_heads(images, manifests, seed))
        if "npm" in wanted:
            predictors.append(self._with_prototypes(images))
        self._evaluate(predictors, shots, seed, {"images": _images(manifests)})

    def _evaluate(
        self,
        predictors: Sequence[Predictor],
        shots: int = 0,
        seed: int = 0,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        title = f"{counted(shots)}, seed {seed}: evaluation" if shots else "evaluation"
        metrics = evaluate(
            predictors,
            self.held_back,
            self.protocol.truth,
            self.protocol.names,
            self.size,
            self.device,
            title,
        )
        for method, metric in metrics.items():
            cell = Cell(
                method=method,
                shots=shots,
                seed=seed,
                classes=self.protocol.names,
                confusion=metric.confusion,
                details=dict(details or {}),
            )
            save_cell(cell, self.options.out)

    # Methods -----------------------------------------------------------------------------------

    def _fine_tuned(self, images: Mapping[str, Sequence[AnnotatedImage]], seed: int) -> Predictor:
        network = self.network()
        for name, shots in images.items():
            title = f"{counted(len(shots))}, seed {seed}: fine-tuning on {name}"
            network = fine_tune(network, shots, self.options.config, seed, title)
        names = self.protocol.names
        return closed_set(network, names, names, "ft")

    def _with_heads(
        self,
        images: Mapping[str, Sequence[AnnotatedImage]],
        manifests: Sequence[ShotManifest],
        seed: int,
    ) -> Predictor:
        network = PLMNetwork(self.network())
        for name, shots in images.items():
            title = f"{counted(len(shots))}, seed {seed}: head for {name}"
            learn_class(network, shots, self.options.config, seed, title)
        checkpoint = plm_checkpoint(self.base, network, self.options.config, manifests)
        name = f"plm_{manifests[0].shots}shot_seed{seed}.pt"
        save_plm(checkpoint, self.options.out / "models" / name)
        return with_heads(network)

    def _with_prototypes(self, images: Mapping[str, Sequence[AnnotatedImage]]) -> Predictor:
        network = self.network()
        engine = EmbeddingEngine(network, self.base.class_names, self.size)
        return with_prototypes(network, learn_prototypes(engine, images))


def _images(manifests: Sequence[ShotManifest]) -> dict[str, list[str]]:
    return {manifest.class_name: list(manifest.images) for manifest in manifests}
