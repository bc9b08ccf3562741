"""One camera of the perception node: an image in, its outputs out, and what went wrong."""

from __future__ import annotations

import time
import traceback

from owseg.errors import ImageError, OwsegError
from owseg.grouping import ClusterTracker
from owseg.types import Frame
from owseg_ros.hosts import Host
from owseg_ros.hosts.base import Message, QosMismatch, Subscription
from owseg_ros.hosts.groups import Group
from owseg_ros.hosts.qos import SENSOR_DATA
from owseg_ros.perception.counters import Counters, Tally
from owseg_ros.perception.frames import NAME, age_ms, frame_of, input_topic, stamp_ns
from owseg_ros.perception.model import SharedModel
from owseg_ros.perception.outputs import CameraOutputs, render
from owseg_ros.perception.parameters import Settings
from owseg_ros.watchdog import TRANSPORTS, ImageWatchdog

_REPEAT_S = 5.0
"""A line on bad images or old ones comes at most once in this time."""


class Camera:
    """Hears one image topic and publishes what the model says about it.

    Frames of all cameras run in one group, so that they take turns; of each camera the
    newest frame waits, and older ones give way.

    Args:
        host: of the node.
        name: "" for the only camera, else it comes before all topics.
        transport: "raw" or "compressed".
        model: shared with other cameras.
        group: runs the frames.

    Raises:
        UsageError: an invalid name or QoS override.
    """

    def __init__(
        self, host: Host, name: str, transport: str, model: SharedModel, group: Group
    ) -> None:
        prefix = f"{name}/" if name else ""
        self.name = name
        self._host, self._model, self._group = host, model, group
        self._type = TRANSPORTS[transport]
        self._input = prefix + NAME
        self._asked = input_topic(host, self._input, transport)
        self.topic = host.resolve(self._asked)
        self._counters = Counters()
        self._subscription: Subscription | None = None
        self._watchdog: ImageWatchdog | None = None
        self._index = 0
        self._tracker = ClusterTracker()
        self._outputs = CameraOutputs(host, prefix)

    def start(self) -> None:
        """Subscribe.

        Raises:
            UsageError: an invalid QoS override.
        """
        self._tracker = ClusterTracker()
        self._watchdog = ImageWatchdog(
            self._host, self._input, lambda: self._model.settings.image_timeout_s
        )
        self._subscription = self._host.subscription(
            self._type,
            self._asked,
            self._on_image,
            SENSOR_DATA,
            group=self._group,
            on_mismatch=self._on_mismatch,
        )

    def stop(self) -> None:
        """Unsubscribe; a frame under way still ends."""
        subscription, self._subscription, self._watchdog = self._subscription, None, None
        if subscription is not None:
            subscription.destroy()
            for what, times in _intake(subscription).items():
                self._counters.count(what, times)

    def destroy(self) -> None:
        """Leave all topics."""
        self.stop()
        self._outputs.destroy()

    def label(self) -> None:
        """Say what the ids of the next mask mean, if that has changed; runs in the group."""
        threshold = self._model.published_threshold(self._model.settings)
        self._outputs.label(self._model.pipeline.classes, threshold)

    # What others want to know ------------------------------------------------------------------

    def silence(self) -> str:
        """Say why no images arrive; "" = they do, or are not asked for."""
        subscription, watchdog = self._subscription, self._watchdog
        if subscription is None or watchdog is None:
            return ""
        return watchdog.look(subscription)

    def tally(self) -> Tally:
        """Return counts and durations."""
        tally, subscription = self._counters.tally(), self._subscription
        if subscription is None:
            return tally
        counts = dict(tally.counts)
        for what, times in _intake(subscription).items():
            counts[what] = counts.get(what, 0) + times
        return tally._replace(counts=counts)

    # Frames ------------------------------------------------------------------------------------

    def _on_image(self, message: Message) -> None:
        settings = self._model.settings
        try:
            self._handle(message, settings)
        except OwsegError as error:
            self._fail(str(error))
        except Exception as error:
            self._fail(repr(error), traceback.format_exc())

    def _handle(self, message: Message, settings: Settings) -> None:
        clock = time.perf_counter
        begun = clock()
        topics = self._outputs.wanted(settings)
        if not topics:
            self._counters.count("idle")
            return
        if self._is_too_old(message, settings):
            return
        frame = self._decoded(message)
        if frame is None:
            return
        decoded = clock()
        tracker = self._tracker if self._model.needs_objects(topics) else None
        result = self._model.process(frame, settings, tracker)
        processed = clock()
        contents = render(result, settings, topics)
        rendered = clock()
        threshold = self._model.published_threshold(settings)
        self._outputs.label(result.classes, threshold, message.header)
        unsent = self._outputs.publish(contents, message.header)
        published = clock()
        self._counters.count("processed")
        if unsent:
            self._counters.count("unsent", unsent)
        self._counters.age(self._age(message))
        self._counters.measure(
            {
                "decode": (decoded - begun) * 1e3,
                "inference": result.timings_ms["inference"],
                "grouping": result.timings_ms["grouping"],
                "render": (rendered - processed) * 1e3,
                "publish": (published - rendered) * 1e3,
                "latency": (published - begun) * 1e3,
            }
        )

    def _decoded(self, message: Message) -> Frame | None:
        try:
            frame = frame_of(message, self._type, self._index)
        except ImageError as error:
            self._counters.fail("malformed", str(error))
            self._warn(f"malformed image on {self.topic}: {error}", "malformed")
            return None
        self._index += 1
        return frame

    def _is_too_old(self, message: Message, settings: Settings) -> bool:
        age = self._age(message) if settings.max_age_ms else None
        if age is None or age <= settings.max_age_ms:
            return False
        self._counters.count("too_old")
        self._warn(
            f"an image on {self.topic} was dropped: it is {age:.0f} ms old, max_age_ms is "
            f"{settings.max_age_ms:g}",
            "old",
        )
        return True

    def _age(self, message: Message) -> float | None:
        return age_ms(stamp_ns(message.header), self._host.clock.now_ns())

    def _fail(self, reason: str, details: str = "") -> None:
        self._counters.fail("failed", reason)
        text = f"a frame of {self.topic} failed: {(details or reason).rstrip()}"
        self._host.log.error(text, every_s=_REPEAT_S, key=f"{self.name} failed")

    def _warn(self, text: str, key: str) -> None:
        self._host.log.warning(text, every_s=_REPEAT_S, key=f"{self.name} {key}")

    def _on_mismatch(self, found: QosMismatch) -> None:
        if self._watchdog is not None:
            self._watchdog.mismatch(found)


def _intake(subscription: Subscription) -> dict[str, int]:
    return {
        "received": subscription.received,
        "replaced": subscription.dropped,
        "malformed": subscription.malformed,
    }
