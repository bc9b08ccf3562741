"""A ROS 2 recording as a source of images: rosbag2 folder, .mcap or .db3.

The file is read chunk by chunk; memory does not grow with the length of the bag.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from rosbags.interfaces import Connection
from rosbags.rosbag2 import Reader

from owseg import images
from owseg.closing import Closing
from owseg.errors import BagError, ImageError, UsageError
from owseg.replay.bag_files import resolve_bag
from owseg.replay.messages import COMPRESSED_IMAGE, IMAGE, CdrMessage, deserialize, header_of
from owseg.replay.pairing import StampPairer
from owseg.replay.samples import Sample
from owseg.types import Frame, UInt8Array

_DECODERS: dict[str, Callable[[Any], UInt8Array]] = {
    IMAGE: images.decode_image,
    COMPRESSED_IMAGE: images.decode_compressed,
}
_LABEL_DECODERS: dict[str, Callable[[Any], images.LabelMap]] = {
    IMAGE: images.decode_label_image,
    COMPRESSED_IMAGE: images.decode_label_compressed,
}

_PAIRING_WINDOW = 16


class TopicInfo(NamedTuple):
    """A topic of a recording: its type and number of messages."""

    msgtype: str
    messages: int


@dataclass(slots=True)
class _Message:
    """A parsed, not yet decoded image message; its arrays are views of `cdr.data`."""

    index: int
    cdr: CdrMessage
    parsed: Any
    stamp_ns: int
    frame_id: str
    parse_ms: float


class BagSource(Closing):
    """Images of one topic of a recording, in the order of the recording.

    Attributes:
        name: name of the file or folder.
        description: path, topic and number of images.
        topic: the image topic that is read.
        paired: images with ground truth, so far.
        without_truth: images without ground truth, so far (counted with a truth topic only).
        truth_without_image: ground truth that no image had the stamp of, so far.

    Args:
        path: rosbag2 folder, .mcap or .db3.
        topic: the image topic; else the only one, or the only one in colour.
        truth_topic: topic of label images, paired by exact header stamp.

    Raises:
        BagError: not a readable recording, no such topic, or a choice of topics.
        UsageError: one topic is given for both.
    """

    def __init__(
        self, path: Path, *, topic: str | None = None, truth_topic: str | None = None
    ) -> None:
        if topic is not None and topic == truth_topic:
            raise UsageError(f"{topic} cannot be both the images and their truth; name two topics")
        self.name = path.name or path.resolve().name
        self.paired = self.without_truth = self.truth_without_image = 0
        self._path = path
        self._reader = _open(resolve_bag(path), path)
        try:
            self.topics = _topics(self._reader)
            if truth_topic is not None:
                _check_topic(path, self.topics, truth_topic)
            self.topic = topic or self._only_topic(truth_topic)
            _check_topic(path, self.topics, self.topic)
        except BaseException:
            self.close()
            raise
        self._truth_topic = truth_topic
        self.count: int | None = self.topics[self.topic].messages
        self.description = f"{path}: {self.topic}, {self.count} images"

    def _only_topic(self, truth_topic: str | None) -> str:
        """Find the image topic that needs no naming."""
        candidates = {
            name: info
            for name, info in self.topics.items()
            if info.msgtype in _DECODERS and info.messages and name != truth_topic
        }
        if len(candidates) > 1:
            coloured = {name: info for name, info in candidates.items() if self._has_colour(name)}
            candidates = coloured if len(coloured) == 1 else candidates
        if not candidates:
            raise BagError(
                f"{self._path} has no images: no topic of type {IMAGE} or {COMPRESSED_IMAGE} "
                f"with messages; it holds {_table(self.topics)}"
            )
        if len(candidates) > 1:
            raise BagError(
                f"{self._path} has {len(candidates)} image topics; choose one with --topic: "
                f"{_table(candidates)}"
            )
        return next(iter(candidates))

    def _has_colour(self, topic: str) -> bool:
        """Look at the first message: labels, depth and grey do not count as a colour camera."""
        connections = _connections(self._reader, topic)
        for connection, _, data in _messages(self._reader, connections, self._path):
            try:
                message = deserialize(data, connection.msgtype)
            except ImageError:
                return True  # reading reports it, with its place
            encoding = getattr(message, "encoding", "") or message.format.split(";")[0].strip()
            return encoding not in (*images.LABEL_ENCODINGS, "32FC1")
        return False

    def __iter__(self) -> Iterator[Sample]:
        """Read from the beginning.

        Raises:
            BagError: the recording is damaged, or gives fewer images than it announces.
            ImageError: a message cannot be decoded; names topic, index and stamp.
        """
        pairer: StampPairer[_Message, _Message] = StampPairer(_PAIRING_WINDOW)
        counts = {self.topic: 0, self._truth_topic: 0}
        topics = [name for name in (self.topic, self._truth_topic) if name is not None]
        connections = _connections(self._reader, *topics)
        for connection, log_time, data in _messages(self._reader, connections, self._path):
            topic = connection.topic
            message = self._parse(connection, counts[topic], log_time, data)
            counts[topic] += 1
            if self._truth_topic is None:
                yield self._decode(message, None)
                continue
            add = pairer.add_image if topic == self.topic else pairer.add_truth
            yield from self._decode_all(pairer, add(message.stamp_ns, message))
        yield from self._decode_all(pairer, pairer.flush())
        self._check_complete(counts[self.topic])

    def _decode_all(
        self,
        pairer: StampPairer[_Message, _Message],
        ready: list[tuple[_Message, _Message | None]],
    ) -> Iterator[Sample]:
        self.paired, self.without_truth = pairer.paired, pairer.without_truth
        self.truth_without_image = pairer.without_image
        for message, truth in ready:
            yield self._decode(message, truth)

    def _check_complete(self, found: int) -> None:
        if self.count is not None and found < self.count:
            raise BagError(
                f"{self._path} announces {self.count} messages on {self.topic}, only {found} could "
                "be read; rebuild its index with `ros2 bag reindex` or `mcap recover`"
            )

    def _parse(self, connection: Connection, index: int, log_time: int, data: bytes) -> _Message:
        start = time.perf_counter()
        try:
            parsed = deserialize(data, connection.msgtype)
        except ImageError as err:
            raise ImageError(
                f"{self._path}: message {index} of {connection.topic} (recorded at "
                f"{_seconds(log_time)}): {err}"
            ) from err
        stamp_ns, frame_id = header_of(parsed)
        cdr = CdrMessage(connection.topic, connection.msgtype, data, log_time)
        elapsed = (time.perf_counter() - start) * 1e3
        return _Message(index, cdr, parsed, stamp_ns, frame_id, elapsed)

    def _decode(self, message: _Message, truth: _Message | None) -> Sample:
        start = time.perf_counter()
        image = self._decode_with(_DECODERS, message)
        decode_ms = message.parse_ms + (time.perf_counter() - start) * 1e3
        labels = None if truth is None else self._decode_with(_LABEL_DECODERS, truth)
        frame = Frame(
            image=image,
            stamp_ns=message.stamp_ns,
            frame_id=message.frame_id,
            index=message.index,
        )
        return Sample(
            frame=frame,
            truth=labels,
            message=message.cdr,
            log_time_ns=message.cdr.log_time_ns,
            decode_ms=decode_ms,
        )

    def _decode_with(self, decoders: Mapping[str, Callable[[Any], Any]], message: _Message) -> Any:
        try:
            return decoders[message.cdr.msgtype](message.parsed)
        except ImageError as err:
            raise ImageError(
                f"{self._path}: message {message.index} of {message.cdr.topic} (stamp "
                f"{_seconds(message.stamp_ns)}): {err}"
            ) from err

    def close(self) -> None:
        """Close the files; closing twice is fine."""
        if self._reader.is_open:
            self._reader.close()


def _open(target: Path, path: Path) -> Reader:
    # The readers for damaged files raise many types (sqlite, struct, yaml, ...).
    try:
        reader = Reader(target)
        reader.open()
    except Exception as err:
        raise BagError(f"{path} cannot be opened as a ROS 2 recording: {_reason(err)}") from err
    return reader


def _messages(
    reader: Reader, connections: list[Connection], path: Path
) -> Iterator[tuple[Connection, int, bytes]]:
    try:
        yield from reader.messages(connections)
    except Exception as err:
        raise BagError(
            f"{path} is damaged, reading stopped: {_reason(err)}; try `mcap recover` (mcap) or "
            "`sqlite3 ... .recover` (db3)"
        ) from err


def _reason(err: Exception) -> str:
    return f"{type(err).__name__}: {' '.join(str(err).split())}"


def _connections(reader: Reader, *topics: str) -> list[Connection]:
    return [connection for connection in reader.connections if connection.topic in topics]


def _topics(reader: Reader) -> dict[str, TopicInfo]:
    topics: dict[str, TopicInfo] = {}
    for connection in sorted(reader.connections, key=lambda c: c.topic):
        count = topics[connection.topic].messages if connection.topic in topics else 0
        topics[connection.topic] = TopicInfo(connection.msgtype, count + connection.msgcount)
    return topics


def _check_topic(path: Path, topics: Mapping[str, TopicInfo], topic: str) -> None:
    info = topics.get(topic)
    if info is None:
        raise BagError(f"{path} has no topic {topic}; it holds {_table(topics)}")
    if info.msgtype not in _DECODERS:
        raise BagError(f"{path}: {topic} is a {info.msgtype}, not an image; {_table(topics)}")
    if not info.messages:
        raise BagError(f"{path}: {topic} has no messages; it holds {_table(topics)}")


def _table(topics: Mapping[str, TopicInfo]) -> str:
    rows = (f"{name} ({info.msgtype}, {info.messages})" for name, info in topics.items())
    return ", ".join(rows) or "no topics"


def _seconds(stamp_ns: int) -> str:
    return f"{stamp_ns // 1_000_000_000}.{stamp_ns % 1_000_000_000:09d}"
