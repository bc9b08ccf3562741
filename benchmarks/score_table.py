"""Compare all anomaly scores of a network, in both forms, pooled and averaged over images.

    python benchmarks/score_table.py runs/camvid_small/checkpoint.pt --root CamVid
    python benchmarks/score_table.py CHECKPOINT --root CamVid --split val --markdown scores.md

The constant form maps a raw score to [0, 1] by two constants fitted on the training split; the
paper's form scales each image by itself. Pooled figures rank all pixels of the split together,
as a fixed threshold does; per-image figures are the mean over the images that hold anomalies.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import torch

from owseg.datasets import Truth, load_truth_map, open_dataset
from owseg.errors import OwsegError
from owseg.metrics import PixelAnomalyMetric
from owseg.types import UInt8Array
from owseg_export.calibrate import available_scores, fit_constants, frames
from owseg_export.trained import TrainedNetwork, load_trained
from owseg_training.scorers import CalibratedScore, Calibration

FORMS = {"constant": "constants", "paper": "per image"}
PROTOCOLS = {"pooled": "pooled", "per_image": "per image"}
FIGURES = {"auroc": "AUROC", "aupr": "AUPR", "fpr95": "FPR95"}

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
    trained: TrainedNetwork, constants: dict[str, Calibration]
) -> dict[tuple[str, str], CalibratedScore]:
    """Return every score that the head supports, by name and form."""
    names = [*available_scores(trained), *(["mixture"] if trained.metric else [])]
    return {
        (name, form): CalibratedScore(name, form, constants) for name in names for form in FORMS
    }


def make_table(trained: TrainedNetwork, root: Path, split: str) -> Table:
    """Fit the constants on the training split, then measure all scores on another one."""
    recipe = trained.checkpoint.recipe
    training = data_of(trained, root, recipe.data.split)
    constants = fit_constants(trained, training, recipe.score, available_scores(trained))
    scores = all_scores(trained, constants)
    metrics = {key: PixelAnomalyMetric() for key in scores}
    for image, truth in data_of(trained, root, split):
        evidence = trained.evidence(torch.from_numpy(image[None]))
        for key, score in scores.items():
            metrics[key].update(score(evidence)[0].numpy(), truth.anomaly, truth.valid)
    table: Table = {}
    for (name, form), metric in metrics.items():
        result = metric.compute()
        figures = {"pooled": asdict(result.pooled), "per_image": asdict(result.per_image)}
        table.setdefault(name, {})[form] = figures
    return table


def markdown(table: Table) -> str:
    """Return the table as Markdown, figures in per cent."""
    head = ["score", "scale", *(f"{f}, {p}" for p in PROTOCOLS.values() for f in FIGURES.values())]
    rows = [
        [name, FORMS[form], *(_percent(protocols[p][f]) for p in PROTOCOLS for f in FIGURES)]
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
    args = parser.parse_args()
    try:
        trained = load_trained(args.checkpoint)
        table = make_table(trained, args.root, args.split)
    except OwsegError as error:
        parser.exit(error.exit_code, f"score_table: {error}\n")
    print(markdown(table), end="")
    recipe = trained.checkpoint.recipe
    about = {"recipe": recipe.name, "truth_map": recipe.data.truth_map, "split": args.split}
    if args.markdown:
        args.markdown.write_text(markdown(table), encoding="utf-8")
    if args.json:
        args.json.write_text(json.dumps({**about, "scores": table}, indent=2) + "\n")


if __name__ == "__main__":
    main()
