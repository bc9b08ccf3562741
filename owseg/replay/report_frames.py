"""The choice of the frames that a report shows, in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2

from owseg.datasets.truth_map import Truth
from owseg.render import quantise
from owseg.types import Result, UInt8Array, UInt16Array

MAX_PIXELS = 640 * 480
"""A shot is scaled down to so many pixels."""

TRUTH_ANOMALY = 254
"""Id of anomalies in `Shot.truth`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shot:
    """A small copy of one frame and of what the pipeline says about it.

    Attributes:
        position: number of the frame within the drive, from 0.
        stamp_ns: its stamp.
        objects: unknown objects in the frame.
        unknown_share: share of unknown pixels, 0..1.
        image: (h, w, 3) uint8 RGB, at most `MAX_PIXELS` pixels.
        open_set: (h, w) uint8, 255 = unknown.
        anomaly: (h, w) uint8, 255 = score 1.
        clusters: (h, w) uint16, 0 = not unknown.
        truth: (h, w) uint8, class id, 254 = anomaly, 255 = ignore; None without truth.
    """

    position: int
    stamp_ns: int
    objects: int
    unknown_share: float
    image: UInt8Array
    open_set: UInt8Array
    anomaly: UInt8Array
    clusters: UInt16Array
    truth: UInt8Array | None


class FrameKeeper:
    """Keeps frames spread evenly over a drive of any length, and those with most unknown pixels.

    Args:
        even: largest number of evenly spread frames; a long drive has half to all of it.
        peaks: largest number of frames with most unknown pixels. They lie at least as far
            apart as the even ones do, so that one event does not take all places.
    """

    def __init__(self, even: int = 24, peaks: int = 6) -> None:
        self._max_even = even
        self._max_peaks = peaks
        self._stride = 1
        self._frames = 0
        self._even: list[Shot] = []
        self._peaks: list[Shot] = []

    def add(self, result: Result, unknown_share: float, truth: Truth | None = None) -> None:
        """Look at one frame, and copy it if it is to be kept for now."""
        position = self._frames
        self._frames += 1
        even = position % self._stride == 0
        peak = self._is_peak(position, unknown_share)
        if not (even or peak):
            return
        shot = take_shot(result, position, unknown_share, truth)
        if peak:
            self._add_peak(shot)
        if even:
            self._add_even(shot)

    def shots(self) -> list[Shot]:
        """Return the frames kept, in order, each once."""
        by_position = {shot.position: shot for shot in (*self._even, *self._peaks)}
        return [by_position[position] for position in sorted(by_position)]

    def peaks(self) -> list[int]:
        """Return the positions of the frames with most unknown pixels, the highest share first."""
        ranked = sorted(self._peaks, key=lambda shot: (-shot.unknown_share, shot.position))
        return [shot.position for shot in ranked]

    def _add_even(self, shot: Shot) -> None:
        self._even.append(shot)
        if len(self._even) > self._max_even:
            self._stride *= 2
            self._even = [s for s in self._even if s.position % self._stride == 0]
            self._spread_peaks()

    def _is_peak(self, position: int, share: float) -> bool:
        if share <= 0.0:
            return False
        near = [p.unknown_share for p in self._peaks if position - p.position < self._stride]
        if near:
            return share > max(near)
        return len(self._peaks) < self._max_peaks or share > self._lowest().unknown_share

    def _add_peak(self, shot: Shot) -> None:
        apart = [p for p in self._peaks if shot.position - p.position >= self._stride]
        self._peaks = [*apart, shot]
        if len(self._peaks) > self._max_peaks:
            self._peaks.remove(self._lowest())

    def _lowest(self) -> Shot:
        return min(self._peaks, key=lambda shot: shot.unknown_share)

    def _spread_peaks(self) -> None:
        """Drop peaks that are too close to a higher one, after the stride has grown."""
        kept: list[Shot] = []
        for shot in sorted(self._peaks, key=lambda p: -p.unknown_share):
            if all(abs(shot.position - other.position) >= self._stride for other in kept):
                kept.append(shot)
        self._peaks = kept


def take_shot(
    result: Result, position: int, unknown_share: float, truth: Truth | None = None
) -> Shot:
    """Copy and scale down one frame.

    Args:
        result: what the pipeline says.
        position: number of the frame within the drive.
        unknown_share: share of unknown pixels, 0..1.
        truth: its ground truth.
    """
    size = _small_size(result.frame.width, result.frame.height)
    return Shot(
        position=position,
        stamp_ns=result.frame.stamp_ns,
        objects=result.num_clusters,
        unknown_share=unknown_share,
        image=_scaled(result.frame.image, size, cv2.INTER_AREA),
        open_set=_scaled(result.open_set, size),
        anomaly=_scaled(quantise(result.anomaly), size, cv2.INTER_AREA),
        clusters=_scaled(result.clusters, size),
        truth=None if truth is None else _scaled(_flat_truth(truth), size),
    )


def _flat_truth(truth: Truth) -> UInt8Array:
    """Class ids and anomalies in one map; a new array."""
    flat: UInt8Array = truth.known.copy()
    flat[truth.anomaly & truth.valid] = TRUTH_ANOMALY
    return flat


def _small_size(width: int, height: int) -> tuple[int, int]:
    """(width, height) with the same aspect and at most `MAX_PIXELS` pixels."""
    scale = min(1.0, (MAX_PIXELS / (width * height)) ** 0.5)
    return max(1, int(width * scale)), max(1, int(height * scale))


def _scaled(
    array: UInt8Array | UInt16Array, size: tuple[int, int], method: int = cv2.INTER_NEAREST
) -> Any:
    """Scale, or copy where the size fits: the pipeline may reuse its arrays."""
    if (array.shape[1], array.shape[0]) == size:
        return array.copy()
    return cv2.resize(array, size, interpolation=method)
