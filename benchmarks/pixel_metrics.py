"""Time the streaming pixel metrics against scikit-learn, and measure their error.

    python benchmarks/pixel_metrics.py
    python benchmarks/pixel_metrics.py --images 4 --repeats 5 --json pixel_metrics.json

Each image is 1024 x 2048 with anomalous objects, void rows, and one of several
score distributions. Both sides get the same arrays: one image per timed call, on the same
thread. The two are timed in turn within one run, so that a busy machine slows both; the
ratio is that of a round, scikit-learn once against the median of five calls of ours. The
error is that of the pooled figures over all images, in points (hundredths).
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from owseg.metrics import AnomalyFigures, PixelAnomalyMetric
from owseg.types import FloatArray

try:
    from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve
except ImportError:
    sys.exit("this benchmark compares with scikit-learn: pip install scikit-learn")

SHAPE = (1024, 2048)


class Image(NamedTuple):
    """One image: (H, W) float32 scores in [0, 1], bool truth, bool valid mask."""

    scores: FloatArray
    is_anomaly: npt.NDArray[np.bool_]
    valid: npt.NDArray[np.bool_]


def sigmoid(logits: FloatArray) -> FloatArray:
    """Logistic function, in float32 as a network would compute it."""
    return np.asarray(1 / (1 + np.exp(-logits)), np.float32)


SCENARIOS: dict[str, Callable[[FloatArray], FloatArray]] = {
    "spread": lambda z: sigmoid(z - 2),
    "narrow 0.4..0.5": lambda z: np.float32(0.4) + np.float32(0.1) * sigmoid(z),
    "saturated low": lambda z: sigmoid(3 * z - 9),
    "saturated high": lambda z: sigmoid(3 * z + 6),
    "float16": lambda z: sigmoid(z - 2).astype(np.float16).astype(np.float32),
    "8 bit": lambda z: np.round(sigmoid(z) * 255).astype(np.float32) / np.float32(255),
}


def make_image(rng: np.random.Generator, squash: Callable[[FloatArray], FloatArray]) -> Image:
    """Smooth noise with objects that score higher; the lowest eighth of the rows is void."""
    is_anomaly = np.zeros(SHAPE, np.uint8)
    for _ in range(4):
        x, y = (int(rng.integers(100, side - 200)) for side in (SHAPE[1], SHAPE[0]))
        cv2.ellipse(is_anomaly, (x, y), (70, 45), 0, 0, 360, 1, -1)
    smooth = cv2.GaussianBlur(rng.normal(size=SHAPE).astype(np.float32), (0, 0), 8)
    grain = rng.normal(size=SHAPE).astype(np.float32)
    logits = smooth / smooth.std() + np.float32(0.3) * grain + np.float32(1.5) * is_anomaly
    valid = np.ones(SHAPE, np.bool_)
    valid[-SHAPE[0] // 8 :] = False
    return Image(squash(logits.astype(np.float32)), is_anomaly.astype(np.bool_), valid)


def exact(images: list[Image]) -> AnomalyFigures:
    """Figures of all valid pixels together, by scikit-learn."""
    truth = np.concatenate([image.is_anomaly[image.valid] for image in images])
    scores = np.concatenate([image.scores[image.valid] for image in images])
    fpr, tpr, _ = roc_curve(truth, scores, drop_intermediate=False)
    return AnomalyFigures(
        auroc=float(roc_auc_score(truth, scores)),
        aupr=float(average_precision_score(truth, scores)),
        fpr95=float(fpr[np.argmax(tpr >= 0.95)]),
    )


def seconds(call: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def measure(name: str, num_images: int, repeats: int) -> dict[str, object]:
    """Time one scenario and measure its errors."""
    rng = np.random.default_rng(0)
    images = [make_image(rng, SCENARIOS[name]) for _ in range(num_images)]
    metric, ours, theirs, ratios = PixelAnomalyMetric(), [], [], []

    def stream() -> None:  # with the pooled figures, as if each image were the last
        metric.update(*images[0])
        metric.compute()

    stream()
    for _ in range(repeats):
        calls = [seconds(stream) for _ in range(5)]
        theirs.append(seconds(lambda: exact(images[:1])))
        ratios.append(theirs[-1] / statistics.median(calls))
        ours += calls
    return {
        "scenario": name,
        "ours_ms": _spread(ours),
        "sklearn_ms": _spread(theirs),
        "ratio": {**_spread(ratios, 1), "max": max(ratios)},
        "error_points": error_points(images),
    }


def error_points(images: list[Image]) -> dict[str, float]:
    """Absolute error of the pooled figures against scikit-learn, in points."""
    metric = PixelAnomalyMetric()
    for image in images:
        metric.update(*image)
    pooled, truth = metric.compute().pooled, exact(images)
    pairs = {
        "auroc": (pooled.auroc, truth.auroc),
        "aupr": (pooled.aupr, truth.aupr),
        "fpr95": (pooled.fpr95, truth.fpr95),
    }
    return {key: 100 * abs((a or 0.0) - (b or 0.0)) for key, (a, b) in pairs.items()}


def _spread(values: list[float], scale: float = 1e3) -> dict[str, float]:
    return {"min": scale * min(values), "median": scale * statistics.median(values)}


def _row(result: dict[str, object]) -> str:
    ours, theirs, ratio, errors = (
        result[key] for key in ("ours_ms", "sklearn_ms", "ratio", "error_points")
    )
    assert isinstance(ours, dict)
    assert isinstance(theirs, dict)
    assert isinstance(ratio, dict)
    assert isinstance(errors, dict)
    return (
        f"{result['scenario']:<16} {ours['min']:8.2f} {ours['median']:8.2f} "
        f"{theirs['min']:9.0f} {theirs['median']:9.0f} "
        + " ".join(f"{ratio[key]:6.0f}x" for key in ("min", "median", "max"))
        + " "
        + " ".join(f"{errors[key]:9.5f}" for key in ("auroc", "aupr", "fpr95"))
    )


def main() -> None:
    """Run all scenarios and print one row each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=2, help="images pooled for the error")
    parser.add_argument("--repeats", type=int, default=3, help="timed repeats")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    args = parser.parse_args()
    print(f"{SHAPE[0]} x {SHAPE[1]}, times in ms, errors in points")
    print(
        f"{'scores':<16} {'min':>8} {'median':>8} {'skl min':>9} {'skl med':>9} "
        f"{'ratio min':>7} {'median':>6} {'max':>7} {'AUROC':>9} {'AUPR':>9} {'FPR95':>9}"
    )
    results = []
    for name in SCENARIOS:
        results.append(measure(name, args.images, args.repeats))
        print(_row(results[-1]), flush=True)
    if args.json:
        args.json.write_text(json.dumps({"shape": SHAPE, "results": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
