"""A video device as a source that never ends, read with OpenCV."""

from __future__ import annotations

import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from owseg.closing import Closing
from owseg.errors import InputError
from owseg.replay.samples import Sample
from owseg.types import Frame


def is_device(path: Path) -> bool:
    """Whether a path is a video device, or is meant as one: /dev/video0."""
    if str(path).startswith("/dev/video"):
        return True
    return path.exists() and stat.S_ISCHR(path.stat().st_mode)


class DeviceSource(Closing):
    """Images of a video device, stamped when they were read.

    Args:
        path: of the device.
        rate_hz: images per second to ask for; 0 = what the device does by itself.
        now_ns: clock of the stamps.

    Raises:
        InputError: the device cannot be opened.
    """

    count: int | None = None

    def __init__(
        self, path: Path, rate_hz: float = 0.0, now_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._now_ns = now_ns
        self._capture = cv2.VideoCapture(str(path))
        if not self._capture.isOpened():
            self._capture.release()
            raise InputError(
                f"{path} cannot be opened as a camera; is it there (ls /dev/video*), in use by "
                "another program, and is the user in the group 'video'?"
            )
        if rate_hz:
            self._capture.set(cv2.CAP_PROP_FPS, rate_hz)
        self._path = path
        self.name = path.name
        self.description = f"{path}: video device"

    def __iter__(self) -> Iterator[Sample]:
        """Read on.

        Raises:
            InputError: the device gives no more images.
        """
        index = 0
        while True:
            start = time.perf_counter()
            is_read, bgr = self._capture.read()
            stamp_ns = self._now_ns()
            if not is_read:
                raise InputError(f"{self._path} gives no more images; was it unplugged?")
            image = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
            frame = Frame(image=image, stamp_ns=stamp_ns, frame_id="camera", index=index)
            elapsed = (time.perf_counter() - start) * 1e3
            yield Sample(frame=frame, log_time_ns=stamp_ns, decode_ms=elapsed)
            index += 1

    def close(self) -> None:
        """Let go of the device."""
        self._capture.release()
