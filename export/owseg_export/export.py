"""From a checkpoint to a checked bundle."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import onnx

from owseg import __version__
from owseg.bundle import load_bundle
from owseg.datasets import DatasetReader, Sample, Truth, TruthMap, load_truth_map, open_dataset
from owseg.datasets.label_spaces import LabelSpace
from owseg.engines import OnnxRuntimeEngine
from owseg.errors import OutputError, UsageError
from owseg.manifest import Manifest, OperatingPoint
from owseg.metrics import PixelAnomalyMetric
from owseg.replay.runner import make_folder
from owseg.types import ClassInfo, UInt8Array
from owseg_export.calibrate import (
    OPERATING_POINTS,
    accumulate,
    fit_constants,
    frames,
    load_resized,
    needed_scores,
    operating_points,
)
from owseg_export.fitted import check_stored, fingerprint, fit_scores
from owseg_export.graph import OpenWorldGraph
from owseg_export.parity import ParityLimits, check_parity
from owseg_export.to_onnx import export_onnx, save_onnx
from owseg_export.trained import TrainedNetwork, load_trained
from owseg_export.unclipped import check_unclipped
from owseg_training.config import Recipe, ScoreConfig
from owseg_training.incremental.checkpoint import PLMCheckpoint
from owseg_training.models.dmlnet import MEAN, STD
from owseg_training.scorers import METRIC_ONLY, UNKNOWN_SCORERS, CalibratedScore, check_name

SLOTS = 32

LICENSES = {
    "camvid": "CamVid as distributed with the SegNet tutorial: CC BY-NC 4.0, non-commercial use",
    "cityscapes": "Cityscapes: non-commercial research use, see its own terms",
    "coco": "COCO: images from Flickr under their own terms, annotations CC BY 4.0",
    "scenes": "procedural scenes of this project: Apache-2.0",
}


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """What to export.

    Attributes:
        root: folder of the data set that the constants and thresholds are fitted on.
        out: the bundle to write.
        score: method and form; None = as in the recipe.
        size: (height, width) of the input; None = as in the recipe.
        default_point: operating point that is used unless another is chosen.
        parity_frames: frames for the parity gate.
        limits: limits of the parity gate.
        max_images: fit on so many images only; None = all.
    """

    root: Path
    out: Path
    score: ScoreConfig | None = None
    size: tuple[int, int] | None = None
    default_point: str = "fpr_1"
    parity_frames: int = 8
    limits: ParityLimits = field(default_factory=ParityLimits)
    max_images: int | None = None


class _Limited:
    """The first images of a reader, evenly spread."""

    def __init__(self, reader: DatasetReader, count: int | None) -> None:
        samples = list(reader)
        step = 1 if count is None else max(1, len(samples) // count)
        self.samples = samples[::step][:count]
        self.name, self.split = reader.name, reader.split
        self.label_space: LabelSpace = reader.label_space

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.samples)


def export_bundle(checkpoint: Path, options: ExportOptions) -> Manifest:
    """Fit the score, export the graph, pass the parity gate, write the bundle.

    Returns:
        The manifest of the bundle.

    Raises:
        InputError: the checkpoint or data set cannot be read.
        UsageError: there is no such score or operating point, or not for this network.
        BundleError: the exported graph differs from torch; nothing is written.
        OutputError: the bundle cannot be written.
    """
    _check_target(options.out)
    trained = load_trained(checkpoint)
    recipe = trained.checkpoint.recipe
    config = options.score or recipe.score
    _check_choices(trained, config, options.default_point)
    size = options.size or recipe.network.size
    reader = _Limited(
        open_dataset(recipe.data.dataset, options.root, recipe.data.split), options.max_images
    )
    truth_map = load_truth_map(recipe.data.truth_map)
    names = trained.checkpoint.class_names
    needed = needed_scores(config.method)
    fitted, cells = fit_scores(trained, frames(reader, truth_map, names, size), needed)
    constants = fit_constants(
        trained, frames(reader, truth_map, names, size), config, needed, fitted
    )
    score = CalibratedScore(
        config.method, config.form, constants, beta=config.beta, fitted=fitted.get(config.method)
    )
    metric = accumulate(trained, score, frames(reader, truth_map, names, size))
    manifest = _manifest(trained, reader, truth_map, score, config, metric, size, options, cells)
    data = _parity_data(reader, truth_map, names, size, options.parity_frames)
    return _write_checked(trained, score, manifest, data, options)


def _write_checked(
    trained: TrainedNetwork,
    score: CalibratedScore,
    manifest: Manifest,
    data: list[tuple[UInt8Array, Truth]],
    options: ExportOptions,
) -> Manifest:
    """Export next to the target, check, then rename."""
    graph = OpenWorldGraph(trained.network, score, metric=trained.metric).eval()
    candidate = options.out.with_name(options.out.name + ".part")
    try:
        exported = export_onnx(graph, manifest)
        if score.fitted is not None:
            check_stored(exported, score.fitted)
        unclipped = check_unclipped(trained, score, exported, data, options.limits.unclipped)
        save_onnx(exported, candidate)
        with OnnxRuntimeEngine(load_bundle(candidate), "cpu", heads="graph") as engine:
            figures = check_parity(trained, score, engine, data, options.limits)
        manifest = replace(
            manifest,
            provenance={
                **manifest.provenance,
                "parity": {**figures.as_dict(), "unclipped": unclipped},
            },
        )
        model = onnx.load(str(candidate))
        for entry in model.metadata_props:
            entry.value = manifest.to_json()
        save_onnx(model, candidate)
        load_bundle(candidate)
        os.replace(candidate, options.out)
    finally:
        with contextlib.suppress(OSError):
            candidate.unlink(missing_ok=True)
    return manifest


def _check_target(out: Path) -> None:
    """Find out before the long work whether the bundle can be written."""
    make_folder(out.parent)
    if out.is_dir():
        raise OutputError(f"cannot write the bundle {out}: it is a folder; name a file with --out")


def _check_choices(trained: TrainedNetwork, config: ScoreConfig, point: str) -> None:
    """Refuse names that do not exist before the long work."""
    check_name(config.method)
    if config.method in METRIC_ONLY and not trained.metric:
        raise UsageError(f"the score '{config.method}' needs a metric head; this one is softmax")
    if config.method in UNKNOWN_SCORERS and not trained.base.unknown:
        raise UsageError(
            f"the score '{config.method}' needs a class for unknown pixels, which this network has "
            "not learnt; train one by a recipe with network.unknown"
        )
    if config.beta <= 0:
        raise UsageError(f"beta, the factor of the unknown class, must be above 0: {config.beta}")
    points = (*OPERATING_POINTS, *(fixed.name for fixed in _decided(config)))
    if point not in points:
        raise UsageError(f"no operating point '{point}'; there are {', '.join(points)}")


def _parity_data(
    reader: _Limited,
    truth_map: TruthMap,
    names: tuple[str, ...],
    size: tuple[int, int],
    count: int,
) -> list[tuple[UInt8Array, Truth]]:
    step = max(1, len(reader) // count)
    return [load_resized(s, truth_map, names, size) for s in reader.samples[::step][:count]]


def _manifest(
    trained: TrainedNetwork,
    reader: _Limited,
    truth_map: TruthMap,
    score: CalibratedScore,
    config: ScoreConfig,
    metric: PixelAnomalyMetric,
    size: tuple[int, int],
    options: ExportOptions,
    cells: int,
) -> Manifest:
    checkpoint, space = trained.checkpoint, reader.label_space
    prototypes = trained.network.prototypes.numpy()
    fitted_on = f"{truth_map.name}, {reader.name} {reader.split}, {len(reader)} images"
    figures = {"data": fitted_on, **asdict(metric.compute().pooled)}
    return Manifest(
        name=checkpoint.recipe.name,
        classes=tuple(
            ClassInfo(id=i, name=name, color=space.colors[space.id_of(name)])
            for i, name in enumerate(trained.class_names)
        ),
        height=size[0],
        width=size[1],
        mean=MEAN,
        std=STD,
        stride=trained.network.stride,
        prototypes=prototypes if trained.metric else prototypes[:0],
        slots=SLOTS,
        score={
            "method": config.method,
            "form": config.form,
            **({"beta": config.beta} if config.method in UNKNOWN_SCORERS else {}),
            "constants": {
                name: {"low": c.low, "high": c.high} for name, c in score.calibrations.items()
            },
            "fitted_on": f"{reader.name} {reader.split}, known pixels",
            **_state(score, fitted_on, cells),
        },
        operating_points=(*operating_points(metric, fitted_on), *_decided(config)),
        default_operating_point=options.default_point,
        provenance={**_provenance(trained, reader, config), "metrics": figures},
        license=_license(trained),
        heads=len(trained.class_names) - len(checkpoint.class_names),
    )


def _state(score: CalibratedScore, fitted_on: str, cells: int) -> dict[str, Any]:
    """Say what the state of a fitted score, which is in the graph, was fitted on."""
    if score.fitted is None:
        return {}
    values = sum(value.numel() for value in score.fitted.state_dict().values())
    noted = {"data": fitted_on, "cells": cells, "values": values}
    return {"state": {**noted, "sha256": fingerprint(score.fitted)}}


def _decided(config: ScoreConfig) -> tuple[OperatingPoint, ...]:
    """Return the threshold at which the unknown class wins, for scores that have one."""
    if config.method not in UNKNOWN_SCORERS:
        return ()
    return (OperatingPoint(name="argmax", threshold=0.5, fitted_on="nothing: the class that wins"),)


def _provenance(trained: TrainedNetwork, reader: _Limited, config: ScoreConfig) -> dict[str, Any]:
    recipe = replace(_without_folders(trained.checkpoint.recipe), score=config)
    learnt = {} if trained.learnt is None else {"heads": _heads(trained.learnt)}
    return {
        **learnt,
        "owseg": __version__,
        "recipe": recipe.to_dict(),
        "dataset": reader.name,
        "split": reader.split,
        "truth_map": recipe.data.truth_map,
        "steps": trained.checkpoint.step,
        "commit": _commit(),
    }


def _heads(learnt: PLMCheckpoint) -> dict[str, Any]:
    """How the heads of later classes were trained, and on what."""
    return {"config": asdict(learnt.config), "shots": [asdict(shot) for shot in learnt.shots]}


def _without_folders(recipe: Recipe) -> Recipe:
    """Keep only the names of files: a bundle must not tell where it was made."""
    return replace(
        recipe,
        data=replace(
            recipe.data,
            truth_map=Path(recipe.data.truth_map).name,
            outliers=replace(recipe.data.outliers, root=""),
        ),
        network=replace(recipe.network, init=Path(recipe.network.init).name),
    )


def _license(trained: TrainedNetwork) -> dict[str, str]:
    data = trained.checkpoint.recipe.data
    terms = [LICENSES.get(data.dataset, f"{data.dataset}: see its own terms")]
    if data.scenes or trained.checkpoint.recipe.augment.paste:
        terms.append(LICENSES["scenes"])
    if data.outliers.share:
        terms.append(LICENSES.get(data.outliers.dataset, f"{data.outliers.dataset}: its own terms"))
    if trained.checkpoint.recipe.network.init:
        terms.append("backbone pre-trained in another run: the terms of its data apply too")
    return {"training_data": "; ".join(terms), "weights": "same terms as the training data"}


def _commit() -> str:
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()
