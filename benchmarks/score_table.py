"""Compare all anomaly scores of a network, in both forms, pooled and averaged over images.

    python benchmarks/score_table.py runs/camvid_small/checkpoint.pt --root CamVid
    python benchmarks/score_table.py CHECKPOINT --root CamVid --split val --markdown scores.md
    python benchmarks/score_table.py CHECKPOINT --root CamVid --offline --members OTHER_CHECKPOINT

The constant form maps a raw score to [0, 1] by two constants fitted on the training split; the
paper's form scales each image by itself. Pooled figures rank all pixels of the split together,
as a fixed threshold does; per-image figures are the mean over the images that hold anomalies.
The last column is the time of a frame in torch, from image to score map, in times of the network
alone. `--offline` adds the detectors that cannot be part of an exported graph: ODIN, Monte-Carlo
dropout where the network has dropout, and an ensemble with the checkpoints named by `--members`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import Tensor, nn

from owseg.datasets import Truth, load_truth_map, open_dataset
from owseg.errors import OwsegError
from owseg.metrics import PixelAnomalyMetric
from owseg.types import UInt8Array
from owseg_export.calibrate import available_scores, fit_constants, frames
from owseg_export.detectors import Detector, DropoutSamples, Ensemble, GraphScore, Odin, to_unit
from owseg_export.fitted import fit_scores
from owseg_export.trained import TrainedNetwork, load_trained
from owseg_training.scorers import CalibratedScore, Calibration, fit_calibration, per_image

FORMS = {"constant": "constants", "paper": "per image"}
PROTOCOLS = {"pooled": "pooled", "per_image": "per image"}
FIGURES = {"auroc": "AUROC", "aupr": "AUPR", "fpr95": "FPR95"}

EVERY = 8
"""One of so many training images is used for the constants of the offline detectors."""

SPARSE = 50
"""One of so many pixels of them."""

ROUNDS = 5

Figures = dict[str, float | None]
Table = dict[str, dict[str, dict[str, Figures]]]
"""Figures by score, form and protocol."""


def data_of(trained: TrainedNetwork, root: Path, split: str) -> Iterator[tuple[UInt8Array, Truth]]:
    """Yield the images of a split at the network's size, with truth."""
    recipe = trained.checkpoint.recipe
    reader = open_dataset(recipe.data.dataset, root, split)
    truth_map = load_truth_map(recipe.data.truth_map)
    return frames(reader, truth_map, trained.checkpoint.class_names, recipe.network.size)


def all_scores(
    trained: TrainedNetwork, constants: dict[str, Calibration], states: dict[str, nn.Module]
) -> dict[tuple[str, str], CalibratedScore]:
    """Return every score that the head supports, by name and form."""
    names = [*available_scores(trained), *(["mixture"] if trained.metric else [])]
    return {
        (name, form): CalibratedScore(name, form, constants, fitted=states.get(name))
        for name in names
        for form in FORMS
    }


def offline(trained: TrainedNetwork, members: Sequence[Path]) -> dict[str, Detector]:
    """Return the detectors that cannot be part of a graph, as far as there is what they need."""
    found: dict[str, Detector] = {"odin": Odin(trained)}
    if trained.checkpoint.recipe.network.dropout:
        found["mc_dropout"] = DropoutSamples(trained)
    if members:
        found["ensemble"] = Ensemble([trained, *(load_trained(path) for path in members)])
    return found


def fit_offline(
    detectors: dict[str, Detector], data: Iterator[tuple[UInt8Array, Truth]], quantile: float
) -> dict[str, Calibration]:
    """Fit the constants of detectors on the known pixels of every eighth image."""
    values: dict[str, list[Tensor]] = {name: [] for name in detectors}
    for number, (image, truth) in enumerate(data):
        if number % EVERY:
            continue
        known = torch.from_numpy(truth.valid & ~truth.anomaly)
        for name, detector in detectors.items():
            values[name].append(detector(image)[known][::SPARSE])
    return {name: fit_calibration(torch.cat(found), quantile) for name, found in values.items()}


