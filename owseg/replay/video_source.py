"""A video file as a source, read with OpenCV."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from owseg.closing import Closing
from owseg.errors import InputError
from owseg.replay.samples import Sample
from owseg.types import Frame

VIDEO_SUFFIXES = (".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v")

_FIRST_STAMP_NS = 1_000_000_000
_DEFAULT_RATE_HZ = 30.0
_FRAME_ID = "camera"


class VideoSource(Closing):
    """Frames of a video, stamped by its frame rate from 1 s on; they carry no message.

    Args:
        path: the video file.

    Raises:
        InputError: missing, or not a video that OpenCV can open.
    """

    def __init__(self, path: Path) -> None:
        capture = _open(path)
        rate_hz = capture.get(cv2.CAP_PROP_FPS)
        count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        capture.release()
        self._path = path
        self._period_ns = round(1e9 / (rate_hz if rate_hz > 0 else _DEFAULT_RATE_HZ))
        self.name = path.name
        self.count: int | None = count if count > 0 else None
        self.description = f"{path}: video, {self.count or 'unknown number of'} frames"

    def __iter__(self) -> Iterator[Sample]:
        """Read from the beginning.

        Raises:
            InputError: the video has no frames that can be decoded.
        """
        capture = _open(self._path)
        try:
            index = 0
            start = time.perf_counter()
            while (read := capture.read())[0]:
                image = np.asarray(cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB), np.uint8)
                yield self._sample(index, image, (time.perf_counter() - start) * 1e3)
                index += 1
                start = time.perf_counter()
        finally:
            capture.release()
        if not index:
            raise InputError(f"{self._path} has no frames that can be decoded")

    def _sample(self, index: int, image: np.ndarray, decode_ms: float) -> Sample:
        stamp_ns = _FIRST_STAMP_NS + index * self._period_ns
        frame = Frame(image=image, stamp_ns=stamp_ns, frame_id=_FRAME_ID, index=index)
        return Sample(frame=frame, log_time_ns=stamp_ns, decode_ms=decode_ms)


def _open(path: Path) -> cv2.VideoCapture:
    if not path.exists():
        raise InputError(f"{path} does not exist; give a video file")
    capture = cv2.VideoCapture(str(path))
    if not capture.isOpened():
        raise InputError(f"{path} cannot be opened as a video; it is damaged or of another format")
    return capture
