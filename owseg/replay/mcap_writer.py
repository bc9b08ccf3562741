"""Results as a recording: `output.mcap`, for Foxglove, RViz and `ros2 bag play`.

Masks and the overlay are stored raw, as the nodes publish them, in lz4 chunks. For a
480x360 frame that costs 0.3 ms in the main thread and 3 ms in the writer thread, for
0.9 MB. zstd takes 7 ms for 0.7 MB; png masks and a jpeg overlay take 5 ms and break the
topic contract.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from owseg.errors import UsageError
from owseg.images import encode_image
from owseg.outputs import (
    CLUSTERS,
    CONFIDENCE,
    DETECTIONS,
    LABELS,
    MASK,
    OVERLAY,
    PROBABILITY,
    cluster_mask,
    detections,
)
from owseg.replay.mcap_sink import McapSink
from owseg.replay.messages import DETECTIONS as DETECTION_ARRAY
from owseg.replay.messages import (
    IMAGE,
    LABEL_INFO,
    CdrMessage,
    Header,
    serialize_detections,
    serialize_image,
    serialize_label_info,
)
from owseg.types import ClassInfo, Result, UInt8Array

_TOPICS = (MASK, CONFIDENCE, LABELS, PROBABILITY, CLUSTERS, DETECTIONS, OVERLAY)


class McapWriter:
    """Writes results frame by frame; a frame is in the file as a whole or not at all.

    Use it as a context manager: leaving it, by an exception or Ctrl-C too, completes
    the file (see `mcap_sink`).

    Args:
        path: the file, e.g. DIR/output.mcap; an older one is replaced at the end.
        classes: what the ids of the mask mean; 255 "unknown" is added.
        namespace: prefix of all output topics.
        threshold: confidence below which a pixel is called unknown, 0..1.

    Raises:
        OutputError: the file cannot be created.
    """

    def __init__(
        self,
        path: Path,
        classes: Sequence[ClassInfo],
        *,
        namespace: str = "/",
        threshold: float = 0.5,
    ) -> None:
        self._classes = tuple(classes)
        self._threshold = threshold
        self._labels_are_due = True
        prefix = "/" + namespace.strip("/")
        self._topics = {name: f"{prefix.rstrip('/')}/{name}" for name in _TOPICS}
        self._sink = McapSink(path)

    def set_classes(self, classes: Sequence[ClassInfo]) -> None:
        """Change the classes; label_info is written again before the next mask."""
        self._classes = tuple(classes)
        self._labels_are_due = True

    def write(
        self,
        result: Result,
        *,
        confidence: UInt8Array | None = None,
        overlay: UInt8Array | None = None,
        message: CdrMessage | None = None,
    ) -> None:
        """Write all topics of one frame, with the header of the frame.

        Args:
            result: maps at the resolution of the frame; without tracked objects there are no
                detections.
            confidence: (H, W) uint8, 255 = certain.
            overlay: (H, W, 3) uint8 RGB.
            message: the input image as it came; its log time is used for all.

        Raises:
            OutputError: writing failed; what is complete can be recovered.
            UsageError: the input topic has the name of an output topic.
        """
        header = Header(result.frame.stamp_ns, result.frame.frame_id)
        log_time = header.stamp_ns if message is None else message.log_time_ns
        batch = [] if message is None else [self._checked(message)]
        if self._labels_are_due:
            info = serialize_label_info(header, self._classes, self._threshold)
            batch.append(CdrMessage(self._topics[LABELS], LABEL_INFO, info, log_time, latched=True))
        maps = {
            MASK: result.open_set,
            CONFIDENCE: confidence,
            PROBABILITY: result.anomaly,
            CLUSTERS: cluster_mask(result),
            OVERLAY: overlay,
        }
        for name, array in maps.items():
            if array is not None:
                data = serialize_image(header, encode_image(array))
                batch.append(CdrMessage(self._topics[name], IMAGE, data, log_time))
        if result.objects is not None:
            data = serialize_detections(header, detections(result.objects))
            batch.append(CdrMessage(self._topics[DETECTIONS], DETECTION_ARRAY, data, log_time))
        self._sink.write(batch)
        self._labels_are_due = False

    def _checked(self, message: CdrMessage) -> CdrMessage:
        if message.topic in self._topics.values():
            raise UsageError(
                f"the input topic {message.topic} has the name of an output topic; "
                "choose another namespace for the output"
            )
        return message

    def close(self) -> None:
        """Complete the file.

        Raises:
            OutputError: something could not be written.
        """
        self._sink.close()

    def __enter__(self) -> McapWriter:
        """Return the writer itself."""
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Complete the file, after an error too."""
        self._sink.__exit__(exc_type, exc, traceback)
