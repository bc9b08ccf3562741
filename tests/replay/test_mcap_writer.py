"""The output recording: what is in it, and what is left of it when things go wrong."""

from __future__ import annotations

import contextlib
import json
import resource
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mcap.reader import make_reader
from mcap.stream_reader import StreamReader
from rosbags.highlevel import AnyReader
from rosbags.interfaces import QosDurability, QosReliability
from rosbags.typesys import Stores, get_typestore

from owseg.errors import OutputError, UsageError
from owseg.images import decode_image, decode_label_image, encode_image
from owseg.replay import messages
from owseg.replay.mcap_writer import McapWriter
from owseg.replay.messages import IMAGE, CdrMessage, Header, serialize_image
from owseg.types import ClassInfo, Cluster, Frame, Result

CLASSES = [
    ClassInfo(id=0, name="road", color=(1, 2, 3)),
    ClassInfo(id=7, name="cone", color=(4,) * 3),
]
STAMP = 1_700_000_000_123_456_789
SHAPE = (9, 14)


def make_result(index=0, clusters=3, shape=SHAPE):
    rng = np.random.default_rng(index)
    frame = Frame(
        image=rng.integers(0, 256, (*shape, 3), dtype=np.uint8),
        stamp_ns=STAMP + index,
        frame_id="front_optical",
        index=index,
    )
    ids = rng.integers(0, clusters, shape).astype(np.uint16)
    ids[0, 0] = clusters
    return Result(
        frame=frame,
        known=rng.integers(0, 9, shape, dtype=np.uint8),
        anomaly=rng.random(shape, dtype=np.float32),
        open_set=rng.choice(np.array([0, 7, 255], np.uint8), shape),
        clusters=ids,
    )


def input_message(result, topic="/camera/image_raw", log_time=STAMP + 50):
    header = Header(result.frame.stamp_ns, result.frame.frame_id)
    data = serialize_image(header, encode_image(result.frame.image))
    return CdrMessage(topic, IMAGE, bytes(data), log_time)


def read(path):
    """Give (topic, log time, message, connection) of everything in the file."""
    with AnyReader([path]) as reader:
        return [
            (connection.topic, log_time, reader.deserialize(raw, connection.msgtype), connection)
            for connection, log_time, raw in reader.messages()
        ]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "out" / "output.mcap"


def test_all_topics_with_values_and_headers(path):
    result = make_result()
    confidence = np.random.default_rng(5).integers(0, 256, SHAPE, dtype=np.uint8)
    overlay = np.random.default_rng(6).integers(0, 256, (*SHAPE, 3), dtype=np.uint8)
    source = input_message(result)
    with McapWriter(path, CLASSES, threshold=0.25) as writer:
        writer.write(result, confidence=confidence, overlay=overlay, message=source)

    entries = {topic: (time, msg) for topic, time, msg, _ in read(path)}
    found = {topic: msg for topic, (_, msg) in entries.items()}
    assert {time for time, _ in entries.values()} == {STAMP + 50}
    for msg in found.values():
        stamp = msg.header.stamp
        assert (stamp.sec, stamp.nanosec) == (1_700_000_000, 123_456_789)
        assert msg.header.frame_id == "front_optical"

    np.testing.assert_array_equal(decode_label_image(found["/segmentation/mask"]), result.open_set)
    np.testing.assert_array_equal(decode_label_image(found["/segmentation/confidence"]), confidence)
    np.testing.assert_array_equal(decode_label_image(found["/clusters/mask"]), result.clusters)
    np.testing.assert_array_equal(decode_image(found["/overlay"]), overlay)
    np.testing.assert_array_equal(decode_image(found["/camera/image_raw"]), result.frame.image)
    probability = found["/anomaly/probability"]
    np.testing.assert_array_equal(
        probability.data.view("<f4").reshape(SHAPE), result.anomaly.astype("<f4")
    )
    encodings = {topic: getattr(msg, "encoding", None) for topic, msg in found.items()}
    assert encodings == {
        "/camera/image_raw": "rgb8",
        "/segmentation/label_info": None,
        "/segmentation/mask": "mono8",
        "/segmentation/confidence": "mono8",
        "/anomaly/probability": "32FC1",
        "/clusters/mask": "mono8",
        "/overlay": "rgb8",
    }
    info = found["/segmentation/label_info"]
    names = [(entry.class_id, entry.class_name) for entry in info.class_map]
    assert names == [(0, "road"), (7, "cone"), (255, "unknown")]
    assert info.threshold == 0.25


