"""Compare all anomaly scores of any network, in both forms, pooled and averaged over images.

    python benchmarks/score_table.py runs/camvid_small/checkpoint.pt --root CamVid
    python benchmarks/score_table.py CHECKPOINT --root CamVid --split val --markdown scores.md
    python benchmarks/score_table.py CHECKPOINT --root CamVid --offline --members OTHER_CHECKPOINT

The same for the networks of a benchmark over several seeds: `owseg table scores`.

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
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from owseg.datasets import load_truth_map, open_dataset
from owseg.errors import OwsegError
from owseg_export.detectors import Detector, Ensemble
from owseg_export.tables.measure import AllScores, FrameSource, measure, offline_detectors
from owseg_export.trained import TrainedNetwork, load_trained

FORMS = {"constant": "constants", "paper": "per image"}
PROTOCOLS = {"pooled": "pooled", "per_image": "per image"}
FIGURES = {"auroc": "AUROC", "aupr": "AUPR", "fpr95": "FPR95"}

Table = dict[str, dict[str, dict[str, dict[str, float | None]]]]
"""Figures by score, form and protocol."""


def data_of(trained: TrainedNetwork, root: Path, split: str) -> FrameSource:
    """Return the images of a split at the network's size, with truth."""
    recipe = trained.checkpoint.recipe
    return FrameSource(
        reader=open_dataset(recipe.data.dataset, root, split),
        truth=load_truth_map(recipe.data.truth_map),
        names=trained.checkpoint.class_names,
        size=recipe.network.size,
        title=split,
    )


def offline(trained: TrainedNetwork, members: Sequence[Path]) -> dict[str, Detector]:
    """Return the detectors that cannot be part of a graph, as far as there is what they need."""
    found = offline_detectors(trained)
    if members:
        found["ensemble"] = Ensemble([trained, *(load_trained(path) for path in members)])
    return found


def make_table(
    trained: TrainedNetwork, root: Path, split: str, detectors: dict[str, Detector]
) -> tuple[Table, dict[str, float]]:
    """Fit the constants on the training split, then measure all scores on another one.

    Returns:
        The figures, and the time of each score in times of the network.
    """
    training = data_of(trained, root, trained.checkpoint.recipe.data.split)
    scores = AllScores(trained, training, detectors, exported=True)
    found: dict[str, Any] = measure(scores, data_of(trained, root, split))
    return found["scores"], found["time"]


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
