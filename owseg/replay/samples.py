"""What a replay source yields, and the interface that all sources share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from owseg.images import LabelMap
from owseg.replay.messages import CdrMessage
from owseg.types import Frame


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One camera image of a source, with what belongs to it.

    Attributes:
        frame: the decoded image; its index counts from 0 within the source.
        truth: (H, W) label ids of the same stamp, or None where there are none.
        message: the image as a message, for copying into a recording, as it was in
            the bag; None where the source has no such message (video).
        log_time_ns: when it was recorded, nanoseconds since the epoch.
        decode_ms: time spent on parsing and decoding the image.
    """

    frame: Frame
    truth: LabelMap | None = None
    message: CdrMessage | None = None
    log_time_ns: int = 0
    decode_ms: float = 0.0


class Source(Protocol):
    """A finite stream of images: a bag, a folder, a video.

    Open from construction until `close`. Each iteration starts at the beginning.

    Attributes:
        name: short name for reports, e.g. the file name.
        description: one line for people: what is read, how many, from which topic.
    """

    name: str
    description: str

    @property
    def count(self) -> int | None:
        """Number of images, None where it is not known."""

    def __iter__(self) -> Iterator[Sample]:
        """Read from the beginning; raises InputError at the first thing that is not readable."""

    def close(self) -> None:
        """Release files."""

    def __enter__(self) -> Source:
        """Return the source itself."""

    def __exit__(self, *error: object) -> None:
        """Close."""
