"""Frame in, result out: resize, engine, class ids, grouping, back to camera resolution."""

from __future__ import annotations

import time
from collections.abc import Callable

import cv2
import numpy as np

from owseg.engines.base import Engine, PrototypeSlots
from owseg.errors import UsageError
from owseg.grouping import GROUPINGS
from owseg.types import ClassInfo, FloatArray, Frame, Result, UInt8Array

OUTPUTS = ("known", "anomaly", "open_set")


class Pipeline:
    """Turns frames into results with one engine.

    Args:
        engine: a loaded engine.
        threshold: anomaly threshold, 0..1; None = `operating_point`.
        operating_point: name of a threshold of the bundle; None = its default.
        grouping: name of a grouping in `owseg.grouping.GROUPINGS`.

    Raises:
        UsageError: threshold out of range, unknown grouping.
        BundleError: unknown operating point.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        threshold: float | None = None,
        operating_point: str | None = None,
        grouping: str = "components",
    ) -> None:
        if grouping not in GROUPINGS:
            raise UsageError(f"no grouping '{grouping}'; there are {', '.join(GROUPINGS)}")
        self.engine = engine
        self.manifest = engine.manifest
        self.prototypes = PrototypeSlots.empty(self.manifest)
        self._group = GROUPINGS[grouping]
        chosen = self.manifest.threshold(operating_point) if threshold is None else threshold
        self.threshold = chosen

    @property
    def threshold(self) -> float:
        """Anomaly scores above it are unknown; 0..1."""
        return self._threshold

    @threshold.setter
    def threshold(self, value: float) -> None:
        if not 0.0 <= value <= 1.0:
            raise UsageError(f"the anomaly threshold must be in 0..1, got {value}")
        self._threshold = float(value)

    @property
    def classes(self) -> tuple[ClassInfo, ...]:
        """The classes that can appear in `known`, in the order of their ids."""
        return self.manifest.classes

    def warm_up(self) -> None:
        """Run one black image, so that the first frame is as quick as the others."""
        shape = (self.manifest.height, self.manifest.width, 3)
        self.process(Frame(image=np.zeros(shape, np.uint8)))

    def process(self, frame: Frame) -> Result:
        """Run one frame.

        Returns:
            The result at the resolution of the frame; `timings_ms` has "inference"
            (resize, graph, resize back) and "grouping".
        """
        clock = _Stopwatch()
        image = self._fit(frame.image)
        arrays = self.engine.infer(image[None], self.prototypes, self._threshold, OUTPUTS)
        size = (frame.width, frame.height)
        known = _nearest(arrays["known"][0], size)
        open_set = _nearest(arrays["open_set"][0], size)
        anomaly = _linear(arrays["anomaly"][0], size)
        clock.lap("inference")
        clusters = self._group(open_set)
        clock.lap("grouping")
        return Result(
            frame=frame,
            known=known,
            anomaly=anomaly,
            open_set=open_set,
            clusters=clusters,
            timings_ms=clock.laps,
        )

    def _fit(self, image: UInt8Array) -> UInt8Array:
        """Resize to the input size of the network; the aspect ratio follows the network."""
        height, width = self.manifest.height, self.manifest.width
        if image.shape[:2] == (height, width):
            return np.ascontiguousarray(image)
        shrinks = image.shape[0] > height or image.shape[1] > width
        method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        return cv2.resize(image, (width, height), interpolation=method).astype(np.uint8, copy=False)


def _nearest(ids: np.ndarray, size: tuple[int, int]) -> UInt8Array:
    if ids.shape == (size[1], size[0]):
        return ids.astype(np.uint8, copy=False)
    resized = cv2.resize(ids, size, interpolation=cv2.INTER_NEAREST_EXACT)
    return resized.astype(np.uint8, copy=False)


def _linear(scores: np.ndarray, size: tuple[int, int]) -> FloatArray:
    scores = scores.astype(np.float32, copy=False)
    if scores.shape == (size[1], size[0]):
        return scores
    resized = cv2.resize(scores, size, interpolation=cv2.INTER_LINEAR)
    return resized.astype(np.float32, copy=False)


class _Stopwatch:
    """Milliseconds between laps."""

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self._now = now
        self._last = now()
        self.laps: dict[str, float] = {}

    def lap(self, name: str) -> None:
        """Store the time since the last lap."""
        current = self._now()
        self.laps[name] = (current - self._last) * 1e3
        self._last = current
