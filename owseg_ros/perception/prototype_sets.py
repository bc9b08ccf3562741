"""`owseg_msgs/msg/PrototypeSet` to the set that a pipeline takes."""

from __future__ import annotations

import numpy as np

from owseg.errors import PrototypeError
from owseg.prototypes import NovelClass, PrototypeSet
from owseg.prototypes.checks import clean_color, clean_name, clean_radius, clean_vectors
from owseg_ros.hosts.base import NS_PER_S, Message

TOPIC = "prototypes"
MESSAGE = "owseg_msgs/msg/PrototypeSet"


def prototype_set_of(message: Message) -> PrototypeSet:
    """Read a message; the set shares no memory with it.

    Raises:
        PrototypeError: a class with unusable vectors, radius, name or colour, or two with the
            same id or name.
    """
    classes = tuple(_class_of(item) for item in message.classes)
    for what, found in (
        ("id", [item.id for item in classes]),
        ("name", [item.name for item in classes]),
    ):
        if len(set(found)) < len(found):
            raise PrototypeError(
                f"two novel classes have the same {what}: {found}; restart their server"
            )
    return PrototypeSet(space=message.space, version=int(message.version), classes=classes)


def _class_of(item: Message) -> NovelClass:
    vectors, size = np.asarray(item.vectors, np.float32), int(item.size)
    if size < 1 or len(vectors) % size:
        raise PrototypeError(
            f"class '{item.name}' has {len(vectors)} numbers, which are no whole vectors of "
            f"length {size}; restart the prototype server"
        )
    return NovelClass(
        id=int(item.id),
        name=clean_name(item.name),
        color=clean_color([int(part) for part in item.color]),
        radius=clean_radius(item.radius),
        vectors=clean_vectors(vectors.reshape(-1, size)),
        created_ns=_ns(item.created),
        changed_ns=_ns(item.changed),
    )


def _ns(stamp: Message) -> int:
    return int(stamp.sec) * NS_PER_S + int(stamp.nanosec)
