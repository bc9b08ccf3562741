"""ROS 2 messages without ROS: CDR in and out, for the few types that a replay touches.

The interfaces of vision_msgs are stated here, because rosbags does not ship
them; their RIHS01 hashes equal those of the real package.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from rosbags.serde import SerdeError
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from owseg.errors import ImageError
from owseg.images import CompressedFields, ImageFields
from owseg.outputs import label_names
from owseg.types import ClassInfo

if TYPE_CHECKING:
    from rosbags.typesys.store import Typestore

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
LABEL_INFO = "vision_msgs/msg/LabelInfo"

_VISION_CLASS = "vision_msgs/msg/VisionClass"
_INTERFACES = {
    _VISION_CLASS: "uint16 class_id\nstring class_name\n",
    LABEL_INFO: (
        "std_msgs/Header header\nvision_msgs/VisionClass[] class_map\nfloat32 threshold\n"
    ),
}

_NS_PER_S = 1_000_000_000


class Header(NamedTuple):
    """`std_msgs/msg/Header`; the stamp in nanoseconds since the epoch."""

    stamp_ns: int
    frame_id: str


class CdrMessage(NamedTuple):
    """One serialised message, ready for a recording.

    Attributes:
        topic: absolute name.
        msgtype: "package/msg/Name".
        data: CDR with its encapsulation header.
        log_time_ns: when it was recorded, nanoseconds since the epoch.
        latched: offered with transient-local durability.
    """

    topic: str
    msgtype: str
    data: bytes | memoryview
    log_time_ns: int
    latched: bool = False


@functools.cache
def _typestore() -> Typestore:
    # Image, CompressedImage and Header are the same in every ROS 2 distribution.
    store = get_typestore(Stores.ROS2_HUMBLE)
    for name, text in _INTERFACES.items():
        store.register(get_types_from_msg(text, name))
    return store


def schema(msgtype: str) -> tuple[str, str]:
    """Give the concatenated message definition (ros2msg) and the RIHS01 hash of a type."""
    store = _typestore()
    return store.generate_msgdef(msgtype, ros_version=2)[0], store.hash_rihs01(msgtype)


def deserialize(data: bytes | memoryview, msgtype: str) -> Any:
    """Read a CDR message; its arrays are views of `data`.

    Raises:
        ImageError: the bytes are cut short or not of this type.
    """
    try:
        return _typestore().deserialize_cdr(memoryview(data), msgtype)
    except (SerdeError, IndexError, MemoryError) as err:
        raise ImageError(f"message is damaged or not a {msgtype}: {err}") from err


def header_of(message: Any) -> Header:
    """Take the header of a deserialised message."""
    stamp = message.header.stamp
    return Header(stamp.sec * _NS_PER_S + stamp.nanosec, message.header.frame_id)


def serialize_image(header: Header, fields: ImageFields) -> memoryview:
    """Write a `sensor_msgs/msg/Image` as CDR."""
    return _serialize(IMAGE, header, **fields._asdict())


def serialize_compressed(header: Header, fields: CompressedFields) -> memoryview:
    """Write a `sensor_msgs/msg/CompressedImage` as CDR."""
    return _serialize(COMPRESSED_IMAGE, header, **fields._asdict())


def serialize_label_info(
    header: Header, classes: Sequence[ClassInfo], threshold: float
) -> memoryview:
    """Write a `vision_msgs/msg/LabelInfo` as CDR, with 255 named "unknown".

    Args:
        header: stamp and frame of the message.
        classes: known and learnt classes.
        threshold: confidence below which a pixel is called unknown, 0..1.
    """
    vision_class = _typestore().types[_VISION_CLASS]
    names = label_names(classes)
    class_map = [vision_class(class_id=key, class_name=name) for key, name in names]
    return _serialize(LABEL_INFO, header, class_map=class_map, threshold=np.float32(threshold))


def _serialize(msgtype: str, header: Header, **fields: Any) -> memoryview:
    store = _typestore()
    types = store.types
    sec, nanosec = divmod(header.stamp_ns, _NS_PER_S)
    stamp = types["builtin_interfaces/msg/Time"](sec=sec, nanosec=nanosec)
    ros_header = types["std_msgs/msg/Header"](stamp=stamp, frame_id=header.frame_id)
    return store.serialize_cdr(types[msgtype](header=ros_header, **fields), msgtype)
