"""What a camera's results are published as: results to messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from owseg.images import ImageFields, encode_image
from owseg.outputs import (
    DETECTIONS,
    IMAGES,
    LABELS,
    Detection,
    array_of,
    detections,
    label_names,
    label_threshold,
)
from owseg.types import ClassInfo, Result
from owseg_ros.hosts import Host
from owseg_ros.hosts.base import NS_PER_S, Message, Publisher
from owseg_ros.hosts.qos import LATCHED, LATEST
from owseg_ros.perception.detections import DETECTION_ARRAY, detection_array
from owseg_ros.perception.parameters import Settings
from owseg_ros.watchdog import RAW

LABEL_INFO = "vision_msgs/msg/LabelInfo"

Content = ImageFields | Sequence[Detection]
"""What a topic carries for a frame."""

_VISION_CLASS = "vision_msgs/msg/VisionClass"
_HEADER = "std_msgs/msg/Header"
_TIME = "builtin_interfaces/msg/Time"


def render(result: Result, settings: Settings, topics: Sequence[str]) -> dict[str, Content]:
    """Return what topics carry for a frame, in their order."""
    return {topic: _content(topic, result, settings.opacity) for topic in topics}


def _content(topic: str, result: Result, opacity: float) -> Content:
    if topic == DETECTIONS:
        return detections(result.objects or ())
    return encode_image(array_of(topic, result, opacity))


class CameraOutputs:
    """The publishers of one camera; used by one thread.

    Args:
        host: of the node.
        prefix: of the topics, "" or "<camera>/".

    Raises:
        UsageError: an invalid name or QoS override, or vision_msgs is missing.
    """

    def __init__(self, host: Host, prefix: str) -> None:
        self._host = host
        self._publishers: dict[str, Publisher] = {}
        self._labels = host.publisher(LABEL_INFO, prefix + LABELS, LATCHED)
        try:
            for topic in (*IMAGES, DETECTIONS):
                kind = DETECTION_ARRAY if topic == DETECTIONS else RAW
                self._publishers[topic] = host.publisher(kind, prefix + topic, LATEST)
        except BaseException:
            self.destroy()
            raise
        self._told: tuple[tuple[ClassInfo, ...], float] | None = None

    def wanted(self, settings: Settings) -> tuple[str, ...]:
        """Return the topics to publish: those that somebody listens to, unless all are."""
        return tuple(
            topic
            for topic, publisher in self._publishers.items()
            if not settings.lazy or publisher.subscribers
        )

    def label(
        self, classes: Sequence[ClassInfo], threshold: float, header: Message | None = None
    ) -> None:
        """Say what the ids of the next mask mean, unless everybody was told already.

        Args:
            classes: known and novel classes.
            threshold: on the scale of the published anomaly, 0..1.
            header: of the frame; by default the time of the node.
        """
        news = (tuple(classes), threshold)
        if news == self._told:
            return
        make = self._host.messages.make
        names = label_names(classes)
        sent = self._labels.publish(
            make(
                LABEL_INFO,
                header=self._now() if header is None else header,
                class_map=[make(_VISION_CLASS, class_id=i, class_name=name) for i, name in names],
                threshold=label_threshold(threshold),
            )
        )
        self._told = news if sent else None

    def publish(self, contents: Mapping[str, Content], header: Message) -> int:
        """Publish what one frame gave, each message with the header of the frame.

        Args:
            contents: by topic, as `render` makes them.
            header: of the image that came in.

        Returns:
            The number of messages that a slow subscriber kept from being sent.
        """
        unsent, messages = 0, self._host.messages
        for topic, content in contents.items():
            if isinstance(content, ImageFields):
                message = messages.make(RAW, header=header, **content._asdict())
            else:
                message = detection_array(messages, header, content)
            unsent += not self._publishers[topic].publish(message)
        return unsent

    def destroy(self) -> None:
        """Leave the topics."""
        for publisher in (*self._publishers.values(), self._labels):
            publisher.destroy()

    def _now(self) -> Message:
        make = self._host.messages.make
        sec, nanosec = divmod(self._host.clock.now_ns(), NS_PER_S)
        return make(_HEADER, stamp=make(_TIME, sec=sec, nanosec=nanosec))
