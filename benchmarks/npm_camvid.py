"""Learn a held-out class of CamVid from a few training images, measure it on another drive.

    python benchmarks/npm_camvid.py --root CamVid
    python benchmarks/npm_camvid.py --root CamVid --shots 1 5 --seeds 8 --markdown table.md

Shots come from the training split only. Each way of learning is judged on two sets of frames:
"design", training frames that no shot is taken from, on which the ways were compared, and the
validation drive. Claims are computed from embeddings as the graph does it (squared distances,
enlarged bilinearly); `--check` runs the real pipeline beside it.

Old mIoU is that of the model's own classes, with pixels of the learnt class as class of its own
("old"), and with these pixels void ("old, void"), which shows false claims alone. Harmonic is
the harmonic mean of "old" and "novel", as in DMLNet. Spread is the sample standard deviation.

With --clicked nobody draws masks: shots are unknown objects as the pipeline finds them.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from npm_frames import (
    FIGURES,
    Candidate,
    Embedded,
    Judge,
    Learnt,
    clicked,
    drawn,
    embed_split,
    figures_of,
)

from owseg.bundle import shipped_model
from owseg.datasets import CamVid
from owseg.engines import Engine, open_engine
from owseg.errors import OwsegError, UsageError
from owseg.evaluation import Evaluation, truth_map_for
from owseg.pipeline import Pipeline
from owseg.prototypes import NovelClass, PrototypeSet
from owseg.prototypes.examples import Example
from owseg.prototypes.learn import learn_class
from owseg.prototypes.pooling import Cells, pool, prototypes_of
from owseg.prototypes.radius import SHARE, Trial, fit_radius, run_trial
from owseg.types import FloatArray, Frame

Way = Callable[[Sequence[Cells], FloatArray], Learnt]
"""Learns from shots, beside the prototypes of the known classes."""


# Ways of learning ------------------------------------------------------------------------------


def means(shots: Sequence[Cells], *, pooling: str = "pixel", count: int = 1) -> FloatArray:
    """Prototypes as the package makes them."""
    return prototypes_of(*pool(shots, pooling), count)


def touched(shots: Sequence[Cells]) -> FloatArray:
    """Mean over all cells that the masks touch, weighted by coverage: Eq. 11 to the letter."""
    vectors = np.concatenate([cells.vectors for cells in shots])
    return prototypes_of(vectors, np.concatenate([cells.inside for cells in shots]))


def median(shots: Sequence[Cells]) -> FloatArray:
    """Median instead of mean, for each dimension."""
    vectors, _ = pool(shots)
    return np.median(vectors, axis=0)[None].astype(np.float32)


def fitted(
    shots: Sequence[Cells],
    known: FloatArray,
    make: Callable[[Sequence[Cells]], FloatArray] = means,
    share: float | None = SHARE,
    held_out: bool = True,
    guards: int = 0,
) -> Learnt:
    """Prototypes with a fitted radius; share None = that of the shots."""
    trial = run_trial(shots, known, make) if held_out else seen(shots, known, make)
    if share is None:
        share = trial.inside.sum() / (trial.inside.sum() + trial.outside.sum())
    negatives = None
    if guards:
        rest = np.concatenate([cells.vectors[cells.outside > 0.999] for cells in shots])
        negatives = prototypes_of(rest, np.ones(len(rest)), guards)
    return Learnt(vectors=make(shots), radius=fit_radius(trial, share), guards=negatives)


def seen(
    shots: Sequence[Cells], known: FloatArray, make: Callable[[Sequence[Cells]], FloatArray]
) -> Trial:
    """Return the trial of prototypes on the very shots that they were made from."""
    everything = make(shots)
    trials = [run_trial([cells], known, lambda _: everything) for cells in shots]
    names = ("distances", "inside", "outside")
    parts = {name: np.concatenate([getattr(t, name) for t in trials]) for name in names}
    return replace(trials[0], **parts)


def fixed(shots: Sequence[Cells], _: FloatArray, radius: float) -> Learnt:
    """Return the mean with a given radius."""
    return Learnt(vectors=touched(shots), radius=radius)


WAYS: dict[str, Way] = {
    "default: mean of filled cells, radius fitted on held-out shots, share 3 %": fitted,
    "radius 1.5 (the official code)": partial(fixed, radius=1.5),
    "radius 0.15 (the paper's text)": partial(fixed, radius=0.15),
    "radius fitted on the shots themselves": partial(fitted, held_out=False),
    "share as in the shots": partial(fitted, share=None),
    "share 1 %": partial(fitted, share=0.01),
    "share 5 %": partial(fitted, share=0.05),
    "mean of all touched cells": partial(fitted, make=touched),
    "mean of the means by image": partial(fitted, make=partial(means, pooling="image")),
    "median": partial(fitted, make=median),
    "2 prototypes": partial(fitted, make=partial(means, count=2)),
    "4 prototypes": partial(fitted, make=partial(means, count=4)),
    "8 prototypes of the surroundings that hold others off": partial(fitted, guards=8),
}


# Runs ------------------------------------------------------------------------------------------

Rows = dict[str, list[dict[str, dict[str, float]]]]
"""Figures by way, seed and set of frames."""


def run_ways(
    candidates: Sequence[Candidate],
    judges: dict[str, Judge],
    known: FloatArray,
    shots: int,
    seeds: int,
) -> Rows:
    """Learn in every way from several choices of shots."""
    rows: Rows = {name: [] for name in WAYS}
    for seed in range(seeds):
        cells = [candidate.cells() for candidate in choose(candidates, shots, seed)]
        for name, way in WAYS.items():
            learnt = way(cells, known)
            found = {key: figures_of(judge.confusion(learnt)) for key, judge in judges.items()}
            rows[name].append(found | {"radius": {"radius": learnt.radius}})
    return rows


def choose(candidates: Sequence[Candidate], shots: int, seed: int) -> list[Candidate]:
    """Choose shots; the same seed chooses the same."""
    chosen = np.random.default_rng(seed).choice(len(candidates), shots, replace=False)
    return [candidates[i] for i in chosen]


def check(engine: Engine, root: Path, name: str, shots: Sequence[Candidate]) -> dict[str, float]:
    """Learn with the package and run the real pipeline over the validation drive.

    Returns:
        Figures in percent, and the seconds that learning took, images in memory to prototypes:
        of the clock, and of all cores together.
    """
    novel = len(engine.manifest.classes)
    examples = []
    for shot in shots:
        image, labels = shot.frame.sample.load()
        mask = cv2.resize(shot.mask, labels.shape[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
        examples.append(Example(image=image, mask=mask, source=shot.frame.sample.name))
    started, busy = time.perf_counter(), time.process_time()
    learnt = learn_class(engine, examples)
    taken = {"seconds": time.perf_counter() - started, "cpu": time.process_time() - busy}
    item = NovelClass(
        id=novel, name=name, color=(1, 2, 3), radius=learnt.radius, vectors=learnt.vectors
    )
    pipeline = Pipeline(engine)
    pipeline.set_prototypes(PrototypeSet(space=engine.space, version=1, classes=(item,)))
    reader = CamVid(root, "val")
    evaluation = Evaluation(
        engine.manifest, truth_map_for(engine.manifest, reader.label_space), [item]
    )
    for sample in reader:
        image, labels = sample.load()
        evaluation.update(pipeline.process(Frame(image=image)), labels)
    figures = evaluation.metrics()["incremental"]
    shown = {key: 100 * figures[key] for key in ("old", "novel", "harmonic")}
    return shown | {"radius": learnt.radius} | taken


def markdown(rows: Rows, judges: Sequence[str]) -> str:
    """Return means over the seeds as a Markdown table."""
    head = ["way of learning", "radius", *(f"{key}: {name}" for key in judges for name in FIGURES)]
    lines = [head, ["---", *("---:" for _ in head[1:])]]
    for name, seeds in rows.items():
        cells = [f"{np.mean([s['radius']['radius'] for s in seeds]):.2f}"]
        for key in judges:
            for figure in FIGURES:
                values = [s[key][figure] for s in seeds]
                spread = f" ± {np.std(values, ddof=1):.1f}" if figure == "harmonic" else ""
                cells.append(f"{np.mean(values):.1f}{spread}")
        lines.append([name, *cells])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def arguments() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=Path, required=True, help="CamVid folder")
    parser.add_argument("--model", type=Path, default=shipped_model(), help="model bundle")
    parser.add_argument("--class", dest="name", default="car", help="class to learn (car)")
    parser.add_argument("--shots", type=int, nargs="+", default=[1, 5], help="shots (1 5)")
    parser.add_argument("--seeds", type=int, default=3, help="choices of shots (3)")
    parser.add_argument("--design", type=int, default=60, help="design frames (60)")
    parser.add_argument(
        "--least", type=float, default=0.05, help="a shot shows the class on more of it (0.05)"
    )
    parser.add_argument("--most", type=float, default=1.0, help="and on at most so much (1)")
    parser.add_argument(
        "--clicked", action="store_true", help="shots are unknown objects as they are found"
    )
    parser.add_argument("--check", action="store_true", help="also run the real pipeline")
    parser.add_argument("--markdown", type=Path, help="also write the tables to this file")
    parser.add_argument("--json", type=Path, help="also write all figures to this file")
    return parser


def measure(args: argparse.Namespace, engine: Engine) -> tuple[str, dict[str, object]]:
    """Run everything; return the text and the figures."""
    manifest = engine.manifest
    if args.name in manifest.class_names or not len(manifest.prototypes):
        raise UsageError(f"model '{manifest.name}' knows '{args.name}', or has no prototypes")
    novel = len(manifest.classes)
    train = embed_split(engine, args.root, "train", args.name)
    chosen = np.random.default_rng(99).choice(len(train), args.design, replace=False)
    design = [train[i] for i in chosen]
    rest = [frame for i, frame in enumerate(train) if i not in set(chosen.tolist())]
    if args.clicked:
        candidates = list(clicked(rest, novel))
    else:
        candidates = drawn(rest, novel, args.least, args.most)
    drive = embed_split(engine, args.root, "val", args.name)
    frames: dict[str, list[Embedded]] = {"design": design, "drive": drive}
    judges = {key: Judge(found, manifest.prototypes) for key, found in frames.items()}
    before = {key: figures_of(judge.confusion(None)) for key, judge in judges.items()}
    text = f"{len(candidates)} candidates for shots; before: {json.dumps(before)}\n"
    results: dict[str, object] = {"before": before, "candidates": len(candidates)}
    for shots in args.shots:
        rows = run_ways(candidates, judges, manifest.prototypes, shots, args.seeds)
        text += f"\n{shots} shots, mean of {args.seeds} choices\n\n{markdown(rows, tuple(judges))}"
        results[f"{shots} shots"] = rows
        if args.check:
            checked = check(engine, args.root, args.name, choose(candidates, shots, seed=0))
            text += f"\nreal pipeline, first choice: {json.dumps(checked)}\n"
            results[f"{shots} shots, checked"] = checked
    return text, results


def main() -> None:
    """Print the tables, and write them where asked."""
    parser = arguments()
    args = parser.parse_args()
    try:
        with open_engine(args.model) as engine:
            text, results = measure(args, engine)
    except OwsegError as error:
        parser.exit(error.exit_code, f"npm_camvid: {error}\n")
    print(text, end="")
    if args.markdown:
        args.markdown.write_text(text, encoding="utf-8")
    if args.json:
        args.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
