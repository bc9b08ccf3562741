"""Time super-BPD grouping against OpenCV's connected components, and measure its quality.

    python benchmarks/grouping.py
    python benchmarks/grouping.py --camvid CamVid --repeats 200 --json grouping.json

Times are those of one core, on frames whose pixels are all unknown (the worst case) and on
frames of which a third is. In each round everything is timed once, in turn, on the same frame,
so that a busy machine slows all alike; frames change from round to round, so that no branch
is learnt by heart. "partition" is direction field and mask to regions, on the grid of twice the
field's resolution: half of the image's for a field of stride 4, the image's own for one of
stride 2. "post-processing" is everything after the network: mask, partition, regions in pixels,
ids over time with boxes and mean scores.

Quality is GQ_cluster of whole images, from simulated fields: the exact boundary-to-pixel
direction of each segment, averaged over the cells of stride 4, plus Gaussian noise of 0.2 per
component. Segments are Voronoi cells, or the 8-connected segments of CamVid's label maps, void
left out. True segments of fewer than 100 or 250 pixels are void in two variants: a stride-4
field cannot show specks, of which CamVid's maps are full.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from owseg.connectivity import connected_segments
from owseg.datasets import open_dataset
from owseg.grouping import ClusterTracker, PartitionRules, SuperBpd
from owseg.grouping.partition import Partition, limits_of
from owseg.metrics import GossMetric
from owseg.types import FloatArray, UInt8Array

try:
    from scipy.ndimage import distance_transform_edt, find_objects
except ImportError:
    sys.exit("this benchmark simulates fields with scipy: pip install scipy")

Labels = npt.NDArray[np.int32]

NOISE, STRIDE, SEEDS = 0.2, 4, 40
MIN_AREAS = (0, 100, 250)
SIZES = ((512, 1024), (1024, 2048))
TARGETS = {"half": 0.4, "full": 1.3, (512, 1024): 2.0, (1024, 2048): 6.0}


# Simulated fields ------------------------------------------------------------------------------


def voronoi(shape: tuple[int, int], seeds: int, rng: np.random.Generator) -> Labels:
    """Label each pixel with the nearest of random points, from 1."""
    points = rng.random((seeds, 2)) * shape
    marks = np.ones(shape, np.uint8)
    marks[tuple(points.astype(int).T)] = 0
    _, labels = cv2.distanceTransformWithLabels(
        marks, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    return np.asarray(labels, np.int32)


def exact_field(labels: Labels) -> FloatArray:
    """Return unit vectors (2, H, W) from the nearest pixel of another segment, or of outside."""
    field = np.zeros((2, *labels.shape), np.float32)
    for number, box in enumerate(find_objects(labels), start=1):
        if box is not None:
            inside = np.pad(labels[box] == number, 1)
            nearest = distance_transform_edt(inside, return_distances=False, return_indices=True)
            away = np.indices(inside.shape) - nearest
            unit = away / np.maximum(np.linalg.norm(away, axis=0), 1e-9)
            kept = inside[1:-1, 1:-1]
            for c in range(2):
                field[c][box][kept] = unit[c, 1:-1, 1:-1][kept]
    return field


def simulated(labels: Labels, stride: int, rng: np.random.Generator) -> FloatArray:
    """Return what a network of a stride would predict, with noise: (2, h, w) float32."""
    height, width = (-(-side // stride) * stride for side in labels.shape)
    field = exact_field(labels)
    margin = (0, 0), (0, height - labels.shape[0]), (0, width - labels.shape[1])
    cells = np.pad(field, margin, mode="edge")
    cells = cells.reshape(2, height // stride, stride, width // stride, stride).mean((2, 4))
    return (cells + NOISE * rng.normal(size=cells.shape)).astype(np.float32)


# Times -----------------------------------------------------------------------------------------


class Case:
    """Everything that is timed on frames of one size.

    Args:
        shape: (height, width) of the image.
        stride: of the field.
        share: of the pixels that are unknown; 1 = all.
        frames: different frames.
    """

    def __init__(self, shape: tuple[int, int], stride: int, share: float, frames: int = 4) -> None:
        self.shape, self.stride, self.share = shape, stride, share
        self.frames = [self._frame(np.random.default_rng(seed)) for seed in range(frames)]
        self.grouping = SuperBpd(stride)
        self.grouping.warm_up()
        self.trackers = [ClusterTracker() for _ in self.frames]  # each sees one scene
        self.trackers[0].warm_up()
        self._work, self._rules = Partition(), PartitionRules()

    def _frame(
        self, rng: np.random.Generator
    ) -> tuple[UInt8Array, FloatArray, FloatArray, UInt8Array, UInt8Array]:
        labels = voronoi(self.shape, SEEDS, rng)
        unknown = labels <= round(self.share * SEEDS)
        open_set = np.where(unknown, 255, 0).astype(np.uint8)
        anomaly = rng.random(self.shape, dtype=np.float32)
        cell = self.stride // 2
        cells = np.ascontiguousarray(unknown[::cell, ::cell]).view(np.uint8)
        field = simulated(labels, self.stride, rng)
        return open_set, field, anomaly, cells, cells * np.uint8(255)

    def partition(self, frame: int) -> None:
        """Turn the field and the mask of cells into regions of cells."""
        from owseg.grouping import _field

        _, field, _, cells, opened = self.frames[frame]
        height, width = cells.shape
        work = self._work
        work.lay_out(height, width)
        _field.doubled_angles(field, 0, 0, height // 2, width // 2, work.angle)
        inside = _field.cut_mask(cells, 0, 0, height, width, work.mask)
        cell = self.stride // 2
        numbers = work.regions(limits_of(self._rules, cell, cells.size * cell * cell), inside)
        assert numbers is not None
        out = np.empty(cells.shape, np.uint16)
        _field.paint(work.label, numbers, opened, 1, 0, 0, height, width, out)

    def post_processing(self, frame: int) -> None:
        """Turn decisions, field and scores into objects with ids that stay."""
        open_set, field, anomaly, *_ = self.frames[frame]
        self.trackers[frame].update(self.grouping(open_set, field), anomaly)

    def components(self, frame: int) -> None:
        """Let OpenCV label the mask."""
        mask = (self.frames[frame][0] == 255).view(np.uint8)
        cv2.connectedComponentsWithStats(mask, connectivity=8, ltype=cv2.CV_32S)

    def measure(self, repeats: int) -> dict[str, Any]:
        """Time everything in turn; milliseconds."""
        tasks: dict[str, Callable[[int], None]] = {
            "partition": self.partition,
            "post_processing": self.post_processing,
            "components": self.components,
        }
        times: dict[str, list[float]] = {name: [] for name in tasks}
        for k in range(repeats + 2):
            for name, task in tasks.items():
                start = time.perf_counter()
                task(k % len(self.frames))
                times[name].append(1e3 * (time.perf_counter() - start))
        kept = {name: values[2:] for name, values in times.items()}
        return {
            "shape": list(self.shape),
            "grid": "half" if self.stride == STRIDE else "full",
            "unknown": self.share,
            **{f"{name}_ms": statistics.median(values) for name, values in kept.items()},
            **{f"{name}_min_ms": min(values) for name, values in kept.items()},
            "ratio": statistics.median(kept["partition"]) / statistics.median(kept["components"]),
            "ratio_min": min(kept["partition"]) / min(kept["components"]),
        }


def print_times(row: dict[str, Any]) -> None:
    """Print one row of times."""
    height, width = row["shape"]
    print(
        f"{height}x{width:<6} {row['grid']:<5} {row['unknown']:5.0%} "
        f"{row['partition_ms']:10.2f} {row['components_ms']:10.2f} {row['ratio']:6.2f} "
        f"{row['ratio_min']:6.2f} {TARGETS[row['grid']]:7.1f} {row['post_processing_ms']:10.2f} "
        f"{row['post_processing_min_ms']:7.2f} {TARGETS[height, width]:7.1f}",
        flush=True,
    )


# Quality ---------------------------------------------------------------------------------------


def quality(frames: list[tuple[Labels, FloatArray]], stride: int) -> dict[str, float | None]:
    """GQ_cluster in percent, by smallest true area; label 0 is void."""
    grouping = SuperBpd(stride)
    metric = GossMetric(1, MIN_AREAS)
    for labels, field in frames:
        mask = np.where(labels > 0, 255, 0).astype(np.uint8)
        metric.update_partition(grouping(mask, field), labels)
    found = {area: metric.compute(area).gq_cluster for area in MIN_AREAS}
    return {f"min_area_{area}": value and 100 * value for area, value in found.items()} | {
        "fallbacks": grouping.fallbacks
    }


def voronoi_frames(count: int) -> list[tuple[Labels, FloatArray]]:
    """Make maps of 10 to 80 cells."""
    frames = []
    for seed in range(count):
        rng = np.random.default_rng(1000 + seed)
        labels = voronoi((512, 1024), int(rng.integers(10, 81)), rng)
        frames.append((labels, simulated(labels, STRIDE, rng)))
    return frames


def camvid_frames(root: Path, split: str, every: int) -> list[tuple[Labels, FloatArray]]:
    """Segments of CamVid's label maps; void has a field of its own, but counts nowhere."""
    frames = []
    for number, sample in enumerate(list(open_dataset("camvid", root, split))[::every]):
        _, labels = sample.load()
        everything = connected_segments(labels, np.ones(labels.shape, np.bool_))
        field = simulated(everything, STRIDE, np.random.default_rng(number))
        frames.append((np.where(labels < 11, everything, 0).astype(np.int32), field))
    return frames


