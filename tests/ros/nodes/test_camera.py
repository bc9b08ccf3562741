"""The camera: what a source holds arrives as images, unchanged and in time."""

from __future__ import annotations

import time

import cv2
import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from owseg.cli.main import main
from owseg.errors import InputError, UsageError
from owseg.images import CompressedFields, ImageFields, decode_compressed, encode_jpeg
from owseg.replay.messages import (
    COMPRESSED_IMAGE,
    IMAGE,
    Header,
    serialize_compressed,
    serialize_image,
)
from owseg_ros.camera import device_source
from owseg_ros.camera import node as module
from owseg_ros.camera.node import CAMERA_INFO, CLOCK_TYPE, Camera
from owseg_ros.hosts.qos import QosProfile

KEEP_ALL = QosProfile(history="keep_all")
MS = 10**6
HEIGHT, WIDTH = 24, 32


def picture(seed):
    coarse = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    return cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)


def padded_bgr(seed):
    """Lay a picture out as a driver may: BGR, with rows that are longer than they need be."""
    rows = np.zeros((HEIGHT, 3 * WIDTH + 5), np.uint8)
    rows[:, : 3 * WIDTH] = picture(seed)[..., ::-1].reshape(HEIGHT, -1)
    return ImageFields(HEIGHT, WIDTH, "bgr8", 0, rows.shape[1], rows.reshape(-1))


@pytest.fixture(scope="session")
def bag_of(tmp_path_factory):
    """Write bags: (fields of the messages) -> path; 20 ms apart, stamped 3 ms before."""
    numbers = iter(range(100))

    def write(messages):
        path = tmp_path_factory.mktemp("bags") / f"bag{next(numbers)}"
        store = get_typestore(Stores.ROS2_HUMBLE)
        raw = isinstance(messages[0], ImageFields)
        serialize = serialize_image if raw else serialize_compressed
        with Writer(path, version=8, storage_plugin=StoragePlugin.MCAP) as writer:
            link = writer.add_connection(
                "/cam/image", IMAGE if raw else COMPRESSED_IMAGE, typestore=store
            )
            for index, fields in enumerate(messages):
                log_ns = 10**9 + 20 * MS * index
                writer.write(link, log_ns, serialize(Header(log_ns - 3 * MS, "front"), fields))
        return path

    return write


@pytest.fixture(scope="session")
def jpeg_bag(bag_of):
    return bag_of([encode_jpeg(picture(seed)) for seed in range(4)])


@pytest.fixture(scope="session")
def raw_bag(bag_of):
    return bag_of([padded_bgr(seed) for seed in range(4)])


@pytest.fixture
def camera(runtime):
    """Open a camera in this process; it ends with its source, or with the test."""
    opened = []

    def open_one(source, namespace="", ended=lambda: None, runtime=runtime, **parameters):
        parameters = {"source": str(source), "wait_for": 1, **parameters}
        host = runtime.node("camera", namespace=namespace, parameters=parameters)
        opened.append(Camera(host, ended))
        return opened[-1]

    yield open_one
    for camera in opened:
        camera.stop()
        camera.close()


@pytest.fixture
def watch(client):
    """Listen to the topics of the camera."""

    def listen(prefix=""):
        return {
            "raw": client.listen(IMAGE, f"{prefix}/image", KEEP_ALL),
            "compressed": client.listen(COMPRESSED_IMAGE, f"{prefix}/image/compressed", KEEP_ALL),
            "info": client.listen(CAMERA_INFO, f"{prefix}/camera_info", KEEP_ALL),
        }

    return listen


def stamp_ns(message):
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def same(message, fields):
    data = bytes(np.asarray(message.data))
    others = [getattr(message, name) for name in fields._fields if name != "data"]
    return data == fields.data.tobytes() and others == list(fields[:-1])


# What is published -------------------------------------------------------------------------------


