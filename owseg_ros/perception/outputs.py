"""What a camera's results are published as: results to messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from owseg.images import ImageFields, encode_image
from owseg.outputs import IMAGES, LABELS, array_of, label_names, label_threshold
from owseg.types import ClassInfo, Result
from owseg_ros.hosts import Host
from owseg_ros.hosts.base import NS_PER_S, Message, Publisher
from owseg_ros.hosts.qos import LATCHED, LATEST
from owseg_ros.perception.parameters import Settings
from owseg_ros.watchdog import RAW

LABEL_INFO = "vision_msgs/msg/LabelInfo"

_VISION_CLASS = "vision_msgs/msg/VisionClass"
_HEADER = "std_msgs/msg/Header"
_TIME = "builtin_interfaces/msg/Time"


def render(result: Result, settings: Settings, topics: Sequence[str]) -> dict[str, ImageFields]:
    """Return what topics carry for a frame, in their order."""
    return {topic: encode_image(array_of(topic, result, settings.opacity)) for topic in topics}


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
        self._images: dict[str, Publisher] = {}
        self._labels = host.publisher(LABEL_INFO, prefix + LABELS, LATCHED)
        try:
            for topic in IMAGES:
                self._images[topic] = host.publisher(RAW, prefix + topic, LATEST)
        except BaseException:
            self.destroy()
            raise
        self._told: tuple[tuple[ClassInfo, ...], float] | None = None

    def wanted(self, settings: Settings) -> tuple[str, ...]:
        """Return the topics to publish: those that somebody listens to, unless all are."""
        return tuple(
            topic
            for topic, publisher in self._images.items()
            if not settings.lazy or publisher.subscribers
        )

    def label(
        self, classes: Sequence[ClassInfo], threshold: float, header: Message | None = None
    ) -> None:
        """Say what the ids of the next mask mean, unless everybody was told already.

        Args:
            classes: known and novel classes.
            threshold: of the anomaly score, 0..1.
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

    def publish(self, images: Mapping[str, ImageFields], header: Message) -> int:
        """Publish the images of one frame, each with the header of the frame.

        Args:
            images: by topic, as `render` makes them.
            header: of the image that came in.

        Returns:
            The number of messages that a slow subscriber kept from being sent.
        """
        make, unsent = self._host.messages.make, 0
        for topic, fields in images.items():
            message = make(RAW, header=header, **fields._asdict())
            unsent += not self._images[topic].publish(message)
        return unsent

    def destroy(self) -> None:
        """Leave the topics."""
        for publisher in (*self._images.values(), self._labels):
            publisher.destroy()

    def _now(self) -> Message:
        make = self._host.messages.make
        sec, nanosec = divmod(self._host.clock.now_ns(), NS_PER_S)
        return make(_HEADER, stamp=make(_TIME, sec=sec, nanosec=nanosec))
