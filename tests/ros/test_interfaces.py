"""Interface types without ROS 2: making, writing and reading them; owseg_msgs itself."""

from __future__ import annotations

import contextlib
import itertools
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rosbags.typesys import Stores, get_typestore

from owseg.errors import ImageError, UsageError
from owseg.replay.messages import LABEL_INFO, schema
from owseg_ros.hosts.standalone.interface_files import interface_files
from owseg_ros.hosts.standalone.interfaces import Interfaces

ROOT = Path(__file__).resolve().parents[2]
IMAGE = "sensor_msgs/msg/Image"
TIME = "builtin_interfaces/msg/Time"
HASHES = {
    IMAGE: "d31d41a9a4c4bc8eae9be757b0beed306564f7526c88ea6a4588fb9582527d47",
    "std_msgs/msg/Header": "f49fb3ae2cf070f793645ff749683ac6b06203e41c891e17701b1cb597ce6a01",
    "vision_msgs/msg/Detection2DArray": (
        "214274120007f4a683866481336b70310268cfa107aebe9d594a6acf75bda968"
    ),
    TIME: "b106235e25a4c5ed35098aa0a61a3ee9c9b18d197f398b0e4206cea9acf9c197",
}
"""As `ros2 topic info -v` shows them."""

SERVICES = ("AddClass", "ListClasses", "RenameClass", "RemoveClass", "Undo")


@pytest.fixture(scope="module")
def types():
    return Interfaces("jazzy")


def wire(types, message, name):
    return b"".join(bytes(part) for part in types.encode(message, name))


# Making ------------------------------------------------------------------------------------------


def test_fields_that_are_not_given_are_empty(types):
    image = types.make(IMAGE)
    assert (image.height, image.encoding, image.header.frame_id) == (0, "", "")
    assert image.data.dtype == np.uint8
    assert image.data.size == 0
    prototype = types.make("owseg_msgs/msg/Prototype")
    assert prototype.color.tolist() == [0, 0, 0]
    assert prototype.vectors.dtype == np.float32
    other = types.make("owseg_msgs/msg/PrototypeSet")
    assert other.classes == []
    assert other.classes is not types.make("owseg_msgs/msg/PrototypeSet").classes


def test_numbers_take_any_array(types):
    make = types.make
    vectors = make("owseg_msgs/msg/Prototype", vectors=np.ones((2, 3), np.float64).T).vectors
    assert (vectors.dtype, vectors.shape) == (np.float32, (6,))
    assert make(IMAGE, data=b"ab").data.tolist() == [97, 98]
    assert make("owseg_msgs/msg/Prototype", color=(1, 2, 3)).color.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("name", "fields", "reason"),
    [
        (IMAGE, {"hight": 1}, "no field 'hight'; it has header, height"),
        (IMAGE, {"data": "text"}, "cannot make a sensor_msgs/msg/Image"),
        (IMAGE, {"data": [300]}, "cannot make a sensor_msgs/msg/Image"),
        ("owseg_msgs/msg/Prototype", {"color": [1, 2]}, "'color' takes 3 numbers, got 2"),
        ("sensor_msgs/msg/Nothing", {}, "unknown interface type 'sensor_msgs/msg/Nothing'"),
        ("std_srvs/srv/Trigger", {}, "unknown interface type"),
        ("nonsense", {}, "unknown interface type 'nonsense'"),
    ],
)
def test_what_cannot_be_made_is_refused(types, name, fields, reason):
    with pytest.raises(UsageError, match=reason):
        types.make(name, **fields)


@pytest.mark.parametrize(
    "fields", [{"height": -1}, {"height": 2**32}, {"header": 3}, {"encoding": 8}, {"step": "x"}]
)
def test_what_cannot_be_sent_is_refused(types, fields):
    with pytest.raises(UsageError, match="cannot send this as sensor_msgs/msg/Image"):
        types.encode(types.make(IMAGE, **fields), IMAGE)


# Writing and reading -----------------------------------------------------------------------------


@given(
    frame=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20),
    height=st.integers(0, 2**32 - 1),
    data=st.binary(max_size=50),
    big=st.booleans(),
)
def test_an_image_in_two_parts_is_the_same_as_in_one(types, frame, height, data, big):
    header = types.make("std_msgs/msg/Header", frame_id=frame)
    image = types.make(IMAGE, header=header, height=height, is_bigendian=int(big), data=data)
    whole = get_typestore(Stores.ROS2_JAZZY).serialize_cdr(image, IMAGE)
    assert wire(types, image, IMAGE) == bytes(whole)
    read = types.decode(memoryview(bytes(whole)), IMAGE)
    assert (read.header.frame_id, read.height, read.is_bigendian) == (frame, height, big)
    assert read.data.tobytes() == data


def test_pixels_are_not_copied(types):
    data = np.arange(12, dtype=np.uint8)
    head, tail = types.encode(types.make(IMAGE, data=data), IMAGE)
    assert np.shares_memory(np.asarray(tail), data)
    raw = memoryview(bytes(head) + bytes(tail))
    read = types.decode(raw, IMAGE)
    assert np.shares_memory(read.data, np.frombuffer(raw, np.uint8))
    assert not read.data.flags.writeable


def test_sending_leaves_the_message_as_it_was(types):
    image = types.make(IMAGE, data=b"abc", encoding="mono8")
    types.encode(image, IMAGE)
    assert image.data.tobytes() == b"abc"


@pytest.mark.parametrize("data", [[1, 2, 3], np.arange(3), np.zeros(3, np.float32), ["a"]])
def test_a_byte_array_is_never_sent_as_other_numbers(types, data):
    image = types.make(IMAGE)
    image.data = data
    with pytest.raises(UsageError, match="an array of bytes is needed"):
        types.encode(image, IMAGE)


