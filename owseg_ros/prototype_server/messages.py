"""Novel classes as messages of owseg_msgs."""

from __future__ import annotations

import numpy as np

from owseg.prototypes import NovelClass, PrototypeSet
from owseg_ros.hosts.base import NS_PER_S, Message, Messages

PROTOTYPE = "owseg_msgs/msg/Prototype"
PROTOTYPE_SET = "owseg_msgs/msg/PrototypeSet"

_TIME = "builtin_interfaces/msg/Time"
_HEADER = "std_msgs/msg/Header"


def set_message(messages: Messages, found: PrototypeSet, stamp_ns: int) -> Message:
    """Return a set as `owseg_msgs/msg/PrototypeSet`.

    Args:
        messages: of the host.
        found: the set.
        stamp_ns: when it is published, nanoseconds since the epoch.
    """
    return messages.make(
        PROTOTYPE_SET,
        header=messages.make(_HEADER, stamp=_time(messages, stamp_ns)),
        space=found.space,
        version=found.version,
        classes=[class_message(messages, item) for item in found.classes],
    )


def class_message(messages: Messages, item: NovelClass, *, with_vectors: bool = True) -> Message:
    """Return a class as `owseg_msgs/msg/Prototype`."""
    vectors = item.vectors if with_vectors else item.vectors[:0]
    return messages.make(
        PROTOTYPE,
        id=item.id,
        name=item.name,
        color=np.array(item.color, np.uint8),
        radius=item.radius,
        size=item.vectors.shape[1],
        vectors=vectors.reshape(-1),
        shots=len(item.shots),
        created=_time(messages, item.created_ns),
        changed=_time(messages, item.changed_ns),
    )


def _time(messages: Messages, time_ns: int) -> Message:
    sec, nanosec = divmod(time_ns, NS_PER_S)
    return messages.make(_TIME, sec=sec, nanosec=nanosec)