def test_jpeg_messages_of_a_recording_pass_unchanged(camera, client, jpeg_bag, eventually):
    inbox = client.listen(COMPRESSED_IMAGE, "/image/compressed", KEEP_ALL)
    camera(jpeg_bag)
    assert eventually(lambda: len(inbox) == 4)
    for seed, message in enumerate(inbox):
        assert same(message, encode_jpeg(picture(seed)))
        assert message.header.frame_id == "front"


def test_raw_messages_of_a_recording_keep_encoding_and_padding(camera, client, raw_bag, eventually):
    inbox = client.listen(IMAGE, "/image", KEEP_ALL)
    camera(raw_bag)
    assert eventually(lambda: len(inbox) == 4)
    assert all(same(message, padded_bgr(seed)) for seed, message in enumerate(inbox))


def test_jpeg_messages_become_rgb_where_somebody_wants_that(camera, client, jpeg_bag, eventually):
    inbox = client.listen(IMAGE, "/image", KEEP_ALL)
    camera(jpeg_bag)
    assert eventually(lambda: len(inbox) == 4)
    for seed, message in enumerate(inbox):
        expected = decode_compressed(encode_jpeg(picture(seed)))
        assert same(message, ImageFields(HEIGHT, WIDTH, "rgb8", 0, 3 * WIDTH, expected.reshape(-1)))


def test_raw_messages_become_jpeg_of_the_quality_that_is_asked(camera, client, raw_bag, eventually):
    inbox = client.listen(COMPRESSED_IMAGE, "/image/compressed", KEEP_ALL)
    camera(raw_bag, jpeg_quality=35)
    assert eventually(lambda: len(inbox) == 4)
    assert all(same(m, encode_jpeg(picture(seed), 35)) for seed, m in enumerate(inbox))


def test_images_of_a_folder_pass_as_they_are(camera, client, tmp_path, eventually):
    for seed in range(2):
        cv2.imwrite(str(tmp_path / f"{seed}.png"), picture(seed)[..., ::-1])
    inbox = client.listen(COMPRESSED_IMAGE, "/image/compressed", KEEP_ALL)
    camera(tmp_path, rate=50.0)
    assert eventually(lambda: len(inbox) == 2)
    for seed, message in enumerate(inbox):
        assert bytes(np.asarray(message.data)) == (tmp_path / f"{seed}.png").read_bytes()
        found = decode_compressed(CompressedFields("", np.asarray(message.data)))
        assert np.array_equal(found, picture(seed))


def test_a_video_is_shown_frame_by_frame(camera, client, tmp_path, eventually):
    path = tmp_path / "a.avi"
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 50, (WIDTH, HEIGHT))
    for level in (40, 120, 200):
        video.write(np.full((HEIGHT, WIDTH, 3), level, np.uint8))
    video.release()
    inbox = client.listen(IMAGE, "/image", KEEP_ALL)
    camera(path)
    assert eventually(lambda: len(inbox) == 3)
    levels = [float(np.asarray(message.data).mean()) for message in inbox]
    assert np.allclose(levels, [40, 120, 200], atol=3)


def test_only_what_has_subscribers_is_made(camera, client, jpeg_bag, eventually, monkeypatch):
    made = []
    monkeypatch.setattr(module, "raw_fields", lambda sample: made.append(sample))
    inbox = client.listen(COMPRESSED_IMAGE, "/image/compressed", KEEP_ALL)
    camera(jpeg_bag)
    assert eventually(lambda: len(inbox) == 4)
    assert made == []


@pytest.mark.parametrize(
    ("transport", "topics"),
    [
        ("raw", {"/image", "/camera_info"}),
        ("compressed", {"/image/compressed", "/camera_info"}),
        ("both", {"/image", "/image/compressed", "/camera_info"}),
    ],
)
def test_a_transport_chooses_the_topics(camera, jpeg_bag, transport, topics, eventually):
    host = camera(jpeg_bag, image_transport=transport).host
    names = ["/image", "/image/compressed", "/camera_info", "/clock"]

    def offered():
        return {name for name in names if host.graph.publishers(name)}

    assert eventually(lambda: offered() >= topics)
    assert offered() == topics