@pytest.mark.parametrize("data", [b"a\0\0", bytearray(b"a\0\0"), np.array([97, 0, 0], np.int8)])
def test_a_byte_array_may_be_set_later(types, data):
    image = types.make(IMAGE)
    image.data = data
    assert wire(types, image, IMAGE)[-7:] == b"\x03\0\0\0a\0\0"


@pytest.mark.parametrize("name", sorted(interface_files()))
def test_every_bundled_type_survives_the_wire(types, name):
    parts = [name] if "/msg/" in name else [f"{name}_Request", f"{name}_Response"]
    for part in parts:
        blank = types.make(part)
        data = wire(types, blank, part)
        assert len(data) > 4  # even an empty message has one byte
        again = types.decode(memoryview(data), part)
        assert wire(types, again, part) == data
        assert re.fullmatch(r"RIHS01_[0-9a-f]{64}", types.type_hash(part))


def test_rubbish_is_refused(types):
    good = wire(types, types.make(IMAGE, encoding="rgb8", data=bytes(30)), IMAGE)
    for data in (
        b"",
        b"\x00\x01\x00\x00",
        good[:20],
        good[:-10],
        b"\x00\x01\x00\x00" + b"\xff" * 60,
    ):
        with pytest.raises(ImageError, match="damaged or not a sensor_msgs/msg/Image"):
            types.decode(memoryview(data), IMAGE)


@given(st.binary(max_size=80))
def test_no_bytes_raise_anything_else(types, data):
    with contextlib.suppress(ImageError):
        types.decode(memoryview(b"\x00\x01\x00\x00" + data), "owseg_msgs/srv/AddClass_Request")


# Types -------------------------------------------------------------------------------------------


def test_hashes_are_those_of_ros(types):
    for name, expected in HASHES.items():
        assert types.type_hash(name) == f"RIHS01_{expected}"
    assert types.type_hash(LABEL_INFO) == schema(LABEL_INFO)[1]


def test_char_is_hashed_as_ros_does(types):
    # rmw_dds_common declares char[16]; rosidl hashes it as uint8[16].
    assert types.type_hash("rmw_dds_common/msg/Gid").endswith(
        "ab6f21cfbb0a6dbb837161e1110c2051a2850ed9f9c53944d7115d9bcebedf71"
    )


def test_distributions_differ_where_they_must(monkeypatch):
    assert len(Interfaces("humble").make("rmw_dds_common/msg/Gid").data) == 24
    assert len(Interfaces("jazzy").make("rmw_dds_common/msg/Gid").data) == 16
    monkeypatch.setenv("ROS_DISTRO", "humble")
    assert Interfaces().distro == "humble"
    monkeypatch.setenv("ROS_DISTRO", "unheard_of")
    assert Interfaces().distro == "jazzy"


def test_what_is_known(types):
    known = (IMAGE, "owseg_msgs/srv/AddClass", "owseg_msgs/msg/Prototype", LABEL_INFO)
    assert all(types.has(name) for name in known)
    assert not types.has("geometry_msgs/msg/Nothing")


# owseg_msgs --------------------------------------------------------------------------------------


def test_the_interface_package_builds_all_its_files():
    text = (ROOT / "owseg_msgs" / "CMakeLists.txt").read_text()
    listed = set(re.findall(r'"((?:msg|srv)/\w+\.(?:msg|srv))"', text))
    there = {
        path.relative_to(ROOT / "owseg_msgs").as_posix()
        for path in (ROOT / "owseg_msgs").glob("*/*.*")
    }
    assert listed == there
    assert {f"srv/{name}.srv" for name in SERVICES} <= there


def test_the_interface_package_declares_what_it_uses():
    root = ET.parse(ROOT / "owseg_msgs" / "package.xml").getroot()
    assert root.findtext("name") == "owseg_msgs"
    assert root.findtext("member_of_group") == "rosidl_interface_packages"
    cmake = (ROOT / "owseg_msgs" / "CMakeLists.txt").read_text()
    depends = {item.text for item in root.findall("depend")}
    used = set()
    for path in (ROOT / "owseg_msgs").glob("*/*.*"):
        used |= set(re.findall(r"^(\w+)/\w+", path.read_text(), re.MULTILINE))
    assert used == depends
    (listed,) = re.findall(r"DEPENDENCIES ([\w ]+)", cmake)
    assert set(listed.split()) == depends
    assert all(f"find_package({name} REQUIRED)" in cmake for name in depends)


def test_every_field_of_the_interface_package_is_documented():
    field = re.compile(r"^[\w/<>=\[\]]+ +\w+$")
    for path in (ROOT / "owseg_msgs").glob("*/*.*"):
        if path.suffix not in (".msg", ".srv"):
            continue
        lines = path.read_text().splitlines()
        assert lines[0].startswith("# ")
        for before, line in itertools.pairwise(lines):
            if field.match(line) and before not in ("---",):
                assert before.startswith("#") or field.match(before) or line == "string message", (
                    path.name,
                    line,
                )


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_answers_alike(types, name):
    response = types.response(f"owseg_msgs/srv/{name}")
    assert (response.success, response.message, response.version) == (False, "", 0)
    assert hasattr(response, "class_id") == (name != "ListClasses")


def test_an_installed_package_carries_the_interface_files(tmp_path):
    command = [sys.executable, "setup.py", "-q", "build_py", "--build-lib", str(tmp_path)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    built = tmp_path / "owseg_ros" / "interfaces"
    for name, path in interface_files().items():
        package, kind, _ = name.split("/")
        assert (built / package / kind / path.name).read_text() == path.read_text()
