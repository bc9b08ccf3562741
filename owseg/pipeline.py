"""Frame in, result out: resize, engine, class ids, grouping, back to camera resolution."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import TypeVar

import cv2
import numpy as np

from owseg.calibration.table import CalibrationTable
from owseg.engines.base import Engine, Outputs, PrototypeSlots
from owseg.engines.compact import SCORES, widen
from owseg.errors import EngineError, PrototypeError, UsageError
from owseg.grouping import GROUPINGS, ClusterTracker
from owseg.grouping.small import too_small, without
from owseg.manifest import Manifest
from owseg.meta.model import ObjectJudge
from owseg.prototypes.classes import PrototypeSet
from owseg.resize import fit_image
from owseg.types import (
    UNKNOWN_ID,
    ClassInfo,
    Cluster,
    FloatArray,
    Frame,
    Result,
    UInt8Array,
    UInt16Array,
)

Ids = TypeVar("Ids", UInt8Array, UInt16Array)

DIRECTION = "direction"


class Pipeline:
    """Turns frames into results with one engine.

    Novel classes can be swapped at any time by `set_prototypes`, from any thread: each
    frame is processed with one whole set, and its result says which classes that had.

    Args:
        engine: a loaded engine.
        threshold: anomaly threshold, 0..1; None = `operating_point`.
        operating_point: name of a threshold of the bundle; None = its default.
        grouping: name of a grouping in `owseg.grouping.GROUPINGS`.
        score: type in which scores leave a GPU, a name in `owseg.engines.compact.SCORES`;
            "uint8" is a quarter of the bytes, and rounds to steps of 1/255.
        calibrated: give the probability of anomaly in place of the anomaly score, by the map
            of the bundle; what is unknown is decided by the score all the same.
        meta: judges the unknown objects; the pixels of false alarms become known again. None =
            all objects stay.
        min_object: smallest unknown object as a share of the image, 0..1; pixels of smaller ones,
            and unknown pixels of no object, become known again. 0 = all stay.

    Raises:
        UsageError: threshold or smallest object out of range, unknown grouping or type of
            scores, no map in the bundle, or a meta classifier for other classes.
        BundleError: unknown operating point.
        MissingDependencyError: the grouping needs a package that is not installed.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        threshold: float | None = None,
        operating_point: str | None = None,
        grouping: str = "components",
        score: str = "float32",
        calibrated: bool = False,
        meta: ObjectJudge | None = None,
        min_object: float = 0.0,
    ) -> None:
        if not 0.0 <= min_object <= 1.0:
            raise UsageError(f"the smallest object must be a share in 0..1, got {min_object}")
        self._min_object = float(min_object)
        if score not in SCORES:
            raise UsageError(f"no type of scores '{score}'; there are {', '.join(SCORES)}")
        self._score, self._score_type = SCORES[score], score
        if grouping not in GROUPINGS:
            raise UsageError(f"no grouping '{grouping}'; there are {', '.join(GROUPINGS)}")
        self.engine = engine
        self.manifest = engine.manifest
        self._calibration = _calibration(engine.manifest) if calibrated else None
        if meta is not None:
            meta.check(engine.manifest)
        self._meta = meta
        self._active = _lay_out(PrototypeSet(), engine)
        self._group = GROUPINGS[grouping](engine.manifest.stride)
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
    def published_threshold(self) -> float:
        """The threshold on the scale of `Result.anomaly`."""
        calibration = self._calibration
        return self._threshold if calibration is None else calibration.at(self._threshold)

    @property
    def score_type(self) -> str:
        """Type in which scores leave a GPU, a name in `SCORES`."""
        return self._score_type

    @property
    def calibration(self) -> CalibrationTable | None:
        """The map that makes `Result.anomaly` a probability; None = it is the score."""
        return self._calibration

    @property
    def calibrated(self) -> bool:
        """Whether `Result.anomaly` is a probability."""
        return self._calibration is not None

    @property
    def min_object(self) -> float:
        """Smallest unknown object as a share of the image; 0 = all stay."""
        return self._min_object

    @property
    def meta(self) -> ObjectJudge | None:
        """What judges the unknown objects."""
        return self._meta

    @property
    def drops_objects(self) -> bool:
        """Whether unknown objects may become known again; then `open_set` needs grouping."""
        return self._meta is not None or self._min_object > 0

    @property
    def classes(self) -> tuple[ClassInfo, ...]:
        """The classes that can appear in `known`, in the order of their ids."""
        return self._active.classes

    @property
    def prototypes(self) -> PrototypeSet:
        """The novel classes in use."""
        return self._active.prototypes

    def set_prototypes(self, prototypes: PrototypeSet) -> None:
        """Use other novel classes from the next frame on; a frame under way is not affected.

        Args:
            prototypes: the whole set; an empty one removes all novel classes.

        Raises:
            PrototypeError: they belong to another network, or do not fit its graph; the set
                in use stays.
        """
        self._active = _lay_out(prototypes, self.engine)

    def outputs(self, *, group: bool = True) -> tuple[str, ...]:
        """Return the outputs of the engine that a frame needs, with or without grouping."""
        asked = group and self._group.needs_direction
        return ("known", self._score, "open_set", *((DIRECTION,) if asked else ()))

    def warm_up(self) -> None:
        """Run one black image, so that the first frame is as quick as the others."""
        self._group.warm_up()
        if self._calibration is not None:
            self._calibration.warm_up()
        shape = (self.manifest.height, self.manifest.width, 3)
        self.process(Frame(image=np.zeros(shape, np.uint8)))

    def process(
        self,
        frame: Frame,
        *,
        group: bool = True,
        tracker: ClusterTracker | None = None,
        partition: bool = False,
    ) -> Result:
        """Run one frame.

        Args:
            frame: the frame.
            group: whether to look for unknown objects; False leaves `clusters` 0.
            tracker: gives the objects ids that stay; that of the camera of the frame. None =
                each frame has ids of its own.
            partition: whether to group all pixels too, for the evaluation of groupings by
                direction; the others leave `Result.partition` None.

        Returns:
            The result at the resolution of the frame; `timings_ms` has "inference"
            (resize, graph, resize back) and "grouping".
        """
        clock = _Stopwatch()
        active = self._active
        image = fit_image(frame.image, self.manifest)
        partition = partition and self._group.needs_direction
        outputs = self.outputs(group=group or partition)
        arrays = self.engine.infer(image[None], active.slots, self._threshold, outputs)
        arrays["anomaly"] = widen(arrays[self._score])
        size = (frame.width, frame.height)
        known = _nearest(_bytes(active.translate(arrays["known"][0])), size)
        small = _bytes(active.translate(arrays["open_set"][0]))
        open_set = _nearest(small, size)
        scores = self._scores(arrays)
        anomaly = _linear(scores, size)
        clock.lap("inference")
        clusters, objects = np.zeros_like(open_set, np.uint16), None
        if group:
            ids = self._grouped(small, open_set, arrays)
            if self.drops_objects:
                little = _bytes(active.translate(arrays["known"][0]))
                ids, open_set = self._without_false(ids, open_set, known, little, arrays)
            clusters, objects = _objects(ids, open_set.shape, scores, anomaly, tracker)
        clock.lap("grouping")
        return Result(
            frame=frame,
            known=known,
            anomaly=anomaly,
            open_set=open_set,
            clusters=clusters,
            timings_ms=clock.laps,
            classes=active.classes,
            objects=objects,
            partition=self._partition(small, arrays, size) if partition else None,
        )

    def _scores(self, arrays: Outputs) -> FloatArray:
        """Return the anomaly score of the first image, or the probability that it stands for."""
        scores = arrays["anomaly"][0].astype(np.float32, copy=False)
        return scores if self._calibration is None else self._calibration.apply(scores)

    def _grouped(self, small: UInt8Array, open_set: UInt8Array, arrays: Outputs) -> UInt16Array:
        """Group where there are fewer pixels; ids are enlarged afterwards as classes are.

        Neighbours stay neighbours in an enlarged map, and areas are shares of the image, so
        that both ways find the same objects. A map that shrinks might lose some: it is
        grouped afterwards, unless a field at the resolution of the network is needed.

        Args:
            small: (height, width) class ids at the resolution of the network.
            open_set: (H, W) the same at the resolution of the frame.
            arrays: of the graph.

        Returns:
            Cluster ids at the one or the other resolution.
        """
        shrinks = any(big < few for big, few in zip(open_set.shape, small.shape, strict=True))
        if shrinks and not self._group.needs_direction:
            return self._group(open_set)
        return self._group(small, _direction(arrays))

    def _without_false(
        self,
        ids: UInt16Array,
        open_set: UInt8Array,
        known: UInt8Array,
        small_known: UInt8Array,
        arrays: Outputs,
    ) -> tuple[UInt16Array, UInt8Array]:
        """Take out what is too small, and what the meta classifier calls a false alarm.

        Args:
            ids: cluster ids at the resolution of the network, or of the frame.
            open_set: (H, W) class ids, 255 = unknown.
            known: (H, W) best known classes.
            small_known: (height, width) the same at the resolution of the network.
            arrays: of the graph.

        Returns:
            Cluster ids without gaps, and the class ids.
        """
        height, width = open_set.shape
        gone = np.zeros(int(ids.max(initial=0)) + 1, np.bool_)
        if self._min_object:
            gone = too_small(ids, ceil(self._min_object * ids.size))
        if self._meta is not None:
            classes = small_known if ids.shape == small_known.shape else known
            scores = _linear(arrays["anomaly"][0], (ids.shape[1], ids.shape[0]))
            gone |= self._meta.false_alarms(ids, scores, classes)
        if not gone.any():
            return ids, open_set
        dropped = _nearest(gone[ids].astype(np.uint8), (width, height))
        return without(ids, gone), np.where(dropped > 0, known, open_set)

    def _partition(self, small: UInt8Array, arrays: Outputs, size: tuple[int, int]) -> UInt16Array:
        """Group all pixels, whatever their class."""
        everything = np.full_like(small, UNKNOWN_ID)
        return _nearest(self._group(everything, _direction(arrays)), size)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Active:
    """A set of novel classes, ready for the graph. Replaced as a whole, by one assignment.

    Attributes:
        prototypes: the set.
        slots: its vectors in the slots of the graph.
        table: (256,) uint8 from values of the graph to class ids; None = no novel class.
        classes: known and novel classes, in the order of their ids.
    """

    prototypes: PrototypeSet
    slots: PrototypeSlots
    table: UInt8Array | None
    classes: tuple[ClassInfo, ...]

    def translate(self, values: np.ndarray) -> np.ndarray:
        """Turn slots into the ids of the classes that own them; costs nothing without any."""
        return values if self.table is None else cv2.LUT(values, self.table)