def test_the_compressed_topic_follows_the_raw_one(start, new_client, camera, jpeg_bag, eventually):
    runtime = start("--ros-args", "-r", "image:=front", "-r", "camera:__ns:=/robot")
    inbox = new_client(runtime).listen(COMPRESSED_IMAGE, "/robot/front/compressed", KEEP_ALL)
    camera(jpeg_bag, runtime=runtime)
    assert eventually(lambda: len(inbox) == 4)


# Time --------------------------------------------------------------------------------------------


def test_images_are_stamped_now_and_as_they_were_recorded_on_demand(
    camera, watch, jpeg_bag, eventually
):
    now, then = watch("/now"), watch("/then")
    begun_ns = time.time_ns()
    camera(jpeg_bag, "/now", wait_for=2)
    assert eventually(lambda: len(now["raw"]) == len(now["compressed"]) == 4)
    stamps = [stamp_ns(message) for message in now["raw"]]
    assert begun_ns <= stamps[0]
    assert stamps == [stamp_ns(m) for m in now["compressed"]]
    assert np.all(np.diff(stamps) > 0)
    camera(jpeg_bag, "/then", clock=True, wait_for=2)
    assert eventually(lambda: len(then["raw"]) == 4)
    assert [stamp_ns(m) for m in then["raw"]] == [10**9 + (20 * i - 3) * MS for i in range(4)]


def test_the_clock_goes_as_it_was_recorded(camera, client, raw_bag, eventually):
    ticks = client.listen(CLOCK_TYPE, "/clock", QosProfile(reliability="best_effort", depth=1000))
    images = client.listen(IMAGE, "/image", KEEP_ALL)
    assert camera(raw_bag, clock=True, rate=10.0).host
    assert eventually(lambda: len(images) == 4)
    times = [tick.clock.sec * 10**9 + tick.clock.nanosec for tick in ticks]
    assert times == sorted(times)
    assert (times[0], times[-1]) == (10**9, 10**9 + 60 * MS)
    between = [t for t in times if (t - 10**9) % (20 * MS)]
    assert len(between) >= 3  # at a fifth of the speed there are several between two images


def test_a_loop_begins_again(camera, client, jpeg_bag, eventually, monkeypatch):
    passes, begin = [], module.Pace.begin_pass
    monkeypatch.setattr(module.Pace, "begin_pass", lambda pace: passes.append(begin(pace)))
    inbox = client.listen(COMPRESSED_IMAGE, "/image/compressed", KEEP_ALL)
    camera(jpeg_bag, loop=True, rate=50.0, clock=True)
    assert eventually(lambda: len(inbox) >= 10)
    stamps = [stamp_ns(message) for message in inbox[:10]]
    assert stamps == [10**9 + (20 * (i % 4) - 3) * MS for i in range(10)]
    assert len(passes) >= 2


def test_it_ends_with_its_source(camera, client, jpeg_bag, eventually):
    client.listen(COMPRESSED_IMAGE, "/image/compressed", KEEP_ALL)
    ended = []
    opened = camera(jpeg_bag, ended=lambda: ended.append(True))
    assert eventually(lambda: ended)
    assert opened.exit_code == 0


def test_nothing_is_sent_before_the_subscriptions_that_it_waits_for(
    camera, client, jpeg_bag, eventually
):
    opened = camera(jpeg_bag, wait_for=2)
    inbox = client.listen(COMPRESSED_IMAGE, "/image/compressed", KEEP_ALL)
    assert eventually(lambda: opened._compressed.subscribers == 1)
    assert not eventually(lambda: inbox, 0.1)
    client.listen(COMPRESSED_IMAGE, "/image/compressed", KEEP_ALL)
    assert eventually(lambda: len(inbox) == 4)


