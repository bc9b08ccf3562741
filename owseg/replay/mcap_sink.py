"""A thread that writes serialised messages into one mcap file.

Why a thread: a Ctrl-C raises KeyboardInterrupt at any line of the main thread. In the
middle of the mcap library that would leave a half-written record; here it cannot,
so everything handed over before stays readable. Compression also leaves the main thread.

The file grows as `NAME.part` and gets its name when it is complete, after an error or
Ctrl-C of the caller as well. A `.part` that stays behind (kill -9, full disk) can be
read after `mcap recover`.
"""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from mcap.writer import CompressionType, Writer

from owseg.errors import OutputError
from owseg.replay.messages import CdrMessage, schema

_CHUNK_BYTES = 1 << 20
_QUEUED_BATCHES = 4


class McapSink:
    """Writes batches of messages; a batch is in the file as a whole or not at all.

    Args:
        path: the file to make; folders are created, an older file is replaced at the end.

    Raises:
        OutputError: the file cannot be created.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._part = path.with_name(path.name + ".part")
        self._error: Exception | None = None
        self._closed = False
        # SimpleQueue, since an interrupt inside queue.Queue can leave its lock taken for ever;
        # a batch may enter for each credit, which bounds the memory.
        self._batches: queue.SimpleQueue[Sequence[CdrMessage] | None] = queue.SimpleQueue()
        self._credits: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(_QUEUED_BATCHES):
            self._credits.put(None)
        stream = _create(path, self._part)
        self._thread = threading.Thread(
            target=self._run, args=(stream,), name="mcap-writer", daemon=True
        )
        self._thread.start()

    def write(self, batch: Sequence[CdrMessage]) -> None:
        """Hand over messages; waits while the writer is several batches behind.

        The data must not be changed afterwards.

        Raises:
            OutputError: writing failed, now or for an earlier batch.
        """
        if self._closed:
            raise OutputError(f"{self.path} is closed already")
        self._check()
        self._credits.get()
        self._batches.put(batch)

    def close(self) -> None:
        """Write the index and give the file its name; closing twice is fine.

        Raises:
            OutputError: something could not be written; the `.part` file remains.
        """
        if self._closed:
            return
        self._closed = True
        self._batches.put(None)
        self._thread.join()
        self._check()
        try:
            self._part.replace(self.path)
        except OSError as err:
            raise OutputError(
                f"{self._part} cannot be renamed to {self.path.name}: {_reason(err)}"
            ) from err

    def __enter__(self) -> McapSink:
        """Return the sink itself."""
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close; an error of the caller is not replaced by one of closing."""
        try:
            self.close()
        except OutputError:
            if exc_type is None:
                raise

    def _check(self) -> None:
        if self._error is not None:
            raise OutputError(
                f"{self.path} cannot be written: {_reason(self._error)}; free some space and run "
                f"again, or read what there is with `mcap recover {self._part} -o {self.path}`"
            ) from self._error

    def _run(self, stream: IO[bytes]) -> None:
        """Write until the end mark; after an error drain the queue, so that nobody waits."""
        batches = iter(self._batches.get, None)
        try:
            with stream:
                recording = _Recording(stream)
                for batch in batches:
                    recording.add(batch)
                    self._credits.put(None)
                recording.finish()
        except Exception as err:
            self._error = err
            self._credits.put(None)
            for _ in batches:
                self._credits.put(None)


class _Recording:
    """One mcap file in the layout of rosbag2: profile ros2, ros2msg schemas, CDR."""

    def __init__(self, stream: IO[bytes]) -> None:
        # lz4: on these topics zstd takes twice the time for a file smaller by a fifth.
        self._writer: Any = Writer(stream, chunk_size=_CHUNK_BYTES, compression=CompressionType.LZ4)
        self._writer.start(profile="ros2", library="owseg")
        self._writer.add_metadata("rosbag2", {"serialized_metadata": _bag_metadata()})
        self._schemas: dict[str, int] = {}
        self._channels: dict[tuple[str, str], int] = {}
        self._sequence = 0

    def add(self, batch: Sequence[CdrMessage]) -> None:
        for message in batch:
            channel = self._channels.get((message.topic, message.msgtype))
            if channel is None:
                channel = self._add_channel(message)
            self._sequence += 1
            self._writer.add_message(
                channel,
                log_time=message.log_time_ns,
                data=message.data,
                publish_time=message.log_time_ns,
                sequence=self._sequence,
            )

    def _add_channel(self, message: CdrMessage) -> int:
        definition, type_hash = schema(message.msgtype)
        if message.msgtype not in self._schemas:
            self._schemas[message.msgtype] = self._writer.register_schema(
                message.msgtype, "ros2msg", definition.encode()
            )
        metadata = {"offered_qos_profiles": _qos(message.latched), "topic_type_hash": type_hash}
        channel: int = self._writer.register_channel(
            message.topic, "cdr", self._schemas[message.msgtype], metadata
        )
        self._channels[message.topic, message.msgtype] = channel
        return channel

    def finish(self) -> None:
        self._writer.finish()


def _create(path: Path, part: Path) -> IO[bytes]:
    if path.is_dir():
        raise OutputError(f"{path} is a folder; remove it or choose another place")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return part.open("wb")
    except OSError as err:
        raise OutputError(f"{path} cannot be created: {_reason(err)}") from err


def _reason(err: Exception) -> str:
    return (err.strerror if isinstance(err, OSError) else None) or str(err) or type(err).__name__


def _qos(latched: bool) -> str:
    """Offered QoS (reliable, depth 1) as YAML; the numbers are those of rmw, read by all distros.

    rosbag2 reads numbers where the file says version 8, and words from version 9 on.
    """
    unset = {"sec": 0, "nsec": 0}
    profile = {
        "history": 1,
        "depth": 1,
        "reliability": 1,
        "durability": 1 if latched else 2,
        "deadline": unset,
        "lifespan": unset,
        "liveliness": 1,
        "liveliness_lease_duration": unset,
        "avoid_ros_namespace_conventions": False,
    }
    return json.dumps([profile])


def _bag_metadata() -> str:
    """State the metadata version; rosbag2 fills the rest in from the statistics of the file."""
    metadata = {
        "version": 8,
        "storage_identifier": "mcap",
        "relative_file_paths": [],
        "duration": {"nanoseconds": 0},
        "starting_time": {"nanoseconds_since_epoch": 0},
        "message_count": 0,
        "topics_with_message_count": [],
        "compression_format": "",
        "compression_mode": "",
        "files": [],
        "custom_data": {},
        "ros_distro": "",
    }
    return json.dumps(metadata)
