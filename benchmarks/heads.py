"""The heads on a CPU: the fused kernel beside ONNX graphs of the same heads, in one run.

The embedding is drawn like that of a trained network: prototypes of random tiles of classes,
with noise. Slots hold embeddings of cells and reach a part of the image. Every form is run in
turn, again and again, so that what else the machine does hits all alike. Before that all have to
agree on labels and scores.

    python benchmarks/heads.py --json heads.json
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from heads_graphs import FORMS, OUTPUTS, SHIPPED, Case, build, inputs_of

from owseg.engines import PrototypeSlots
from owseg.engines.heads import FusedHeads, HeadSpec

CASES = ((4, 19, 0), (4, 32, 0), (4, 19, 32), (8, 19, 0), (8, 19, 32))
"""Stride, known classes, novel prototypes in use."""

TILE = 8
THRESHOLD = 0.3
FULL_NORM = ("naive", "full norm")
"""Forms whose |f|^2 is that of the enlarged f: the same nearest class, but every distance is
smaller where f changes, so that scores and radii mean something else. They cost about the same.
"""


def main() -> None:
    """Run all cases and print a table for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="512x1024", help="HxW (512x1024)")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=9, help="timed runs of each form (9)")
    parser.add_argument("--no-naive", action="store_true", help="leave the slow form out")
    parser.add_argument(
        "--clock",
        choices=("wall", "cpu"),
        default="wall",
        help="cpu: processor time of all threads, for a machine that is busy otherwise (wall)",
    )
    parser.add_argument("--json", type=Path, help="write the figures to a file")
    args = parser.parse_args()
    height, width = (int(part) for part in args.size.split("x"))
    results = []
    for stride, classes, slots in CASES:
        results.append(run_case((height, width), stride, classes, slots, args))
        show(results[-1])
    if args.json:
        run = {"threads": args.threads, "rounds": args.rounds, "clock": args.clock}
        text = {**run, "onnxruntime": onnxruntime.__version__, "cases": results}
        args.json.write_text(json.dumps(text, indent=2) + "\n")


def run_case(
    size: tuple[int, int], stride: int, classes: int, slots: int, args: argparse.Namespace
) -> dict[str, Any]:
    """Check that all forms agree, time them in turn, and compare."""
    case, feed, novel = draw(size, stride, classes, slots)
    forms = {name for name in FORMS if not (args.no_naive and name == "naive")}
    runs: dict[str, Callable[[], dict[str, np.ndarray]]] = {
        name: session(case, name, feed, args.threads) for name in FORMS if name in forms
    }
    spec = HeadSpec(
        prototypes=case.prototypes,
        classes=classes,
        method="mixture",
        form="constant",
        low=case.low,
        high=case.high,
    )
    heads = FusedHeads(spec, size, args.threads)
    runs["fused"] = lambda: heads.run(feed["embedding"], novel, THRESHOLD) or {}
    gaps = compare({name: run() for name, run in runs.items()}, slots)
    times: dict[str, list[float]] = {name: [] for name in runs}
    now = time.process_time if args.clock == "cpu" else time.perf_counter
    for _ in range(args.rounds):
        for name, run in runs.items():
            started = now()
            run()
            times[name].append((now() - started) * 1e3)
    heads.close()
    medians = {name: float(np.median(values)) for name, values in times.items()}
    graphs = {name: value for name, value in medians.items() if name != "fused"}
    best = min(graphs, key=lambda name: graphs[name])
    return {
        "size": f"{size[0]}x{size[1]}",
        "stride": stride,
        "classes": classes,
        "slots": slots,
        "median_ms": medians,
        "fastest_ms": {name: min(values) for name, values in times.items()},
        "best_graph": best,
        "times_faster": {name: value / medians["fused"] for name, value in graphs.items()},
        "differences": gaps,
    }


def draw(
    size: tuple[int, int], stride: int, classes: int, slots: int
) -> tuple[Case, dict[str, np.ndarray], PrototypeSlots]:
    """Draw a problem: case, inputs of the graphs, novel prototypes of the fused heads."""
    rng = np.random.default_rng(0)
    h, w = size[0] // stride, size[1] // stride
    prototypes = 3.0 * np.eye(classes, dtype=np.float32)
    tiles = rng.integers(0, classes, (-(-h // TILE), -(-w // TILE)))
    labels = tiles.repeat(TILE, 0).repeat(TILE, 1)[:h, :w]
    embedding = prototypes[labels].transpose(2, 0, 1) + rng.normal(0, 0.5, (classes, h, w))
    embedding = embedding.astype(np.float32)[None]
    cells = embedding[0].reshape(classes, -1).T
    count = max(slots, 1)
    vectors = cells[rng.integers(len(cells), size=count)] * np.float32(1.2)
    novel = PrototypeSlots(
        vectors=np.ascontiguousarray(vectors),
        radius=rng.uniform(4, 10, count).astype(np.float32),
        valid=np.full(count, float(slots > 0), np.float32),
    )
    sums = classes * np.square(cells).sum(axis=1) - 6 * cells.sum(axis=1) + 9 * classes
    case = Case(
        size=size,
        stride=stride,
        classes=classes,
        slots=slots,
        prototypes=prototypes,
        low=-float(np.median(sums)),
        high=-float(np.quantile(sums, 0.001)),
    )
    feed = {
        "embedding": embedding,
        "vectors": novel.vectors,
        "radius": novel.radius,
        "valid": novel.valid,
        "threshold": np.array([THRESHOLD], np.float32),
    }
    return case, feed, novel


def session(
    case: Case, form: str, feed: dict[str, np.ndarray], threads: int
) -> Callable[[], dict[str, np.ndarray]]:
    """Return a function that runs one form on ONNX Runtime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    # One form's threads must not wait busily while another form, or the kernel, is timed.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    opened = onnxruntime.InferenceSession(
        build(case, form), options, providers=["CPUExecutionProvider"]
    )
    needed = {name: feed[name] for name in inputs_of(case)}
    return lambda: dict(zip(OUTPUTS, opened.run(list(OUTPUTS), needed), strict=True))


def compare(found: dict[str, dict[str, np.ndarray]], slots: int) -> dict[str, dict[str, float]]:
    """Return how far each form is from the fused heads; stop where one computes another thing."""
    gaps = {}
    want = found["fused"]
    for name, arrays in found.items():
        labels = float((arrays["known"] != want["known"]).mean())
        score = float(np.abs(arrays["anomaly"] - want["anomaly"]).max())
        if name not in FULL_NORM or not slots:
            assert labels < 1e-3, f"{name}: {labels:.2%} of the labels differ"
        assert name in FULL_NORM or score < 1e-3, f"{name}: a score differs by {score:.2g}"
        gaps[name] = {"labels": labels, "score_max": score}
    assert not want["anomaly"].std() < 0.02
    return gaps


def show(result: dict[str, Any]) -> None:
    """Print one case."""
    novel = f", {result['slots']} novel prototypes" if result["slots"] else ""
    print(f"\n{result['size']}, stride {result['stride']}, {result['classes']} classes{novel}")
    for name, value in result["median_ms"].items():
        note = " (as exported)" if name == SHIPPED else ""
        times = result["times_faster"].get(name)
        ratio = "" if times is None else f"  {times:5.1f} times the fused kernel"
        print(f"  {name + note:<24} {value:8.1f} ms{ratio}")
    best = result["best_graph"]
    print(f"  the best graph is '{best}': {result['times_faster'][best]:.1f} times the kernel")


if __name__ == "__main__":
    main()