# Headers and calibration -------------------------------------------------------------------------


CALIBRATION = """
image_width: 32
image_height: 24
camera_name: front
camera_matrix: {rows: 3, cols: 3, data: [1, 0, 2, 0, 3, 4, 0, 0, 1]}
distortion_model: plumb_bob
distortion_coefficients: {rows: 1, cols: 5, data: [0.1, -0.2, 0.0, 0.5, 0]}
rectification_matrix: {rows: 3, cols: 3, data: [1, 0, 0, 0, 1, 0, 0, 0, 1]}
projection_matrix: {rows: 3, cols: 4, data: [1, 0, 2, 0, 0, 3, 4, 0, 0, 0, 1, 0]}
"""


def test_calibration_and_frame_go_with_each_image(camera, watch, jpeg_bag, tmp_path, eventually):
    (tmp_path / "front.yaml").write_text(CALIBRATION)
    seen = watch()
    file = str(tmp_path / "front.yaml")
    camera(jpeg_bag, camera_info=file, frame_id="optical", wait_for=2)
    assert eventually(lambda: len(seen["info"]) == len(seen["raw"]) == 4)
    info = seen["info"][0]
    assert [stamp_ns(m) for m in seen["info"]] == [stamp_ns(m) for m in seen["raw"]]
    assert {m.header.frame_id for m in (*seen["info"], *seen["raw"])} == {"optical"}
    assert (info.width, info.height, info.distortion_model) == (32, 24, "plumb_bob")
    assert list(info.k) == [1, 0, 2, 0, 3, 4, 0, 0, 1]
    assert list(info.p) == [1, 0, 2, 0, 0, 3, 4, 0, 0, 0, 1, 0]
    assert np.allclose(info.d, [0.1, -0.2, 0.0, 0.5, 0])


def test_without_a_calibration_the_camera_says_so(camera, watch, jpeg_bag, eventually):
    seen = watch()
    camera(jpeg_bag, wait_for=2)
    assert eventually(lambda: seen["info"])
    info = seen["info"][0]
    assert (info.width, info.height, list(info.k)) == (WIDTH, HEIGHT, [0.0] * 9)


def test_a_calibration_for_another_size_is_told(camera, watch, jpeg_bag, tmp_path, capfd):
    (tmp_path / "front.yaml").write_text(CALIBRATION.replace("width: 32", "width: 64"))
    watch()
    opened = camera(jpeg_bag, camera_info=str(tmp_path / "front.yaml"), wait_for=2)
    opened._thread.join(10)
    err = capfd.readouterr().err
    assert err.count("the calibration is for images of 64x24, these are 32x24") == 1


# What goes wrong ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ([], "a camera needs a source"),
        (["--source", "/nonsense.mcap"], "/nonsense.mcap does not exist"),
        (["--source", "/dev/video77"], "/dev/video77 cannot be opened as a camera"),
        (["--source", "/dev/video77", "--loop"], "is live; leave out"),
        (["--source", "BAG", "--topic", "/other"], "has no topic /other"),
        (["--source", "BAG", "--rate", "-1"], "'rate' must be in 0..1000"),
        (["--source", "BAG", "--rate", "fast"], "--rate"),
        (["--source", "BAG", "--image-transport", "theora"], "theora"),
        (["--source", "BAG", "--camera-info", "/no.yaml"], "/no.yaml cannot be read"),
    ],
)
def test_what_it_cannot_start_with_is_said_in_one_line(
    kinds, ros_domain, jpeg_bag, options, reason, capfd
):
    words = [str(jpeg_bag) if word == "BAG" else word for word in options]
    assert main(["node", "camera", "--host", kinds[0], *words]) == 2
    line = capfd.readouterr().err.splitlines()[-1]
    assert line.startswith("owseg: ")
    assert reason in line


