"""How long it takes to swap novel classes in a running pipeline.

    python benchmarks/prototype_swap.py
    python benchmarks/prototype_swap.py --classes 32 --prototypes 1 --json swap.json

"swap" is `Pipeline.set_prototypes`: all that happens between two frames. "read and swap" also
reads the set from a store on disk. The table of ids is what novel classes add to each frame.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from owseg.bundle import shipped_model
from owseg.engines import Engine, open_engine
from owseg.errors import OwsegError
from owseg.pipeline import Pipeline
from owseg.prototypes import PrototypeSet, PrototypeStore
from owseg.types import Frame

Row = dict[str, float]
"""Milliseconds: median, 99th percentile and largest."""


def fill(store: PrototypeStore, engine: Engine, classes: int, prototypes: int) -> None:
    """Put random classes into a store."""
    manifest, rng = engine.manifest, np.random.default_rng(0)
    for number in range(classes):
        vectors = rng.normal(1.0, 0.3, (prototypes, manifest.embedding_size))
        known, slots = manifest.classes, manifest.slots
        store.add(f"c{number}", vectors, 0.3, space=engine.space, known=known, slots=slots)


def timed(call: Callable[[], object], rounds: int) -> Row:
    """Time a call."""
    taken = []
    for _ in range(rounds):
        started = time.perf_counter()
        call()
        taken.append((time.perf_counter() - started) * 1e3)
    return {
        "p50": float(np.median(taken)),
        "p99": float(np.percentile(taken, 99)),
        "max": max(taken),
    }


def measure(engine: Engine, store: PrototypeStore, rounds: int) -> dict[str, Row]:
    """Time the swap, the swap from disk, and the table of ids."""
    pipeline = Pipeline(engine)
    chosen = store.read()
    sets = [chosen, replace(chosen, version=chosen.version + 1), PrototypeSet()]
    turns = iter(range(10**9))
    rows = {
        "swap": timed(lambda: pipeline.set_prototypes(sets[next(turns) % 3]), rounds),
        "read and swap": timed(lambda: pipeline.set_prototypes(store.read()), rounds // 10 + 1),
    }
    manifest = engine.manifest
    known = np.random.default_rng(0).integers(0, 40, (manifest.height, manifest.width), np.uint8)
    active = pipeline._active
    rows["table of ids, two maps"] = timed(
        lambda: (active.translate(known), active.translate(known)), rounds // 10 + 1
    )
    result = pipeline.process(Frame(image=np.zeros((manifest.height, manifest.width, 3), np.uint8)))
    assert len(result.classes) == len(manifest.classes) + len(chosen.classes)
    return rows


def main() -> None:
    """Print the table, and write it where asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, default=shipped_model(), help="model bundle")
    parser.add_argument("--classes", type=int, default=8, help="novel classes (8)")
    parser.add_argument("--prototypes", type=int, default=4, help="prototypes of each (4)")
    parser.add_argument("--rounds", type=int, default=3000, help="swaps to time (3000)")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    args = parser.parse_args()
    try:
        with (
            open_engine(args.model) as engine,
            TemporaryDirectory() as folder,
            PrototypeStore(Path(folder) / "c.db", create=True) as store,
        ):
            fill(store, engine, args.classes, args.prototypes)
            rows = measure(engine, store, args.rounds)
    except OwsegError as error:
        parser.exit(error.exit_code, f"prototype_swap: {error}\n")
    print(f"{args.classes} classes with {args.prototypes} prototypes each, milliseconds")
    for name, row in rows.items():
        print(f"{name:<24}" + "".join(f"{key} {value:8.4f}   " for key, value in row.items()))
    if args.json:
        args.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
