"""Pairing of images with ground truth by exact stamp, in bounded memory."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

ImageT = TypeVar("ImageT")
TruthT = TypeVar("TruthT")


@dataclass(slots=True)
class _Waiting(Generic[ImageT, TruthT]):
    stamp: int
    image: ImageT
    truth: TruthT | None = None


class StampPairer(Generic[ImageT, TruthT]):
    """Joins two streams by stamp; images leave in the order in which they came.

    Truth may come before or after its image. An image waits for its truth until
    `window` younger images wait behind it; truth waits for its image until `window`
    younger truths wait behind it. Equal stamps are joined in order of arrival.

    Attributes:
        paired: images that left with truth.
        without_truth: images that left without truth.
        without_image: truths that were dropped, because no image had their stamp.
    """

    def __init__(self, window: int) -> None:
        self.paired = 0
        self.without_truth = 0
        self.without_image = 0
        self._window = window
        self._images: deque[_Waiting[ImageT, TruthT]] = deque()
        self._truths: deque[tuple[int, TruthT]] = deque()

    def add_image(self, stamp: int, image: ImageT) -> list[tuple[ImageT, TruthT | None]]:
        """Take an image; returns the images that need not wait any longer."""
        waiting: _Waiting[ImageT, TruthT] = _Waiting(stamp, image)
        for position, (truth_stamp, truth) in enumerate(self._truths):
            if truth_stamp == stamp:
                waiting.truth = truth
                del self._truths[position]
                break
        self._images.append(waiting)
        return self._ready(self._window)

    def add_truth(self, stamp: int, truth: TruthT) -> list[tuple[ImageT, TruthT | None]]:
        """Take a truth; returns the images that need not wait any longer."""
        for waiting in self._images:
            if waiting.stamp == stamp and waiting.truth is None:
                waiting.truth = truth
                break
        else:
            self._truths.append((stamp, truth))
            if len(self._truths) > self._window:
                self._truths.popleft()
                self.without_image += 1
        return self._ready(self._window)

    def flush(self) -> list[tuple[ImageT, TruthT | None]]:
        """End of both streams; returns the rest."""
        self.without_image += len(self._truths)
        self._truths.clear()
        return self._ready(0)

    def _ready(self, keep: int) -> list[tuple[ImageT, TruthT | None]]:
        images, ready = self._images, []
        while images and (images[0].truth is not None or len(images) > keep):
            waiting = images.popleft()
            if waiting.truth is None:
                self.without_truth += 1
            else:
                self.paired += 1
            ready.append((waiting.image, waiting.truth))
        return ready
