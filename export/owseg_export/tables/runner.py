"""Makes the cells that are missing: trains networks and measures them, each once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from tqdm import tqdm

from owseg.datasets import DatasetReader, Truth
from owseg.datasets.base import Sample
from owseg.errors import UsageError
from owseg.types import UInt8Array
from owseg_export.calibrate import load_resized
from owseg_export.detectors import Ensemble
from owseg_export.tables.benchmarks import Benchmark, Data, Roots
from owseg_export.tables.cells import SEGMENTS, CellKey, load_cell, save_cell
from owseg_export.tables.measure import (
    FIT_EVERY,
    AllScores,
    FrameSource,
    closed_set,
    measure,
    offline_detectors,
)
from owseg_export.tables.networks import ENSEMBLE, MEMBERS, NETWORKS, recipe_of
from owseg_export.tables.segments import fit_classifiers, segment_figures
from owseg_export.trained import TrainedNetwork, load_trained
from owseg_training import loop
from owseg_training.checkpoint import load_checkpoint
from owseg_training.config import Recipe
from owseg_training.experiments.runs import trained as train_or_find
from owseg_training.experiments.settings import data_digest


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What to run.

    Attributes:
        out: folder of networks and cells.
        roots: folders of the data sets.
        base: recipe whose variants the networks are; None = that of the benchmark.
        train: train networks that are missing; otherwise only finished ones are measured.
    """

    out: Path
    roots: Roots = field(default_factory=dict)
    base: str | None = None
    train: bool = True


def checkpoint_path(out: Path, benchmark: Benchmark, network: str, seed: int) -> Path:
    """Return the checkpoint of a network within a folder of runs."""
    return out / "models" / benchmark.source.name / f"{network}-{seed}" / loop.CHECKPOINT


def recipe_of_key(key: CellKey, benchmark: Benchmark, options: RunOptions) -> Recipe:
    """Return the recipe of the network of a cell; for an ensemble that of its first member."""
    network = MEMBERS if key.network == ENSEMBLE else key.network
    return recipe_of(
        benchmark,
        network,
        key.seeds[0],
        base=options.base,
        outliers=options.roots.get("coco"),
    )


