"""Engines of all recipes, built ahead of time for GPUs that are not here: their sizes.

    python benchmarks/ahead_engines.py --json engines.json
    python benchmarks/ahead_engines.py camvid_small street.onnx

Takes names of recipes, whose networks get random weights, and bundles; all recipes by default.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from owseg.bundle import load_bundle
from owseg.engines.tensorrt.runtime import find_tensorrt
from owseg.errors import OwsegError
from owseg_export.ahead import TARGETS, prove, untrained_bundle
from owseg_training.recipes import RECIPES, get_recipe


def measure(what: str, folder: Path) -> list[dict[str, Any]]:
    """Build the engines of one recipe or bundle."""
    if what in RECIPES:
        bundle = untrained_bundle(get_recipe(what), folder / f"{what}.onnx")
    else:
        bundle = load_bundle(what)
    rows = []
    for target in TARGETS:
        (proof,) = prove(bundle, (target,), batch=4)
        rows.append(
            {
                "model": Path(what).name,
                "input": f"1..4x{bundle.manifest.height}x{bundle.manifest.width}x3",
                "precision": proof.precision,
                "target": target,
                "onnx_mb": round(bundle.path.stat().st_size / 1e6, 1),
                "engine_mb": round(proof.size / 1e6, 1),
            }
        )
    return rows


def main() -> int:
    """Print a table; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="*", default=list(RECIPES), help="recipes and bundles")
    parser.add_argument("--json", type=Path, help="also write the figures to a file")
    args = parser.parse_args()
    rows: list[dict[str, Any]] = []
    try:
        title = find_tensorrt(("tensorrt_rtx",)).title
        with TemporaryDirectory() as folder:
            for what in args.what:
                for row in measure(what, Path(folder)):
                    rows.append(row)
                    print("  ".join(f"{value!s:<16}" for value in row.values()), flush=True)
    except OwsegError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    if args.json is not None:
        command = " ".join(["python benchmarks/ahead_engines.py", *args.what])
        head = {"tensorrt": title, "machine": platform.machine(), "command": command}
        args.json.write_text(json.dumps({**head, "engines": rows}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
