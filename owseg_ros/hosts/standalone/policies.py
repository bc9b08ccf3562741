"""QoS profiles as DDS policies, with the same choices as `rmw_cyclonedds_cpp`."""

from __future__ import annotations

from owseg_ros.hosts.qos import QosProfile
from owseg_ros.hosts.standalone.cyclone import INFINITE_NS, Policy, Qos

BLOCK_NS = 100_000_000
"""How long a write waits for slow reliable readers before it gives up."""

POLICY_NAMES = {
    2: "durability",
    4: "deadline",
    8: "liveliness",
    11: "reliability",
    23: "data representation",
}
"""Names by the ids of the DDS specification."""


def to_dds(
    profile: QosProfile,
    user_data: str = "",
    *,
    block_ns: int = BLOCK_NS,
    ignore_own: bool = False,
) -> Qos:
    """Return the policies of a reader or writer.

    Args:
        profile: the profile.
        user_data: "key=value;" pairs that discovery carries.
        block_ns: how long a write may wait for reliable readers.
        ignore_own: a reader does not hear its own participant.
    """
    history = (
        Policy.History.KeepAll
        if profile.history == "keep_all"
        else Policy.History.KeepLast(max(profile.depth, 1))
    )
    policies = [
        history,
        Policy.Reliability.Reliable(block_ns)
        if profile.reliability == "reliable"
        else Policy.Reliability.BestEffort,
        Policy.Durability.TransientLocal if profile.latched else Policy.Durability.Volatile,
        Policy.Liveliness.Automatic(INFINITE_NS),
        Policy.WriterDataLifecycle(autodispose=False),
        Policy.DataRepresentation(use_cdrv0_representation=True),
    ]
    if profile.latched:
        policies.append(Policy.DurabilityService(0, history, -1, -1, -1))
    if ignore_own:
        policies.append(Policy.IgnoreLocal.Participant)
    if user_data:
        policies.append(Policy.Userdata(user_data.encode()))
    return Qos(*policies)


def from_dds(qos: Qos) -> QosProfile:
    """Return what discovery tells of a remote profile; history and depth are not told."""
    reliable = isinstance(qos[Policy.Reliability], Policy.Reliability.Reliable)
    durable = qos[Policy.Durability] not in (None, Policy.Durability.Volatile)
    return QosProfile(
        reliability="reliable" if reliable else "best_effort",
        durability="transient_local" if durable else "volatile",
        depth=0,
    )


def user_data(qos: Qos) -> dict[str, str]:
    """Return the "key=value;" pairs of an endpoint or participant."""
    policy = qos[Policy.Userdata]
    text = policy.data.decode("utf-8", "replace") if policy else ""
    pairs = (part.partition("=") for part in text.split(";") if "=" in part)
    return {key: value for key, _, value in pairs}