def test_tracked_objects_are_written_as_detections(path):
    objects = (
        Cluster(id=3, area=6, box=(4, 1, 2, 3), mean_anomaly=0.75, age=9),
        Cluster(id=900, area=1, box=(0, 8, 1, 1), mean_anomaly=0.5),
    )
    results = [
        replace(make_result(index), objects=found) for index, found in [(0, objects), (1, ())]
    ]
    with McapWriter(path, CLASSES, namespace="front") as writer:
        for result in results:
            writer.write(result)
    topic = "/front/clusters/detections"
    first, second = (msg for name, _, msg, _ in read(path) if name == topic)
    assert len(second.detections) == 0
    assert first.header.frame_id == "front_optical"
    for item, (number, score, box) in zip(
        first.detections,
        [("3", 0.75, (5.0, 2.5, 2, 3)), ("900", 0.5, (0.5, 8.5, 1, 1))],
        strict=True,
    ):
        (found,) = item.results
        center = item.bbox.center
        assert item.header == first.header
        assert (item.id, found.hypothesis.class_id) == (number, "unknown")
        assert found.hypothesis.score == score
        assert (center.position.x, center.position.y, item.bbox.size_x, item.bbox.size_y) == box
        assert (found.pose.pose.orientation.w, center.theta) == (1.0, 0.0)


def test_input_message_is_copied_byte_for_byte(path):
    source = input_message(make_result())
    with McapWriter(path, CLASSES) as writer:
        writer.write(make_result(), message=source)
    with path.open("rb") as stream:
        copies = [m for _, c, m in make_reader(stream).iter_messages() if c.topic == source.topic]
    assert [copy.data for copy in copies] == [source.data]


@pytest.mark.parametrize(("clusters", "encoding"), [(254, "mono8"), (255, "16UC1")])
def test_many_clusters_take_16_bits(path, clusters, encoding):
    result = make_result(clusters=clusters)
    with McapWriter(path, CLASSES) as writer:
        writer.write(result)
    (mask,) = (msg for topic, _, msg, _ in read(path) if topic == "/clusters/mask")
    assert mask.encoding == encoding
    np.testing.assert_array_equal(decode_label_image(mask), result.clusters)


def test_label_info_comes_first_once_and_after_each_change(path):
    with McapWriter(path, CLASSES[:1]) as writer:
        for index in range(4):
            if index == 2:
                writer.set_classes(CLASSES)
            writer.write(make_result(index))
    kept = ("/segmentation/label_info", "/segmentation/mask")
    entries = [(topic, msg) for topic, _, msg, _ in read(path) if topic in kept]
    info, mask = kept
    assert [topic for topic, _ in entries] == [info, mask, mask, info, mask, mask]
    assert [len(msg.class_map) for topic, msg in entries if topic == info] == [2, 3]


@pytest.mark.parametrize(
    ("namespace", "topic"),
    [("/", "/overlay"), ("", "/overlay"), ("front", "/front/overlay"), ("/a/b/", "/a/b/overlay")],
)
def test_namespace(path, namespace, topic):
    with McapWriter(path, CLASSES, namespace=namespace) as writer:
        writer.write(make_result(), overlay=make_result().frame.image)
    assert topic in {entry[0] for entry in read(path)}


def test_input_topic_must_not_be_an_output_topic(path):
    with McapWriter(path, CLASSES) as writer, pytest.raises(UsageError, match="namespace"):
        writer.write(make_result(), message=input_message(make_result(), "/overlay"))


def test_latched_label_info_and_what_rosbag2_needs(path):
    with McapWriter(path, CLASSES) as writer:
        writer.write(make_result())
    qos = {topic: connection.ext.offered_qos_profiles[0] for topic, _, _, connection in read(path)}
    latched = QosDurability.TRANSIENT_LOCAL
    assert {t for t, q in qos.items() if q.durability == latched} == {"/segmentation/label_info"}
    assert {q.reliability for q in qos.values()} == {QosReliability.RELIABLE}
    with path.open("rb") as stream:
        reader = make_reader(stream)
        assert reader.get_header().profile == "ros2"
        (record,) = reader.iter_metadata()
        summary = reader.get_summary()
    assert record.name == "rosbag2"
    assert json.loads(record.metadata["serialized_metadata"])["version"] == 8
    assert {chunk.compression for chunk in summary.chunk_indexes} == {"lz4"}
    assert {s.name: s.encoding for s in summary.schemas.values()} == {
        "sensor_msgs/msg/Image": "ros2msg",
        "vision_msgs/msg/LabelInfo": "ros2msg",
    }
    assert all(c.message_encoding == "cdr" for c in summary.channels.values())


def test_vision_msgs_interfaces_are_the_real_ones():
    """Hashes that rosidl gave the real package; field names, types and order enter them."""
    _, label_info = messages.schema("vision_msgs/msg/LabelInfo")
    _, vision_class = messages.schema("vision_msgs/msg/VisionClass")
    assert label_info.endswith("_3d37df4015cdf660cc851c51897f2acd957e1ca6205ba0a99aebffb9406b0783")
    _, detections = messages.schema("vision_msgs/msg/Detection2DArray")
    hashed = "_214274120007f4a683866481336b70310268cfa107aebe9d594a6acf75bda968"
    assert detections.endswith(hashed)
    assert vision_class.endswith(
        "_1e4a11f0fed50b5623cb8ff26ca0e37952a48a9c074d16f804b44e9164c2037a"
    )


