"""Says why no images arrive, once per cause, with the line that mends it."""

from __future__ import annotations

import difflib
import threading
import time
from collections.abc import Callable

from owseg.outputs import IMAGES
from owseg_ros.hosts import Host
from owseg_ros.hosts.base import Endpoint, QosMismatch, Subscription
from owseg_ros.hosts.diagnosis import mismatch_text
from owseg_ros.hosts.qos import incompatible, override_name

RAW = "sensor_msgs/msg/Image"
COMPRESSED = "sensor_msgs/msg/CompressedImage"
TRANSPORTS = {"raw": RAW, "compressed": COMPRESSED}
"""Types of messages by the values of the parameter `image_transport`."""

SUFFIX = "/compressed"
"""What `image_transport` of ROS appends to the topic of compressed images."""

_LISTED = 4
_ARGUMENTS = "--ros-args"


class ImageWatchdog:
    """Watches one subscription to images. Safe to use from several threads.

    Args:
        host: of the node.
        name: of the raw topic as the node calls it, e.g. "image": what a remapping names.
        timeout_s: gives the silence after which something is wrong, in seconds.
        now: monotonic clock in seconds.
    """

    def __init__(
        self,
        host: Host,
        name: str,
        timeout_s: Callable[[], float],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._host, self._name, self._timeout_s, self._now = host, name, timeout_s, now
        self._since = now()
        self._received = 0
        self._told: set[str] = set()
        self._lock = threading.Lock()

    def mismatch(self, found: QosMismatch) -> None:
        """Tell of a publisher whose QoS does not fit."""
        self._tell(found.text)

    def look(self, subscription: Subscription) -> str:
        """Return why nothing arrives, "" where images do; the log gets each cause once."""
        received, now = subscription.received, self._now()
        with self._lock:
            if received != self._received:
                self._received, self._since = received, now
                self._told.clear()
            silent = now - self._since >= self._timeout_s()
        if not silent:
            return ""
        reason = why_no_images(subscription, self._host, self._name)
        self._tell(reason)
        return reason

    def _tell(self, reason: str) -> None:
        with self._lock:
            new = reason not in self._told
            self._told.add(reason)
        if new:
            self._host.log.warning(f"no images: {reason}")


def why_no_images(subscription: Subscription, host: Host, name: str) -> str:
    """Say why a subscription gets no images, and what to do about it.

    Args:
        subscription: the one that waits, to raw or compressed images.
        host: of the node.
        name: of the raw topic as the node calls it, e.g. "image".
    """
    topic, wanted = subscription.topic, subscription.message_type
    publishers = host.graph.publishers(topic)
    fitting = [peer for peer in publishers if peer.message_type == wanted]
    if not publishers:
        return _nobody(subscription, host, name)
    if not fitting:
        return _wrong_type(subscription, publishers, host, name)
    heard = [peer for peer in fitting if not incompatible(peer.qos, subscription.qos)]
    if not heard:
        return mismatch_text(topic, "subscription", subscription.qos, fitting[0])
    return _silent(subscription, heard)


def _nobody(subscription: Subscription, host: Host, name: str) -> str:
    wanted = subscription.message_type
    found = _image_topics(host, subscription.topic)
    if not found:
        return (
            f"nobody publishes {subscription.topic}, nor images on any other topic; start the "
            f"camera driver, with the same ROS_DOMAIN_ID and RMW_IMPLEMENTATION ({_seen(host)})"
        )
    same = [topic for topic, kind in found.items() if kind == wanted]
    best = (same or list(found))[0]
    listed = ", ".join(list(found)[:_LISTED]) + (", ..." if len(found) > _LISTED else "")
    fix = _rule(best, found[best], wanted, host, name)
    return f"nobody publishes {subscription.topic}; images are on {listed}: add {fix}"


def _wrong_type(
    subscription: Subscription, publishers: list[Endpoint], host: Host, name: str
) -> str:
    topic, wanted = subscription.topic, subscription.message_type
    types = sorted({peer.message_type for peer in publishers})
    text = f"{topic} carries {' and '.join(types)}, not {wanted}"
    if other := next((kind for kind in TRANSPORTS.values() if kind in types), ""):
        return f"{text}: add {_rule(topic, other, wanted, host, name)}"
    found = _image_topics(host, topic)
    best = next(iter(found), "")
    if not best:
        return f"{text}; remap '{name}' to a topic with images"
    return f"{text}: add {_rule(best, found[best], wanted, host, name)}"


def _silent(subscription: Subscription, heard: list[Endpoint]) -> str:
    topic, qos = subscription.topic, subscription.qos
    names = ", ".join(sorted({peer.node or "an unnamed node" for peer in heard}))
    text = f"{names} publishes {topic}, but nothing arrives; is its source running, is it active?"
    if qos.reliability == "best_effort" and any(e.qos.reliability == "reliable" for e in heard):
        fix = f"{override_name(topic, 'subscription', 'reliability')}:=reliable"
        text += (
            " If it does send, large images get lost on the way: "
            f"add {_ARGUMENTS} -p {fix}, or raise net.core.rmem_max"
        )
    return text


def _image_topics(host: Host, wanted: str) -> dict[str, str]:
    """Return topics of others with images and their types, those with similar names first."""
    found = {}
    for topic, types in host.graph.topics().items():
        kind = next((kind for kind in TRANSPORTS.values() if kind in types), "")
        if kind and topic != wanted and not topic.endswith(IMAGES) and _others(topic, host):
            found[topic] = kind
    likeness = difflib.SequenceMatcher(b=wanted)

    def unlike(topic: str) -> tuple[float, str]:
        likeness.set_seq1(topic)
        return -likeness.ratio(), topic

    return {topic: found[topic] for topic in sorted(found, key=unlike)}


def _others(topic: str, host: Host) -> bool:
    return any(peer.node != host.full_name for peer in host.graph.publishers(topic))


def _rule(topic: str, kind: str, wanted: str, host: Host, name: str) -> str:
    """Return the arguments that make the node hear a topic."""
    words = [_ARGUMENTS]
    base = topic.removesuffix(SUFFIX)
    if kind == RAW:
        words += ["-r", f"{name}:={topic}"] if topic != host.resolve(name) else []
    elif topic.endswith(SUFFIX):
        words += ["-r", f"{name}:={base}"] if base != host.resolve(name) else []
    else:
        words += ["-r", f"{name}{SUFFIX}:={topic}"]
    if kind != wanted:
        transport = next(key for key, value in TRANSPORTS.items() if value == kind)
        words += ["-p", f"image_transport:={transport}"]
    return " ".join(words)


def _seen(host: Host) -> str:
    count = sum(node != host.full_name for node in host.graph.nodes())
    if not count:
        return "no other node is in sight"
    return f"{count} other node{'s are' if count > 1 else ' is'} in sight"
