"""QoS profiles as rclpy has them."""

from __future__ import annotations

from typing import Any

from owseg_ros.hosts.qos import QosProfile
from owseg_ros.hosts.rclpy_host import ros

POLICY_NAMES = {2: "durability", 4: "deadline", 8: "liveliness", 16: "reliability"}
"""Names by the bits of `rmw_qos_policy_kind_t`."""


def to_ros(profile: QosProfile) -> Any:
    """Return the profile of a publisher or subscription."""
    return ros.QoSProfile(
        reliability=getattr(ros.ReliabilityPolicy, profile.reliability.upper()),
        durability=getattr(ros.DurabilityPolicy, profile.durability.upper()),
        history=getattr(ros.HistoryPolicy, profile.history.upper()),
        depth=max(profile.depth, 1),
    )


def from_ros(profile: Any) -> QosProfile:
    """Return what discovery tells of a remote profile; history and depth are not told."""
    best_effort = profile.reliability == ros.ReliabilityPolicy.BEST_EFFORT
    durable = profile.durability == ros.DurabilityPolicy.TRANSIENT_LOCAL
    return QosProfile(
        reliability="best_effort" if best_effort else "reliable",
        durability="transient_local" if durable else "volatile",
        depth=0,
    )
