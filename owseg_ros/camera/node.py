"""The camera as a node: samples of a source to messages, in time."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Iterator

from owseg.errors import OwsegError, UsageError
from owseg.replay.messages import COMPRESSED_IMAGE, IMAGE
from owseg.replay.samples import Sample, Source
from owseg.replay.sources import open_source
from owseg_ros.camera.calibration import Calibration, read_calibration
from owseg_ros.camera.device_source import DeviceSource, is_device
from owseg_ros.camera.options import COMPRESSED, RAW, CameraOptions, declare_options
from owseg_ros.camera.pace import Pace
from owseg_ros.camera.pictures import compressed_fields, raw_fields
from owseg_ros.hosts import Host
from owseg_ros.hosts.base import NS_PER_S, Message, Publisher
from owseg_ros.hosts.qos import CLOCK, LATEST
from owseg_ros.hosts.unused import warn_of_unused
from owseg_ros.perception.frames import NAME as TOPIC
from owseg_ros.perception.frames import input_topic

NAME = "camera"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
CLOCK_TYPE = "rosgraph_msgs/msg/Clock"

_TICK_S = 0.025
"""Time between two messages on /clock."""

_LOOK_EVERY_S = 0.02
_LINGER_S = 0.5
"""How long the last image may take to arrive before the topics vanish."""


class Camera:
    """Publishes a source as images, in a thread of its own, and ends with it.

    Args:
        host: of the node.
        on_end: is called when the source has ended or failed.

    Raises:
        OwsegError: a parameter or the source cannot be used.
    """

    def __init__(self, host: Host, on_end: Callable[[], None]) -> None:
        self.host, self.exit_code = host, 0
        self._on_end = on_end
        self._options = options = declare_options(host.parameters)
        self._calibration = Calibration()
        if options.camera_info is not None:
            self._calibration = read_calibration(options.camera_info)
        self._is_live = is_device(options.source)
        self._source = self._open(options)
        self._advertise(options)
        self._stopping = threading.Event()
        self._published = 0
        self._thread = threading.Thread(target=self._run, name="camera", daemon=True)
        self._thread.start()

    def _open(self, options: CameraOptions) -> Source:
        if not self._is_live:
            return open_source(options.source, topic=options.topic or None)
        if options.clock or options.loop or options.topic:
            raise UsageError(f"{options.source} is live; leave out 'clock', 'loop' and 'topic'")
        return DeviceSource(options.source, options.rate, self.host.clock.now_ns)

    def _advertise(self, options: CameraOptions) -> None:
        host = self.host
        self._raw: Publisher | None = None
        if options.image_transport != COMPRESSED:
            self._raw = host.publisher(IMAGE, TOPIC, LATEST)
        self._compressed: Publisher | None = None
        if options.image_transport != RAW:
            topic = input_topic(host, TOPIC, COMPRESSED)
            self._compressed = host.publisher(COMPRESSED_IMAGE, topic, LATEST)
        self._info = host.publisher(CAMERA_INFO, "camera_info", LATEST)
        self._clock = host.publisher(CLOCK_TYPE, "/clock", CLOCK) if options.clock else None
        host.log.info(f"{self._source.description}, to {host.resolve(TOPIC)}")

    # The thread --------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._wait_for_subscribers()
            self._publish_all()
            self._stopping.wait(_LINGER_S)
        except OwsegError as error:
            self.host.log.error(str(error))
            self.exit_code = error.exit_code
        except Exception:
            self.host.log.error(f"the camera failed: {traceback.format_exc().rstrip()}")
            self.exit_code = 1
        finally:
            self._source.close()
            self.host.log.info(f"{self._published} images published")
            self._on_end()

    def _wait_for_subscribers(self) -> None:
        wanted = self._options.wait_for
        topics = [publisher for publisher in (self._raw, self._compressed) if publisher]
        while sum(publisher.subscribers for publisher in topics) < wanted:
            self.host.log.info(f"waiting for {wanted} subscriptions", every_s=10.0)
            if self._stopping.wait(_LOOK_EVERY_S):
                return

    def _publish_all(self) -> None:
        pace = Pace(self._options.rate)
        for sample in self._samples(pace):
            if not self._is_live:
                due_s = pace.next(sample.log_time_ns, time.monotonic())
                self._wait_until(due_s, pace)
            if self._stopping.is_set():
                return
            self._tick(pace)
            self._publish(sample)

    def _samples(self, pace: Pace) -> Iterator[Sample]:
        yield from self._source
        while self._options.loop:
            pace.begin_pass()
            yield from self._source

    def _wait_until(self, due_s: float, pace: Pace) -> None:
        while (left_s := due_s - time.monotonic()) > 0:
            if self._stopping.wait(min(left_s, _TICK_S) if self._clock else left_s):
                return
            self._tick(pace)

    def _tick(self, pace: Pace) -> None:
        recorded_ns = pace.recorded_ns(time.monotonic()) if self._clock else None
        if self._clock is not None and recorded_ns is not None:
            time_now = self._time(recorded_ns)
            self._clock.publish(self.host.messages.make(CLOCK_TYPE, clock=time_now))

    # Messages ----------------------------------------------------------------------------------

    def _publish(self, sample: Sample) -> None:
        header = self._header(sample)
        make = self.host.messages.make
        if self._raw is not None and self._raw.subscribers:
            fields = raw_fields(sample)._asdict()
            self._raw.publish(make(IMAGE, header=header, **fields))
        if self._compressed is not None and self._compressed.subscribers:
            packed = compressed_fields(sample, self._options.jpeg_quality)._asdict()
            self._compressed.publish(make(COMPRESSED_IMAGE, header=header, **packed))
        if self._info.subscribers:
            self._info.publish(self._camera_info(header, sample))
        self._published += 1

    def _header(self, sample: Sample) -> Message:
        keeps = self._options.clock or self._is_live
        stamp_ns = sample.frame.stamp_ns if keeps else self.host.clock.now_ns()
        return self.host.messages.make(
            "std_msgs/msg/Header",
            stamp=self._time(stamp_ns),
            frame_id=self._options.frame_id or sample.frame.frame_id,
        )

    def _time(self, time_ns: int) -> Message:
        sec, nanosec = divmod(time_ns, NS_PER_S)
        return self.host.messages.make("builtin_interfaces/msg/Time", sec=sec, nanosec=nanosec)

    def _camera_info(self, header: Message, sample: Sample) -> Message:
        found, frame = self._calibration, sample.frame
        if found.width and (found.width, found.height) != (frame.width, frame.height):
            self.host.log.warning(
                f"the calibration is for images of {found.width}x{found.height}, these are "
                f"{frame.width}x{frame.height}; calibrate again at this size",
                every_s=60.0,
            )
        return self.host.messages.make(
            CAMERA_INFO,
            header=header,
            width=frame.width,
            height=frame.height,
            distortion_model=found.distortion_model,
            d=found.d,
            k=found.k,
            r=found.r,
            p=found.p,
        )

    # The end -----------------------------------------------------------------------------------

    def start(self) -> bool:
        """Name the parameters that nothing has; the thread runs already."""
        warn_of_unused(self.host)
        return True

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        self._thread.join()

    def close(self) -> None:
        """Nothing stays open behind the thread."""