class Runner:
    """Networks and data of one benchmark.

    Args:
        benchmark: the benchmark.
        options: where, and what is allowed.

    Raises:
        UsageError: the folder of a data set is not given.
        DatasetError: a data set cannot be used.
    """

    def __init__(self, benchmark: Benchmark, options: RunOptions) -> None:
        loop.keep_freed_memory()
        self.benchmark, self.options = benchmark, options
        self.train = self._open(benchmark.source.train)
        self.test = self._open(benchmark.test)
        self.closed = None if benchmark.closed is None else self._open(benchmark.closed)

    @cached_property
    def digest(self) -> str:
        """Digest of all images that figures come from."""
        return data_digest([r for r in (self.train, self.test, self.closed) if r is not None])

    def make(self, key: CellKey) -> str | None:
        """Make a cell, unless it is there.

        Returns:
            Why it is missing; None = it is there.

        Raises:
            InputError: a cell or checkpoint cannot be read.
            UsageError: one was made by another recipe.
            OutputError: the folder cannot be written.
        """
        out = self.options.out
        recipe = recipe_of_key(key, self.benchmark, self.options)
        if key.path(out).is_file():
            load_cell(key, recipe, self.digest, out)
            return None
        network = MEMBERS if key.network == ENSEMBLE else key.network
        why = self._impossible(key, network)
        if why:
            return why
        members = [load_trained(self._checkpoint(network, seed)) for seed in key.seeds]
        figures = self._figures(key, members)
        save_cell(key, recipe, self.digest, figures, out)
        return None

    def _impossible(self, key: CellKey, network: str) -> str | None:
        if key.network == ENSEMBLE and len(key.seeds) < 2:
            return "an ensemble needs two seeds or more"
        if not all(self._finished(network, seed) for seed in key.seeds):
            if not self.options.train:
                return "it is not trained"
            if NETWORKS[network].outliers and "coco" not in self.options.roots:
                return "it is trained with images of COCO; add --root coco=DIR"
        return None

    def _finished(self, network: str, seed: int) -> bool:
        path = checkpoint_path(self.options.out, self.benchmark, network, seed)
        if not path.is_file():
            return False
        found = load_checkpoint(path)
        return found.step >= found.recipe.loop.steps

    def _checkpoint(self, network: str, seed: int) -> Path:
        """Return the checkpoint of a network, which is trained where it is not finished."""
        options = self.options
        path = checkpoint_path(options.out, self.benchmark, network, seed)
        outliers = options.roots.get("coco")
        if NETWORKS[network].outliers and outliers is None:
            outliers = Path(load_checkpoint(path).recipe.data.outliers.root)
        recipe = recipe_of(self.benchmark, network, seed, base=options.base, outliers=outliers)
        root = options.roots[self.benchmark.source.train.dataset]
        return train_or_find(recipe, root, path.parent)

    def _figures(self, key: CellKey, members: Sequence[TrainedNetwork]) -> dict[str, Any]:
        if key.kind == SEGMENTS:
            return self._segments(members[0], key.name)
        return self._scores(key, members)

    def _scores(self, key: CellKey, members: Sequence[TrainedNetwork]) -> dict[str, Any]:
        first, ensemble = members[0], key.network == ENSEMBLE
        detectors = offline_detectors(first)
        if ensemble:
            detectors = {ENSEMBLE: Ensemble(members)}
        source = self.benchmark.source.train
        training = self._frames(self.train, source, first, f"{key.name}: fit")
        scores = AllScores(first, replace(training, every=FIT_EVERY), detectors, graph=not ensemble)
        test = self._frames(self.test, self.benchmark.test, first, f"{key.name}: measure")
        test = replace(test, size=self.benchmark.size or test.size)
        figures = measure(scores, test)
        if ensemble:
            return {**figures, "miou": None, "iou": None}
        if self.closed is None or self.benchmark.closed is None:
            return figures
        classes = self._frames(self.closed, self.benchmark.closed, first, f"{key.name}: classes")
        return {**figures, **closed_set(first, classes)}

    def _segments(self, trained: TrainedNetwork, title: str) -> dict[str, Any]:
        meta = self.benchmark.meta
        if meta is None:
            raise UsageError(
                f"{self.benchmark.name} has no images with anomalies to fit a meta classifier on; "
                "choose another --on"
            )
        size = self.benchmark.size
        fitting = self._labelled(self._open(meta), meta, trained, f"{title}: meta", size)
        classifiers = fit_classifiers(trained, fitting, meta.title)
        test = self._labelled(self.test, self.benchmark.test, trained, f"{title}: test", size)
        closed = None
        if self.closed is not None and self.benchmark.closed is not None:
            closed = self._labelled(
                self.closed, self.benchmark.closed, trained, f"{title}: classes", None
            )
        return segment_figures(trained, classifiers, test, closed)

    def _open(self, data: Data) -> DatasetReader:
        return data.open(self.options.roots)

    def _frames(
        self, reader: DatasetReader, data: Data, trained: TrainedNetwork, title: str
    ) -> FrameSource:
        return FrameSource(
            reader=reader,
            truth=data.truth,
            names=trained.class_names,
            size=trained.checkpoint.recipe.network.size,
            title=title,
        )

    def _labelled(
        self,
        reader: DatasetReader,
        data: Data,
        trained: TrainedNetwork,
        title: str,
        size: tuple[int, int] | None,
    ) -> Iterator[tuple[Sample, UInt8Array, Truth]]:
        size = size or trained.checkpoint.recipe.network.size
        truth, names = data.truth, trained.class_names
        for sample in tqdm(list(reader), desc=title, unit="image", leave=False):
            yield (sample, *load_resized(sample, truth, names, size))
