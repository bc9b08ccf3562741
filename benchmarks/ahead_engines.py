"""Engines of all recipes in all precisions, built ahead of time for GPUs that are not here.

    python benchmarks/ahead_engines.py --json engines.json
    python benchmarks/ahead_engines.py camvid_small street.onnx --precisions fp16,int8

Takes names of recipes, whose networks get random weights, and bundles; all recipes by default.
Recipes that train the same graph in another way are built once. What was built is written after
each graph, so that a run that is stopped leaves what it has.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from owseg.bundle import Bundle, load_bundle
from owseg.engines.tensorrt.runtime import find_tensorrt
from owseg.errors import OwsegError
from owseg_export.ahead import TARGETS, graph_key, in_precision, prove, untrained_bundle
from owseg_export.precision import PRECISIONS
from owseg_training.recipes import RECIPES, get_recipe

BATCH = 4
WORKSPACE_MB = 8192
"""Memory for one layer: four images of 1024x2048 pixels at stride 2 need five times the usual."""


def groups(what: Sequence[str]) -> list[list[str]]:
    """Return recipes and bundles, those with the same graph together."""
    found: dict[Any, list[str]] = {}
    for name in what:
        key = graph_key(get_recipe(name)) if name in RECIPES else name
        found.setdefault(key, []).append(name)
    return list(found.values())


def measure(names: Sequence[str], precisions: Sequence[str], folder: Path) -> list[dict[str, Any]]:
    """Build the engines of one graph: one row for each precision and GPU."""
    if names[0] in RECIPES:
        plain = untrained_bundle(get_recipe(names[0]), folder / "fp32.onnx")
    else:
        plain = load_bundle(names[0])
    return [
        row(names, in_precision(plain, precision, folder / f"{precision}.onnx"), target)
        for precision in precisions
        for target in TARGETS
    ]


def row(names: Sequence[str], bundle: Bundle, target: str) -> dict[str, Any]:
    """Build one engine."""
    begun = time.monotonic()
    (proof,) = prove(bundle, (target,), batch=BATCH, workspace=WORKSPACE_MB)
    return {
        "model": ", ".join(Path(name).name for name in names),
        "input": f"1..{BATCH}x{bundle.manifest.height}x{bundle.manifest.width}x3",
        "precision": proof.precision,
        "target": target,
        "onnx_mb": round(bundle.path.stat().st_size / 1e6, 1),
        "engine_mb": round(proof.size / 1e6, 1),
        "seconds": round(time.monotonic() - begun, 1),
    }


def main() -> int:
    """Print a table; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="*", default=list(RECIPES), help="recipes and bundles")
    parser.add_argument("--precisions", default=",".join(PRECISIONS), help="of the networks (all)")
    parser.add_argument("--json", type=Path, help="also write the figures to a file")
    args = parser.parse_args()
    rows: list[dict[str, Any]] = []
    try:
        title = find_tensorrt(("tensorrt_rtx",)).title
        head = {"tensorrt": title, "machine": platform.machine()}
        head["command"] = " ".join(["python benchmarks/ahead_engines.py", *args.what])
        for names in groups(args.what):
            with TemporaryDirectory() as folder:
                found = measure(names, args.precisions.split(","), Path(folder))
            for one in found:
                print("  ".join(f"{value!s:<16}" for value in one.values()), flush=True)
            rows += found
            if args.json is not None:
                args.json.write_text(json.dumps({**head, "engines": rows}, indent=2) + "\n")
    except OwsegError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
