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
from owseg.outputs import Detection, label_names
from owseg.types import ClassInfo

if TYPE_CHECKING:
    from rosbags.typesys.store import Typestore

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
LABEL_INFO = "vision_msgs/msg/LabelInfo"
DETECTIONS = "vision_msgs/msg/Detection2DArray"

_VISION_CLASS = "vision_msgs/msg/VisionClass"
_DETECTION = "vision_msgs/msg/Detection2D"
_HYPOTHESIS_WITH_POSE = "vision_msgs/msg/ObjectHypothesisWithPose"
_HYPOTHESIS = "vision_msgs/msg/ObjectHypothesis"
_BOX = "vision_msgs/msg/BoundingBox2D"
_POSE_2D = "vision_msgs/msg/Pose2D"
_POINT_2D = "vision_msgs/msg/Point2D"
_INTERFACES = {
    DETECTIONS: "std_msgs/Header header\nvision_msgs/Detection2D[] detections\n",
    _DETECTION: (
        "std_msgs/Header header\nvision_msgs/ObjectHypothesisWithPose[] results\n"
        "vision_msgs/BoundingBox2D bbox\nstring id\n"
    ),
    _HYPOTHESIS_WITH_POSE: (
        "vision_msgs/ObjectHypothesis hypothesis\ngeometry_msgs/PoseWithCovariance pose\n"
    ),
    _HYPOTHESIS: "string class_id\nfloat64 score\n",
    _BOX: "vision_msgs/Pose2D center\nfloat64 size_x\nfloat64 size_y\n",
    _POSE_2D: "vision_msgs/Point2D position\nfloat64 theta\n",
    _POINT_2D: "float64 x\nfloat64 y\n",
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


def serialize_detections(header: Header, found: Sequence[Detection]) -> memoryview:
    """Write a `vision_msgs/msg/Detection2DArray` as CDR; its poses in space are blank."""
    ros_header = _header(header)
    return _serialize(
        DETECTIONS, header, detections=[_detection_message(ros_header, item) for item in found]
    )


def _detection_message(header: Any, item: Detection) -> Any:
    types = _typestore().types
    hypothesis = types[_HYPOTHESIS](class_id=item.class_id, score=item.score)
    center = types[_POSE_2D](position=types[_POINT_2D](x=item.x, y=item.y), theta=0.0)
    return types[_DETECTION](
        header=header,
        results=[types[_HYPOTHESIS_WITH_POSE](hypothesis=hypothesis, pose=_blank_pose())],
        bbox=types[_BOX](center=center, size_x=item.width, size_y=item.height),
        id=item.id,
    )


@functools.cache
def _blank_pose() -> Any:
    types = _typestore().types
    point = types["geometry_msgs/msg/Point"](x=0.0, y=0.0, z=0.0)
    unturned = types["geometry_msgs/msg/Quaternion"](x=0.0, y=0.0, z=0.0, w=1.0)
    pose = types["geometry_msgs/msg/Pose"](position=point, orientation=unturned)
    return types["geometry_msgs/msg/PoseWithCovariance"](pose=pose, covariance=np.zeros(36))


def _header(header: Header) -> Any:
    types = _typestore().types
    sec, nanosec = divmod(header.stamp_ns, _NS_PER_S)
    stamp = types["builtin_interfaces/msg/Time"](sec=sec, nanosec=nanosec)
    return types["std_msgs/msg/Header"](stamp=stamp, frame_id=header.frame_id)


def _serialize(msgtype: str, header: Header, **fields: Any) -> memoryview:
    store = _typestore()
    message = store.types[msgtype](header=_header(header), **fields)
    return store.serialize_cdr(message, msgtype)
