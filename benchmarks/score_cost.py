"""Time of a frame in ONNX Runtime on a CPU, by the score of the bundle.

    python benchmarks/score_cost.py camvid_open --json cost.json

The weights are random, which changes no time. All bundles are run in turn, so that what else the
machine does hits all alike. "network" runs the network alone, up to embedding and direction; the
other rows have the heads of the graph, as scores with a state do not run in the fused ones.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np

from owseg.engines import OnnxRuntimeEngine, PrototypeSlots
from owseg.errors import OwsegError
from owseg_export.ahead import untrained_bundle
from owseg_training.config import ScoreConfig
from owseg_training.recipes import get_recipe
from owseg_training.scorers import FITTED_SCORERS, METRIC_ONLY, SCORERS

NEEDED = ("open_set", "anomaly", "direction")


def measure(
    recipe_name: str, rounds: int, threads: int, scores: Sequence[str] = ()
) -> dict[str, float]:
    """Return the median time of a frame in ms by score, and of the network alone."""
    recipe = get_recipe(recipe_name)
    metric = recipe.network.head == "metric"
    usable = [n for n in (*SCORERS, *FITTED_SCORERS) if metric or n not in METRIC_ONLY]
    names = list(scores) or usable
    engines: dict[str, OnnxRuntimeEngine] = {}
    with TemporaryDirectory() as folder:
        for name in names:
            score = ScoreConfig(method=name)
            bundle = untrained_bundle(recipe, Path(folder) / f"{name}.onnx", score)
            engines[name] = OnnxRuntimeEngine(bundle, "cpu", threads=threads, heads="graph")
        laps: dict[str, list[float]] = {name: [] for name in ("network", *engines)}
        for engine in engines.values():
            engine.__enter__()
        try:
            _run(engines, laps, rounds)
        finally:
            for engine in engines.values():
                engine.__exit__(None, None, None)
    return {name: median(times) for name, times in laps.items()}


def _run(engines: dict[str, OnnxRuntimeEngine], laps: dict[str, list[float]], rounds: int) -> None:
    first = next(iter(engines.values()))
    size = (first.manifest.height, first.manifest.width)
    image = np.random.default_rng(0).integers(0, 256, (1, *size, 3)).astype(np.uint8)
    calls = [("network", first, ("embedding", "direction"))]
    calls += [(name, engine, NEEDED) for name, engine in engines.items()]
    for turn in range(rounds + 1):
        for name, engine, outputs in calls:
            slots = PrototypeSlots.empty(engine.manifest)
            start = time.perf_counter()
            engine.infer(image, slots, 0.5, outputs)
            if turn:  # the first warms up
                laps[name].append((time.perf_counter() - start) * 1e3)


def main() -> None:
    """Print the table, and write it where asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipe", help="network and size of the input")
    parser.add_argument(
        "--scores", nargs="+", default=[], metavar="NAME", help="only these (all of the head)"
    )
    parser.add_argument("--rounds", type=int, default=15, help="runs of each (15)")
    parser.add_argument("--threads", type=int, default=1, help="of ONNX Runtime (1)")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    args = parser.parse_args()
    try:
        found = measure(args.recipe, args.rounds, args.threads, args.scores)
    except OwsegError as error:
        parser.exit(error.exit_code, f"score_cost: {error}\n")
    print("| score | ms | times the network |\n| --- | ---: | ---: |")
    for name, value in found.items():
        print(f"| {name} | {value:.1f} | {value / found['network']:.2f} |")
    if args.json:
        args.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