def test_cdr_of_an_image_byte_by_byte():
    """A worked example of CDR: alignment of 4 relative to the end of the encapsulation."""
    fields = encode_image(np.array([[1, 2], [3, 4]], np.uint8))
    data = bytes(serialize_image(Header(2_000_000_003, "ab"), fields))
    expected = bytes([0, 1, 0, 0])
    expected += (2).to_bytes(4, "little") + (3).to_bytes(4, "little")
    expected += (3).to_bytes(4, "little") + b"ab\0" + bytes(1)
    expected += (2).to_bytes(4, "little") + (2).to_bytes(4, "little")
    expected += (6).to_bytes(4, "little") + b"mono8\0" + bytes([0]) + bytes(1)
    expected += (2).to_bytes(4, "little") + (4).to_bytes(4, "little") + bytes([1, 2, 3, 4])
    assert data == expected
    parsed = get_typestore(Stores.LATEST).deserialize_cdr(data, IMAGE)
    assert (parsed.step, parsed.encoding, parsed.data.tolist()) == (2, "mono8", [1, 2, 3, 4])


# When things go wrong --------------------------------------------------------------------------


def record(path, results, error=None):
    """Write results, then raise an error inside the writer's context."""
    with McapWriter(path, CLASSES) as writer:
        for result in results:
            writer.write(result)
        if error is not None:
            raise error


@contextlib.contextmanager
def file_size_limit(size):
    """Let writes fail beyond a size, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextlib.contextmanager
def interrupt_after(seconds):
    """Raise KeyboardInterrupt in the main thread after some time, wherever it is then."""

    def interrupt(*_):
        raise KeyboardInterrupt

    old = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)


def write_until_interrupt(path, delay):
    result = make_result(shape=(200, 300))
    with McapWriter(path, CLASSES) as writer, interrupt_after(delay):
        while True:
            writer.write(result)


def masks_in(path):
    return sum(entry[0] == "/segmentation/mask" for entry in read(path))


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_what_was_written_before_an_error_is_readable(path, error):
    with pytest.raises(error):
        record(path, [make_result(index) for index in range(30)], error())
    assert masks_in(path) == 30
    assert [p.name for p in path.parent.iterdir()] == ["output.mcap"]


@pytest.mark.parametrize("delay", [0.001, 0.004, 0.013, 0.03])
def test_ctrl_c_at_any_line_leaves_whole_frames(path, delay):
    """The interrupt comes at some line of `write`; the file has each frame or none of it."""
    with pytest.raises(KeyboardInterrupt):
        write_until_interrupt(path, delay)
    topics = [entry[0] for entry in read(path)]
    names = ("/segmentation/mask", "/anomaly/probability", "/clusters/mask")
    assert len({topics.count(name) for name in names}) == 1


def test_an_older_file_stays_until_the_new_one_is_complete(path):
    with McapWriter(path, CLASSES) as writer:
        writer.write(make_result())
    before = path.read_bytes()
    with McapWriter(path, CLASSES) as writer:
        writer.write(make_result(1))
        writer.write(make_result(2))
        assert path.read_bytes() == before
    assert masks_in(path) == 2


def test_no_frames_give_an_empty_recording(path):
    with McapWriter(path, CLASSES):
        pass
    with path.open("rb") as stream:
        assert make_reader(stream).get_summary().statistics.message_count == 0


def test_closing_twice_and_writing_afterwards(path):
    writer = McapWriter(path, CLASSES)
    writer.close()
    writer.close()
    with pytest.raises(OutputError, match="closed already"):
        writer.write(make_result())


def test_full_disk_is_one_line_and_the_rest_is_recoverable(path):
    """A file-size limit stands for the full disk: the write fails in the same way."""
    says = r"output.mcap cannot be written: .*mcap recover"
    results = [make_result(shape=(200, 300))] * 200
    with pytest.raises(OutputError, match=says) as caught, file_size_limit(3_000_000):
        record(path, results)
    assert "\n" not in str(caught.value)
    assert not path.exists()
    assert frames_before_the_cut(path.with_name("output.mcap.part")) >= 2


def frames_before_the_cut(part):
    """Count masks in the complete chunks, as `mcap recover` does."""
    masks, channels = 0, {}
    with part.open("rb") as stream:
        try:
            for record in StreamReader(stream).records:
                if type(record).__name__ == "Channel":
                    channels[record.id] = record.topic
                elif type(record).__name__ == "Message":
                    masks += channels[record.channel_id] == "/segmentation/mask"
        except Exception:
            return masks
    raise AssertionError("the file is not cut")


def test_error_of_the_caller_wins_over_one_of_closing(path):
    with pytest.raises(ValueError, match="mine"), file_size_limit(100):
        record(path, [make_result()], ValueError("mine"))
    assert not path.exists()


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "output.mcap").mkdir()
    for path in (
        tmp_path / "file" / "output.mcap",
        Path("/proc/nowhere/output.mcap"),
    ):
        with pytest.raises(OutputError, match=r"output.mcap cannot be created: "):
            McapWriter(path, CLASSES)
    with pytest.raises(OutputError, match="is a folder"):
        McapWriter(tmp_path / "output.mcap", CLASSES)