def test_a_signal_ends_it_kindly(owseg, kinds, client, jpeg_bag, eventually):
    inbox = client.listen(COMPRESSED_IMAGE, "/image/compressed", KEEP_ALL)
    camera = owseg("node", "camera", "--host", kinds[1], "--source", jpeg_bag, "--loop")
    assert eventually(lambda: inbox, 30)
    assert camera.end() == 0
    camera.says("images published")
    assert "Traceback" not in camera.output


def test_a_source_that_ends_ends_the_process(owseg, kinds, jpeg_bag):
    camera = owseg("node", "camera", "--host", kinds[1], "--source", jpeg_bag)
    assert camera.wait() == 0
    camera.says("4 images published")


def test_a_recording_that_breaks_off_is_reported_and_ends_it(
    camera, client, bag_of, eventually, capfd
):
    messages = [encode_jpeg(picture(seed)) for seed in range(3)]
    messages[2] = messages[2]._replace(data=messages[2].data[:-100])
    inbox = client.listen(COMPRESSED_IMAGE, "/image/compressed", KEEP_ALL)
    ended = []
    opened = camera(bag_of(messages), ended=lambda: ended.append(True))
    assert eventually(lambda: ended)
    assert opened.exit_code == 2
    assert eventually(lambda: len(inbox) == 2)
    err = capfd.readouterr().err
    assert "message 2 of /cam/image" in err
    assert "Traceback" not in err


# A live camera -----------------------------------------------------------------------------------


class Capture:
    """Stands for OpenCV's access to a device."""

    def __init__(self, path):
        self.path, self.set_to, self.left, self.released = path, {}, 3, False
        Capture.last = self

    def isOpened(self):  # noqa: N802
        return "77" not in self.path

    def set(self, key, value):
        self.set_to[key] = value

    def read(self):
        self.left -= 1
        return self.left >= 0, np.full((HEIGHT, WIDTH, 3), (10, 20, 30), np.uint8)

    def release(self):
        self.released = True


def test_a_live_camera_is_read_until_it_is_unplugged(camera, client, eventually, monkeypatch):
    monkeypatch.setattr(device_source.cv2, "VideoCapture", Capture)
    inbox = client.listen(IMAGE, "/image", KEEP_ALL)
    ended = []
    opened = camera("/dev/video3", rate=15.0, ended=lambda: ended.append(True))
    before_ns = opened.host.clock.now_ns()
    assert eventually(lambda: ended)
    assert eventually(lambda: len(inbox) == 3)
    assert np.asarray(inbox[0].data)[:3].tolist() == [30, 20, 10]
    assert abs(stamp_ns(inbox[0]) - before_ns) < 60 * 10**9
    assert opened.exit_code == 2
    device = Capture.last
    assert (device.path, device.released) == ("/dev/video3", True)
    assert device.set_to == {cv2.CAP_PROP_FPS: 15.0}


def test_a_live_camera_has_no_clock_loop_or_topics(runtime, monkeypatch):
    monkeypatch.setattr(device_source.cv2, "VideoCapture", Capture)
    for extra in ({"clock": True}, {"loop": True}, {"topic": "/a"}):
        host = runtime.node("camera", parameters={"source": "/dev/video3", **extra})
        with pytest.raises(UsageError, match="is live"):
            Camera(host, lambda: None)


def test_a_device_that_is_not_there_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(device_source.cv2, "VideoCapture", Capture)
    with pytest.raises(InputError, match=r"ls /dev/video\*"):
        device_source.DeviceSource(tmp_path / "77")
    assert Capture.last.released


def test_a_device_is_told_from_a_file(tmp_path):
    assert device_source.is_device(device_source.Path("/dev/video9"))
    assert device_source.is_device(device_source.Path("/dev/null"))
    assert not device_source.is_device(tmp_path)
    assert not device_source.is_device(tmp_path / "missing")