def make_table(
    trained: TrainedNetwork, root: Path, split: str, detectors: dict[str, Detector]
) -> tuple[Table, dict[str, float]]:
    """Fit the constants on the training split, then measure all scores on another one.

    Returns:
        The figures, and the time of each score in times of the network.
    """
    recipe = trained.checkpoint.recipe
    names = available_scores(trained)
    states, _ = fit_scores(trained, data_of(trained, root, recipe.data.split), names)
    training = data_of(trained, root, recipe.data.split)
    constants = fit_constants(trained, training, recipe.score, names, states)
    scores = all_scores(trained, constants, states)
    scales: dict[str, Calibration] = {}
    if detectors:
        training = data_of(trained, root, recipe.data.split)
        scales = fit_offline(detectors, training, recipe.score.scale_quantile)
    keys = [*scores, *((name, form) for name in detectors for form in FORMS)]
    metrics = {key: PixelAnomalyMetric() for key in keys}
    image = np.zeros((1, 1, 3), np.uint8)
    for image, truth in data_of(trained, root, split):
        evidence = trained.evidence(torch.from_numpy(image[None]))
        found = {key: score(evidence)[0] for key, score in scores.items()}
        for name, detector in detectors.items():
            raw = detector(image)
            found[name, "constant"] = scales[name].apply(raw)
            found[name, "paper"] = per_image(raw[None], name)[0]
        for key, score_map in found.items():
            metrics[key].update(score_map.numpy(), truth.anomaly, truth.valid)
    table: Table = {}
    for (name, form), metric in metrics.items():
        result = metric.compute()
        figures = {"pooled": asdict(result.pooled), "per_image": asdict(result.per_image)}
        table.setdefault(name, {})[form] = figures
    alone = {name: GraphScore(trained, name, states.get(name)) for name in names}
    return table, costs(trained, {**alone, **detectors}, image)


def costs(
    trained: TrainedNetwork, detectors: dict[str, Detector], image: UInt8Array
) -> dict[str, float]:
    """Return the time of each detector on an image, in times of the network: medians of rounds."""

    def network(image: UInt8Array) -> Tensor:
        with torch.no_grad():
            found: Tensor = trained.base(to_unit(image)).embedding
        return found

    runs: dict[str, Callable[[UInt8Array], Tensor]] = {"": network, **detectors}
    laps: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, call in runs.items():
            start = time.perf_counter()
            call(image)
            laps[name].append(time.perf_counter() - start)
    base = median(laps.pop(""))
    return {name: median(times) / base for name, times in laps.items()}


def markdown(table: Table, times: dict[str, float]) -> str:
    """Return the table as Markdown, figures in per cent."""
    figures = [f"{f}, {p}" for p in PROTOCOLS.values() for f in FIGURES.values()]
    head = ["score", "scale", *figures, "time"]
    rows = [
        [
            name,
            FORMS[form],
            *(_percent(protocols[p][f]) for p in PROTOCOLS for f in FIGURES),
            f"{times[name]:.2f}" if name in times else "–",
        ]
        for name, forms in table.items()
        for form, protocols in forms.items()
    ]
    rule = ["---", "---", *("---:" for _ in head[2:])]
    return "".join(f"| {' | '.join(row)} |\n" for row in (head, rule, *rows))


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def main() -> None:
    """Print the table, and write it where asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", type=Path, help="checkpoint.pt of owseg train")
    parser.add_argument("--root", type=Path, required=True, help="folder of its data set")
    parser.add_argument("--split", default="val", help="split to measure on (val)")
    parser.add_argument("--markdown", type=Path, help="also write the table to this file")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--offline", action="store_true", help="also what no graph can compute")
    parser.add_argument(
        "--members", type=Path, nargs="+", default=[], help="further checkpoints for an ensemble"
    )
    args = parser.parse_args()
    try:
        trained = load_trained(args.checkpoint)
        extra = offline(trained, args.members) if args.offline or args.members else {}
        table, times = make_table(trained, args.root, args.split, extra)
    except OwsegError as error:
        parser.exit(error.exit_code, f"score_table: {error}\n")
    text = markdown(table, times)
    print(text, end="")
    recipe = trained.checkpoint.recipe
    about = {"recipe": recipe.name, "truth_map": recipe.data.truth_map, "split": args.split}
    if args.markdown:
        args.markdown.write_text(text, encoding="utf-8")
    if args.json:
        args.json.write_text(json.dumps({**about, "scores": table, "time": times}, indent=2) + "\n")


if __name__ == "__main__":
    main()