def main() -> None:
    """Run everything and print one row each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=100, help="timed rounds")
    parser.add_argument("--camvid", type=Path, help="folder of CamVid, for its quality")
    parser.add_argument("--split", default="train", help="split of CamVid")
    parser.add_argument("--every", type=int, default=7, help="take every so many frames of it")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    results: dict[str, Any] = {"times": [], "quality": {}}
    print("times in ms (medians); ratio of partition to components")
    print(
        f"{'image':<11} {'grid':<5} {'unkn.':>5} {'partition':>10} {'components':>10} "
        f"{'ratio':>6} {'best':>6} {'target':>7} {'post-proc.':>10} {'best':>7} {'target':>7}"
    )
    for shape in SIZES:
        for stride in (STRIDE, 2):
            for share in (1.0, 1 / 3):
                row = Case(shape, stride, share).measure(args.repeats)
                results["times"].append(row)
                print_times(row)
    maps = {"voronoi": voronoi_frames(12)}
    if args.camvid:
        maps[f"camvid {args.split}"] = camvid_frames(args.camvid, args.split, args.every)
    print(f"\nGQ_cluster in %, stride {STRIDE}, noise {NOISE}; by smallest true area in pixels")
    for name, frames in maps.items():
        found = results["quality"][name] = quality(frames, STRIDE)
        cells = "  ".join(f"{area}: {found[f'min_area_{area}']:.1f}" for area in MIN_AREAS)
        print(f"{name:<14} {len(frames):3} maps   {cells}", flush=True)
    if args.json:
        args.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
