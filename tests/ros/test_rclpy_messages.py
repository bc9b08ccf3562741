"""Messages of a sourced ROS 2, with stand-ins for the classes that rosidl generates."""

from __future__ import annotations

import array
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from owseg.errors import MissingDependencyError, UsageError
from owseg_ros.hosts.rclpy_host.messages import RosMessages

TYPES = {
    "header": "std_msgs/Header",
    "height": "uint32",
    "scale": "double",
    "latched": "boolean",
    "mark": "octet",
    "encoding": "string",
    "data": "sequence<uint8>",
    "vectors": "sequence<float>",
    "stamps": "sequence<int64, 4>",
    "color": "uint8[3]",
    "names": "sequence<string>",
    "flags": "sequence<boolean>",
    "raw": "sequence<octet>",
    "pair": "string[2]",
}


class Picture:
    """As strict as a class of rosidl with its checks on."""

    def __setattr__(self, name, value):
        kind = TYPES[name]
        if kind.startswith("sequence<") and kind[9:].rstrip(">").split(",")[0] in (
            "uint8",
            "float",
            "int64",
        ):
            assert isinstance(value, array.array), f"{name} is slow: {type(value)}"
        expected = {"uint32": int, "double": float, "boolean": bool, "octet": bytes, "string": str}
        if kind in expected:
            assert type(value) is expected[kind], name
        object.__setattr__(self, name, value)

    @classmethod
    def get_fields_and_field_types(cls):
        return TYPES


@pytest.fixture
def messages(monkeypatch):
    package, msg, srv = ModuleType("fake_msgs"), ModuleType("m"), ModuleType("s")
    msg.Picture = Picture
    srv.Add = SimpleNamespace(Request=Picture, Response=Picture)
    monkeypatch.setitem(sys.modules, "fake_msgs", package)
    monkeypatch.setitem(sys.modules, "fake_msgs.msg", msg)
    monkeypatch.setitem(sys.modules, "fake_msgs.srv", srv)
    return RosMessages()


PICTURE = "fake_msgs/msg/Picture"


@pytest.mark.parametrize(
    ("field", "given", "kept"),
    [
        ("data", np.arange(6, dtype=np.uint8).reshape(2, 3), array.array("B", range(6))),
        ("data", np.arange(6, dtype=np.uint8)[::2], array.array("B", [0, 2, 4])),
        ("data", b"ab", array.array("B", b"ab")),
        ("data", memoryview(b"ab"), array.array("B", b"ab")),
        ("data", [1, 2], array.array("B", [1, 2])),
        ("vectors", np.ones((1, 2), np.float64), array.array("f", [1, 1])),
        ("stamps", np.array([2**40]), array.array("q", [2**40])),
        ("height", np.int64(7), 7),
        ("scale", 1, 1.0),
        ("scale", np.float32(0.5), 0.5),
        ("latched", np.bool_(True), True),
        ("mark", 7, b"\x07"),
        ("names", ("a", "b"), ["a", "b"]),
        ("flags", np.array([True, False]), [True, False]),
        ("raw", b"ab", [b"a", b"b"]),
        ("pair", ("a", "b"), ["a", "b"]),
        ("encoding", "rgb8", "rgb8"),
    ],
)
def test_values_take_the_form_that_rosidl_takes_quickly(messages, field, given, kept):
    value = getattr(messages.make(PICTURE, **{field: given}), field)
    assert value == kept
    assert type(value) is type(kept)


def test_fixed_arrays_are_numpy_arrays(messages):
    color = messages.make(PICTURE, color=[1, 2, 3]).color
    assert color.dtype == np.uint8
    assert color.tolist() == [1, 2, 3]


def test_an_array_of_the_right_kind_is_not_copied(messages):
    data = array.array("B", b"abc")
    assert messages.make(PICTURE, data=data).data is data


def test_services_have_two_sides(messages):
    assert messages.request("fake_msgs/srv/Add", height=1).height == 1
    assert messages.response("fake_msgs/srv/Add", height=2).height == 2
    assert messages.has("fake_msgs/srv/Add")
    assert not messages.has("fake_msgs/srv/Sub")


@pytest.mark.parametrize(
    ("name", "fields", "reason"),
    [
        (PICTURE, {"hight": 1}, "no field 'hight'; it has header"),
        (PICTURE, {"height": "x"}, "field 'height'"),
        (PICTURE, {"data": "text"}, "field 'data'"),
        ("fake_msgs/msg/Other", {}, "package fake_msgs has no msg 'Other'"),
        ("fake_msgs/Picture", {}, "write package/msg/Name"),
    ],
)
def test_what_cannot_be_made_is_refused(messages, name, fields, reason):
    with pytest.raises(UsageError, match=reason):
        messages.make(name, **fields)


def test_a_missing_package_says_how_to_get_it(messages, monkeypatch):
    with pytest.raises(MissingDependencyError, match=r"apt install ros-\$ROS_DISTRO-nowhere-msgs"):
        messages.make("nowhere_msgs/msg/X")
    for name in ("owseg_msgs", "owseg_msgs.msg"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingDependencyError, match="colcon build --base-paths"):
        messages.make("owseg_msgs/msg/Prototype")
