"""Image messages to frames, ages, and the topic that images are expected on."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from owseg.errors import ImageError
from owseg.images import encode_image, encode_jpeg
from owseg_ros.perception.frames import age_ms, frame_of, input_topic, stamp_ns
from owseg_ros.watchdog import COMPRESSED, RAW


def header(sec=3, nanosec=4):
    return SimpleNamespace(stamp=SimpleNamespace(sec=sec, nanosec=nanosec), frame_id="front")


def test_a_raw_image(noise):
    image = noise()
    message = SimpleNamespace(header=header(), **encode_image(image)._asdict())
    frame = frame_of(message, RAW, 5)
    assert np.array_equal(frame.image, image)
    assert (frame.stamp_ns, frame.frame_id, frame.index) == (3_000_000_004, "front", 5)
    assert np.shares_memory(frame.image, image)


def test_a_compressed_image(noise):
    image = np.full((24, 32, 3), 77, np.uint8)
    message = SimpleNamespace(header=header(), **encode_jpeg(image)._asdict())
    frame = frame_of(message, COMPRESSED, 0)
    assert np.array_equal(frame.image, image)
    assert frame.stamp_ns == 3_000_000_004


def test_a_malformed_image(noise):
    fields = encode_image(noise())._asdict() | {"step": 7}
    with pytest.raises(ImageError, match="step 7"):
        frame_of(SimpleNamespace(header=header(), **fields), RAW, 0)


def test_ages():
    assert stamp_ns(header()) == 3_000_000_004
    assert age_ms(1_000_000_000, 1_250_000_000) == 250.0
    assert age_ms(2_000_000_000, 1_000_000_000) == -1000.0
    assert age_ms(0, 5) is None
    assert age_ms(5, 0) is None


@pytest.mark.parametrize(
    ("remaps", "transport", "topic"),
    [
        ({}, "raw", "/ns/image"),
        ({"image": "/cam/image_raw"}, "raw", "/cam/image_raw"),
        ({}, "compressed", "/ns/image/compressed"),
        ({"image": "/cam/image_raw"}, "compressed", "/cam/image_raw/compressed"),
        ({"image": "/cam/x/compressed"}, "compressed", "/cam/x/compressed"),
        ({"image/compressed": "/jpegs"}, "compressed", "/jpegs"),
        ({"image": "/a", "image/compressed": "/jpegs"}, "compressed", "/jpegs"),
    ],
)
def test_the_topic_of_the_images(start, remaps, transport, topic):
    rules = [word for pair in remaps.items() for word in ("-r", ":=".join(pair))]
    host = start("--ros-args", *rules).node("seeing", namespace="/ns")
    assert host.resolve(input_topic(host, "image", transport)) == topic


def test_the_topic_of_a_camera_among_several(start):
    host = start("--ros-args", "-r", "front/image:=/cam/front").node("seeing")
    assert host.resolve(input_topic(host, "front/image", "compressed")) == "/cam/front/compressed"
    assert host.resolve(input_topic(host, "rear/image", "compressed")) == "/rear/image/compressed"
