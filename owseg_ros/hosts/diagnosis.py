"""Why messages do not arrive, in one line with the line that fixes it."""

from __future__ import annotations

from owseg_ros.hosts.base import Endpoint, Graph, Subscription
from owseg_ros.hosts.qos import QosProfile, Side, incompatible, override_name

_WEAKER = {"reliability": "best_effort", "durability": "volatile"}
_STRONGER = {"reliability": "reliable", "durability": "transient_local"}


def mismatch_text(topic: str, side: Side, ours: QosProfile, peer: Endpoint) -> str:
    """Say which QoS keeps two ends of a topic apart.

    Args:
        topic: full name.
        side: which end is ours.
        ours: our profile.
        peer: the other end.
    """
    offered, requested = (ours, peer.qos) if side == "publisher" else (peer.qos, ours)
    policies = incompatible(offered, requested)
    wanted = _STRONGER if side == "publisher" else _WEAKER
    lines = ", ".join(f"{override_name(topic, side, name)}: {wanted[name]}" for name in policies)
    offers = " and ".join(str(getattr(offered, name)) for name in policies)
    asks = " and ".join(str(getattr(requested, name)) for name in policies)
    who = peer.node or "an unnamed node"
    if side == "publisher":
        return f"{who} gets nothing on {topic}: it asks for {asks}, we offer {offers}; set {lines}"
    return f"nothing from {who} on {topic}: it offers {offers}, we ask for {asks}; set {lines}"


def why_silent(subscription: Subscription, graph: Graph) -> str:
    """Say why a subscription gets nothing, and what to do about it.

    Args:
        subscription: the one that waits.
        graph: of the same host.
    """
    topic, wanted = subscription.topic, subscription.message_type
    publishers = graph.publishers(topic)
    fitting = [peer for peer in publishers if peer.message_type == wanted]
    if not publishers:
        return _nobody(topic, wanted, graph)
    if not fitting:
        types = " and ".join(sorted({peer.message_type for peer in publishers}))
        return f"{topic} carries {types}, not {wanted}; subscribe to a topic of the right type"
    reachable = [peer for peer in fitting if not incompatible(peer.qos, subscription.qos)]
    if not reachable:
        return mismatch_text(topic, "subscription", subscription.qos, fitting[0])
    names = ", ".join(sorted({peer.node or "an unnamed node" for peer in reachable}))
    return f"{names} publishes {topic}, but sends nothing; is it active, is its source running?"


def _nobody(topic: str, wanted: str, graph: Graph) -> str:
    others = [
        name
        for name, types in graph.topics().items()
        if name != topic and wanted in types and graph.publishers(name)
    ]
    if not others:
        return f"nobody publishes {topic}, nor any {wanted}; start the driver, or check that it \
has the same ROS_DOMAIN_ID and RMW_IMPLEMENTATION"
    found = ", ".join(others)
    return f"nobody publishes {topic}; {found} has this type: add -r {topic}:={others[0]}"