def _lay_out(prototypes: PrototypeSet, engine: Engine) -> _Active:
    manifest = engine.manifest
    if prototypes.classes and prototypes.space != engine.space:
        raise PrototypeError(
            f"the novel classes belong to model {prototypes.space[:12] or '(unknown)'}, not to "
            f"'{manifest.name}' ({engine.space[:12]}): prototypes of one network mean nothing to "
            "another; use that model, or learn them again with this one"
        )
    slots, table = prototypes.slots(manifest)
    try:
        slots.check(manifest)
    except EngineError as error:
        raise PrototypeError(f"the novel classes cannot be used: {error}") from error
    return _Active(
        prototypes=prototypes,
        slots=slots,
        table=table if prototypes.classes else None,
        classes=(*manifest.classes, *(item.info for item in prototypes.classes)),
    )


def _objects(
    ids: UInt16Array,
    shape: tuple[int, ...],
    small_scores: FloatArray,
    scores: FloatArray,
    tracker: ClusterTracker | None,
) -> tuple[UInt16Array, tuple[Cluster, ...] | None]:
    """Enlarge cluster ids to the frame, and follow the objects.

    Args:
        ids: at the resolution of the network, or of the frame.
        shape: (H, W) of the frame.
        small_scores: (height, width) anomaly score at the resolution of the network.
        scores: (H, W) the same at the resolution of the frame.
        tracker: of the camera.

    Returns:
        (H, W) cluster ids, and the objects, None without a tracker.
    """
    height, width = shape
    if tracker is None:
        return _nearest(ids, (width, height)), None
    fitting = small_scores if ids.shape == small_scores.shape else scores
    return tracker.update(ids, fitting, (height, width))


def _calibration(manifest: Manifest) -> CalibrationTable:
    if manifest.calibration is None:
        raise UsageError(
            f"model '{manifest.name}' has no calibration; fit one with 'owseg calibrate', or "
            "leave the anomaly score as it is"
        )
    return manifest.calibration


def _direction(arrays: Outputs) -> FloatArray | None:
    """Return the field (2, h, w) of the first image, where it was asked for."""
    field = arrays.get(DIRECTION)
    return None if field is None else field[0].astype(np.float32, copy=False)


def _bytes(ids: np.ndarray) -> UInt8Array:
    return ids.astype(np.uint8, copy=False)


def _nearest(ids: Ids, size: tuple[int, int]) -> Ids:
    if ids.shape == (size[1], size[0]):
        return ids
    resized = cv2.resize(ids, size, interpolation=cv2.INTER_NEAREST_EXACT)
    return resized.astype(ids.dtype, copy=False)


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
