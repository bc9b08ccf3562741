"""Image messages to frames, and their age."""

from __future__ import annotations

from owseg.images import decode_compressed, decode_image
from owseg.types import Frame
from owseg_ros.hosts import Host
from owseg_ros.hosts.base import NS_PER_S, Message
from owseg_ros.hosts.names import expand
from owseg_ros.watchdog import COMPRESSED, SUFFIX, TRANSPORTS

NAME = "image"
"""Name of the raw input topic of a camera."""

_DECODERS = {COMPRESSED: decode_compressed}


def stamp_ns(header: Message) -> int:
    """Return the stamp of a header in nanoseconds since the epoch."""
    return int(header.stamp.sec) * NS_PER_S + int(header.stamp.nanosec)


def age_ms(stamp: int, now_ns: int) -> float | None:
    """Return the age of a stamp in milliseconds; None where either time is not known (0)."""
    return (now_ns - stamp) / 1e6 if stamp and now_ns else None


def frame_of(message: Message, message_type: str, index: int) -> Frame:
    """Turn a raw or compressed image message into a frame.

    Args:
        message: shares memory with the frame where it needs no conversion.
        message_type: its type.
        index: running number of the frame.

    Raises:
        ImageError: unknown encoding, wrong step, cut short, damaged, empty.
    """
    decode = _DECODERS.get(message_type, decode_image)
    header = message.header
    return Frame(
        image=decode(message),
        stamp_ns=stamp_ns(header),
        frame_id=header.frame_id,
        index=index,
    )


def input_topic(host: Host, name: str, transport: str) -> str:
    """Return the topic to subscribe to.

    Compressed images come on `<image>/compressed`, wherever `image` is remapped to, unless
    `image/compressed` is remapped itself.

    Args:
        host: of the node.
        name: of the raw topic, e.g. "front/image".
        transport: "raw" or "compressed".
    """
    if TRANSPORTS[transport] != COMPRESSED:
        return name
    compressed = f"{name}{SUFFIX}"
    if host.resolve(compressed) != expand(compressed, host.namespace, host.name):
        return compressed
    base = host.resolve(name)
    return base if base.endswith(SUFFIX) else f"{base}{SUFFIX}"
