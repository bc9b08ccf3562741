"""Recordings, folders and videos as sources, with what can be wrong about them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from owseg.errors import BagError, ImageError, InputError, UsageError
from owseg.images import encode_image, encode_jpeg, encode_png
from owseg.replay.bag_files import natural_key
from owseg.replay.messages import (
    COMPRESSED_IMAGE,
    IMAGE,
    Header,
    serialize_compressed,
    serialize_image,
)
from owseg.replay.pairing import StampPairer
from owseg.replay.sources import BagSource, FolderSource, open_source

STORE = get_typestore(Stores.ROS2_HUMBLE)
SECOND = 10**9
CAMERA, LABELS = "/camera/image_raw", "/truth/labels"


def picture(index, shape=(12, 16, 3)):
    return np.full(shape, index, np.uint8)


def image_message(index, *, stamp=None, shape=(12, 16, 3)):
    """One entry for `make_bag`: topic, type, log time, CDR."""
    stamp = index * SECOND if stamp is None else stamp
    data = serialize_image(Header(stamp, "optical"), encode_image(picture(index, shape)))
    return (CAMERA, IMAGE, index * SECOND + 5, data)


def label_message(index, *, log_offset=9, stamp=None):
    _, msgtype, log_time, data = image_message(index, stamp=stamp, shape=(12, 16))
    return (LABELS, msgtype, log_time - 5 + log_offset, data)


def make_bag(path, messages, *, plugin=StoragePlugin.MCAP, compression=None, empty_topics=()):
    writer = Writer(path, version=8, storage_plugin=plugin)
    if compression is not None:
        writer.set_compression(compression, CompressionFormat.ZSTD)
    with writer:
        connections = {}
        for topic, msgtype in [*empty_topics, *((m[0], m[1]) for m in messages)]:
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, msgtype, typestore=STORE)
        for topic, _, log_time, data in messages:
            writer.write(connections[topic], log_time, data)
    return path


def read_indices(source):
    """Give the grey value of each image, which `picture` made its index."""
    return [int(sample.frame.image[0, 0, 0]) for sample in source]


def read_path(path, **options):
    with open_source(path, **options) as source:
        return read_indices(source)


@pytest.fixture(params=[StoragePlugin.MCAP, StoragePlugin.SQLITE3], ids=["mcap", "sqlite3"])
def plugin(request):
    return request.param


@pytest.fixture
def bag(tmp_path, plugin):
    """Record five images with the truth of four, partly before its image."""
    messages = [image_message(i) for i in range(5)]
    messages += [label_message(i, log_offset=offset) for i, offset in [(0, 9), (1, 2), (3, 4)]]
    messages += [label_message(4, log_offset=9), label_message(7, stamp=77)]
    return make_bag(tmp_path / "bag", sorted(messages, key=lambda m: m[2]), plugin=plugin)


# Reading ---------------------------------------------------------------------------------------


def test_bag_gives_frames_in_order_with_their_headers(bag):
    with BagSource(bag, topic=CAMERA) as source:
        assert source.count == 5
        samples = list(source)
    assert [s.frame.index for s in samples] == [0, 1, 2, 3, 4]
    assert [s.frame.stamp_ns for s in samples] == [i * SECOND for i in range(5)]
    assert [s.log_time_ns for s in samples] == [i * SECOND + 5 for i in range(5)]
    assert {s.frame.frame_id for s in samples} == {"optical"}
    assert all((s.frame.image == i).all() for i, s in enumerate(samples))
    assert all(s.truth is None for s in samples)


def test_bag_keeps_the_message_as_it_was(bag):
    with BagSource(bag, topic=CAMERA) as source:
        message = next(iter(source)).message
    assert message[:4] == (CAMERA, IMAGE, bytes(image_message(0)[3]), 5)


def test_truth_is_paired_by_stamp(bag):
    with BagSource(bag, truth_topic=LABELS) as source:
        samples = list(source)
        assert (source.paired, source.without_truth, source.truth_without_image) == (4, 1, 1)
    assert source.topic == CAMERA
    truths = [None if s.truth is None else int(s.truth[0, 0]) for s in samples]
    assert truths == [0, 1, None, 3, 4]
    assert samples[0].truth.shape == (12, 16)


def test_a_source_can_be_read_again(bag):
    with BagSource(bag, truth_topic=LABELS) as source:
        assert next(iter(source)).frame.index == 0
        assert read_indices(source) == read_indices(source) == [0, 1, 2, 3, 4]
        assert source.paired == 4


def test_storage_file_and_folder_without_metadata(bag):
    (storage,) = (p for p in bag.iterdir() if p.suffix != ".yaml")
    assert read_path(storage, topic=CAMERA) == [0, 1, 2, 3, 4]
    (bag / "metadata.yaml").unlink()
    assert read_path(bag, topic=CAMERA) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("mode", [CompressionMode.FILE, CompressionMode.MESSAGE])
def test_zstd_compressed_recordings(tmp_path, plugin, mode):
    messages = [image_message(i) for i in range(3)]
    bag = make_bag(tmp_path / "bag", messages, plugin=plugin, compression=mode)
    assert read_path(bag) == [0, 1, 2]


def test_zstd_chunks_in_mcap(tmp_path):
    messages = [image_message(i) for i in range(3)]
    bag = make_bag(tmp_path / "bag", messages, compression=CompressionMode.STORAGE)
    assert read_path(bag) == [0, 1, 2]


def test_compressed_images_and_labels(tmp_path):
    header = Header(SECOND, "optical")
    grey = np.full((20, 30, 3), 90, np.uint8)
    mask = np.arange(600, dtype=np.uint16).reshape(20, 30)
    labels = encode_png(mask)._replace(format="png")  # says nothing about its colours
    entries = [
        ("/cam/compressed", COMPRESSED_IMAGE, 1, serialize_compressed(header, encode_jpeg(grey))),
        ("/labels/png", COMPRESSED_IMAGE, 2, serialize_compressed(header, labels)),
    ]
    with BagSource(make_bag(tmp_path / "bag", entries), truth_topic="/labels/png") as source:
        (sample,) = source
    np.testing.assert_allclose(sample.frame.image.astype(int), 90, atol=2)
    np.testing.assert_array_equal(sample.truth, mask)


def test_the_only_topic_in_colour_needs_no_naming(bag):
    with BagSource(bag) as source:
        assert source.topic == CAMERA


def test_a_single_grey_camera_is_taken(tmp_path):
    entries = [(CAMERA, *image_message(3, shape=(4, 4))[1:])]
    assert read_path(make_bag(tmp_path / "bag", entries)) == [3]


def test_real_drive():
    root = Path(os.environ.get("OWSEG_DATA", Path(__file__).parents[3] / "shared" / "data"))
    drive = root / "drive_0006R0"
    if not drive.is_dir():
        pytest.skip(f"no {drive}; set OWSEG_DATA to the folder of the real data")
    with open_source(drive, truth_topic="/ground_truth/labels") as source:
        shapes = {(s.frame.image.shape, s.truth.shape, bool(s.truth.max() <= 11)) for s in source}
        assert (source.count, source.paired, source.without_truth) == (101, 101, 0)
    assert shapes == {((360, 480, 3), (360, 480), True)}


# Bad recordings --------------------------------------------------------------------------------


def fails(error, says, path, **options):
    """Open and read to the end; the message must be one line that names the path."""
    with pytest.raises(error, match=says) as caught, open_source(path, **options) as source:
        for _ in source:
            pass
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)


def test_missing_path(tmp_path):
    fails(InputError, "does not exist", tmp_path / "nothing.mcap")
    with pytest.raises(BagError, match="does not exist"):
        BagSource(tmp_path / "nothing.mcap")


@pytest.mark.parametrize("name", ["x.mcap", "x.db3"])
def test_empty_and_foreign_files(tmp_path, name):
    path = tmp_path / name
    path.touch()
    fails(BagError, r"is empty \(0 bytes\)", path)
    path.write_bytes(b"hello, I am no recording" * 20)
    fails(BagError, "is not an", path)
    path.write_bytes(path.read_bytes()[:3])
    fails(BagError, "is not an", path)


def test_truncated_recordings(bag, plugin):
    (storage,) = (p for p in bag.iterdir() if p.suffix != ".yaml")
    whole = storage.read_bytes()
    repair = "mcap recover" if plugin is StoragePlugin.MCAP else "sqlite3 .* .recover"
    for kept in (4, len(whole) // 3, len(whole) - 1):
        storage.write_bytes(whole[:kept])
        fails(BagError, f"is truncated.*{repair}", storage)
        with pytest.raises(BagError, match="is truncated"):
            open_source(bag)  # the folder is refused as its file is


def test_damage_in_the_middle(bag, plugin):
    """A hole of zeros is reported, whatever the storage library makes of it."""
    (storage,) = (p for p in bag.iterdir() if p.suffix != ".yaml")
    data = bytearray(storage.read_bytes())
    hole = slice(200, 1200) if plugin is StoragePlugin.MCAP else slice(120, len(data) - 4096)
    data[hole] = bytes(hole.stop - hole.start)
    storage.write_bytes(data)
    fails(BagError, "damaged|cannot be opened|announces", storage, topic=CAMERA)


def test_write_ahead_log_left_behind(tmp_path):
    bag = make_bag(tmp_path / "bag", [image_message(0)], plugin=StoragePlugin.SQLITE3)
    (tmp_path / "bag" / "bag.db3-wal").write_bytes(b"messages")
    fails(BagError, "bag.db3-wal.*wal_checkpoint", bag)


def test_metadata_that_does_not_fit(bag):
    metadata = bag / "metadata.yaml"
    metadata.write_text(metadata.read_text().replace("message_count: 5", "message_count: 6"))
    fails(BagError, "announces 6 messages .* only 5 could be read", bag, topic=CAMERA)
    metadata.write_text("a: [")
    fails(BagError, "cannot be opened", bag)


def test_recording_without_images(tmp_path):
    path = make_bag(tmp_path / "bag", [], empty_topics=[("/cam", IMAGE)])
    fails(BagError, r"has no images.*/cam \(sensor_msgs/msg/Image, 0\)", path)
    fails(BagError, "/cam has no messages", path, topic="/cam")


def test_choice_of_topics(tmp_path):
    entries = [image_message(0), ("/rear", *image_message(1)[1:])]
    path = make_bag(tmp_path / "bag", entries)
    says = r"2 image topics; choose one with --topic: /camera/image_raw \(sens.*, 1\), /rear \("
    fails(BagError, says, path)
    assert read_path(path, topic="/rear") == [1]
    fails(
        BagError, r"has no topic /front; it holds /camera/image_raw .*/rear", path, topic="/front"
    )
    fails(BagError, "has no topic /t", path, topic="/rear", truth_topic="/t")
    with pytest.raises(UsageError, match="cannot be both"):
        open_source(path, topic="/rear", truth_topic="/rear")


def test_topic_of_another_type(tmp_path):
    text = STORE.serialize_cdr(STORE.types["std_msgs/msg/String"]("hi"), "std_msgs/msg/String")
    entries = [image_message(0), ("/chatter", "std_msgs/msg/String", 1, text)]
    path = make_bag(tmp_path / "bag", entries)
    fails(BagError, "/chatter is a std_msgs/msg/String, not an image", path, topic="/chatter")
    assert read_path(path) == [0]


def test_bad_image_in_the_middle_names_topic_index_and_stamp(bag, tmp_path, plugin):
    jpeg = encode_jpeg(picture(50, (40, 40, 3)))
    cut = jpeg._replace(data=jpeg.data[:-30])
    entries = [
        ("/cam", COMPRESSED_IMAGE, i, serialize_compressed(Header(i * SECOND + 7, "c"), fields))
        for i, fields in enumerate([jpeg, jpeg, cut, jpeg])
    ]
    path = make_bag(tmp_path / "other", entries, plugin=plugin)
    says = r"message 2 of /cam \(stamp 2.000000007\): jpeg.*truncated"
    before = []
    with pytest.raises(ImageError, match=says), open_source(path) as source:
        before.extend(sample.frame.index for sample in source)
    assert before == [0, 1]


def test_message_of_garbage(tmp_path):
    whole = bytes(image_message(1)[3])
    for data in (b"", whole[:30], whole[: len(whole) // 2], b"\xff" * 100):
        path = make_bag(tmp_path / "bag", [image_message(0), (CAMERA, IMAGE, 7 * SECOND, data)])
        fails(ImageError, "message 1 of /camera/image_raw .*7.000000000.*damaged or not", path)
        shutil.rmtree(path)


def test_several_recordings_in_one_folder(tmp_path):
    for name in ("a", "b"):
        make_bag(tmp_path / name, [image_message(0)])
        shutil.copy(tmp_path / name / f"{name}.mcap", tmp_path)
    fails(BagError, "2 recordings and no metadata.yaml: give one of a.mcap, b.mcap", tmp_path)


@pytest.mark.parametrize(
    ("name", "says"),
    [("x.bag", "rosbags-convert"), ("x.mcap.zstd", "the folder"), ("metadata.yaml", "the folder")],
)
def test_near_misses_get_a_hint(tmp_path, name, says):
    (tmp_path / name).write_bytes(b"x")
    fails(BagError, says, tmp_path / name)


# Folders, images, videos -----------------------------------------------------------------------


def test_folder_in_natural_order(tmp_path):
    for name, value in [("f_10.png", 10), ("f_2.jpg", 2), ("f_1.bmp", 1), ("f_20.PNG", 20)]:
        cv2.imwrite(str(tmp_path / name), picture(value))
    (tmp_path / ".f_3.png").write_bytes(b"hidden")
    (tmp_path / "notes.txt").write_text("no image")
    with open_source(tmp_path) as source:
        samples = list(source)
        assert source.count == 4
        assert read_indices(source) == [1, 2, 10, 20]
    assert [s.frame.stamp_ns for s in samples] == [SECOND + i * SECOND // 10 for i in range(4)]
    assert [s.message.topic for s in samples] == ["/image"] + 3 * ["/image/compressed"]
    file_bytes = (tmp_path / "f_10.png").read_bytes()
    assert file_bytes in bytes(samples[2].message.data)


def test_single_image(tmp_path):
    cv2.imwrite(str(tmp_path / "one.png"), picture(9))
    assert read_path(tmp_path / "one.png") == [9]


def test_bad_folders_and_images(tmp_path):
    fails(InputError, "this folder holds neither", tmp_path)
    with pytest.raises(InputError, match="holds no images"):
        FolderSource(tmp_path)
    (tmp_path / "notes.txt").write_text("no image")
    fails(InputError, "this file is neither", tmp_path / "notes.txt")
    (tmp_path / "a.png").write_text("no image")
    fails(ImageError, r"a.png: .*not one of jpeg, png", tmp_path / "a.png")
    jpeg = encode_jpeg(picture(1, (64, 64, 3))).data.tobytes()
    (tmp_path / "a.png").write_bytes(jpeg[:-20])
    fails(ImageError, "a.png: jpeg image is truncated", tmp_path / "a.png")
    fails(UsageError, "has no topics", tmp_path, topic="/cam")


def test_video(tmp_path):
    path = tmp_path / "drive.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 20, (32, 24))
    if not writer.isOpened():
        pytest.skip("this OpenCV cannot write a video")
    for value in (10, 100, 200):
        writer.write(picture(value, (24, 32, 3)))
    writer.release()
    with open_source(path) as source:
        samples = list(source)
    np.testing.assert_allclose(read_indices(source), [10, 100, 200], atol=3)
    assert [s.frame.stamp_ns for s in samples] == [SECOND + i * SECOND // 20 for i in range(3)]
    path.write_bytes(b"no video at all")
    fails(InputError, "cannot be opened as a video", path)


# Parts -----------------------------------------------------------------------------------------


def test_natural_key():
    names = ["f10", "f9", "F1b", "f1a", "2", "10", "f"]
    ordered = sorted(names, key=lambda name: natural_key(Path(name)))
    assert ordered == ["2", "10", "f", "f1a", "F1b", "f9", "f10"]


def join(events, window):
    pairer = StampPairer(window)
    out = []
    for number, (is_image, stamp) in enumerate(events):
        add = pairer.add_image if is_image else pairer.add_truth
        out += add(stamp, (stamp, number))
    return out + pairer.flush(), pairer


EVENTS = st.lists(st.tuples(st.booleans(), st.integers(0, 6)), max_size=30)


@given(EVENTS, st.integers(0, 40))
@settings(deadline=None)
def test_pairing_keeps_order_and_stamps(events, window):
    joined, pairer = join(events, window)
    images = [(stamp, n) for n, (is_image, stamp) in enumerate(events) if is_image]
    truths = [(stamp, n) for n, (is_image, stamp) in enumerate(events) if not is_image]
    used = [truth for _, truth in joined if truth is not None]
    assert [image for image, _ in joined] == images
    assert all(truth is None or truth[0] == image[0] for image, truth in joined)
    assert len(set(used)) == len(used) == pairer.paired
    assert pairer.paired + pairer.without_truth == len(images)
    assert pairer.paired + pairer.without_image == len(truths)
    if window >= len(events):
        for stamp in range(7):
            count = min(sum(s == stamp for s, _ in part) for part in (images, truths))
            assert sum(truth[0] == stamp for truth in used) == count


def test_pairing_holds_no_more_than_its_window():
    pairer = StampPairer(3)
    waiting = [len(pairer.add_image(stamp, stamp)) for stamp in range(6)]
    assert waiting == [0, 0, 0, 1, 1, 1]
    for stamp in range(100, 110):
        pairer.add_truth(stamp, stamp)
    assert pairer.without_image == 7
