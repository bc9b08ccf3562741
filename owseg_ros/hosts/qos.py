"""Quality of service: what a topic promises, and why two ends of it do not match."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from owseg.errors import UsageError

Reliability = Literal["reliable", "best_effort"]
Durability = Literal["volatile", "transient_local"]
History = Literal["keep_last", "keep_all"]

RELIABILITIES: tuple[Reliability, ...] = ("reliable", "best_effort")
DURABILITIES: tuple[Durability, ...] = ("volatile", "transient_local")
HISTORIES: tuple[History, ...] = ("keep_last", "keep_all")

POLICIES = ("history", "depth", "reliability", "durability")
"""Policies that parameters can override, by the names that ROS 2 uses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QosProfile:
    """The policies of one publisher or subscription.

    Attributes:
        reliability: "reliable" resends what got lost; "best_effort" does not.
        durability: "transient_local" keeps the last `depth` messages for late joiners.
        history: "keep_last" keeps `depth` messages, "keep_all" all of them.
        depth: length of the queue, >= 1; 0 where discovery does not tell it.

    Raises:
        UsageError: an unknown value, or a negative depth.
    """

    reliability: Reliability = "reliable"
    durability: Durability = "volatile"
    history: History = "keep_last"
    depth: int = 10

    def __post_init__(self) -> None:
        """Check the values, which may come from a parameter file."""
        _one_of("reliability", self.reliability, RELIABILITIES)
        _one_of("durability", self.durability, DURABILITIES)
        _one_of("history", self.history, HISTORIES)
        if self.depth < 0:
            raise UsageError(f"QoS depth must be 1 or more, got {self.depth}")

    def __str__(self) -> str:
        depth = f" depth {self.depth}" if self.depth and self.history == "keep_last" else ""
        return f"{self.reliability}, {self.durability}, {self.history}{depth}"

    @property
    def latched(self) -> bool:
        """Whether late joiners get the last message."""
        return self.durability == "transient_local"


def _one_of(policy: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise UsageError(f"QoS {policy} must be {' or '.join(allowed)}, got '{value}'")


DEFAULT = QosProfile()
"""Reliable, depth 10: what ROS 2 publishers offer by default."""

LATEST = QosProfile(depth=1)
"""Reliable, depth 1: for outputs of which only the newest counts."""

SENSOR_DATA = QosProfile(reliability="best_effort", depth=1)
"""For subscriptions to cameras: matches every publisher, and the newest frame wins."""

LATCHED = QosProfile(durability="transient_local", depth=1)
"""For state: a late joiner gets the last message."""

SERVICES = QosProfile(depth=10)
PARAMETERS = QosProfile(depth=1000)
PARAMETER_EVENTS = QosProfile(depth=1000)
ROSOUT = QosProfile(durability="transient_local", depth=1000)
CLOCK = QosProfile(reliability="best_effort", depth=1)


def incompatible(offered: QosProfile, requested: QosProfile) -> tuple[str, ...]:
    """Name the policies for which a subscription asks more than a publisher offers.

    Args:
        offered: profile of the publisher.
        requested: profile of the subscription.

    Returns:
        "reliability" and "durability" where they keep the two apart; empty = they match.
    """
    found = []
    if (offered.reliability, requested.reliability) == ("best_effort", "reliable"):
        found.append("reliability")
    if (offered.durability, requested.durability) == ("volatile", "transient_local"):
        found.append("durability")
    return tuple(found)


Side = Literal["publisher", "subscription"]


def override_name(topic: str, side: Side, policy: str) -> str:
    """Name the parameter that overrides a policy, as ROS 2 does.

    Args:
        topic: fully qualified name, after remapping.
        side: "publisher" or "subscription".
        policy: one of `POLICIES`.
    """
    return f"qos_overrides.{topic}.{side}.{policy}"


def with_overrides(profile: QosProfile, values: Mapping[str, object]) -> QosProfile:
    """Replace policies of a profile by the values of parameters.

    Args:
        profile: what the node asks for.
        values: by policy, as a parameter file has them.

    Raises:
        UsageError: a value that is no such policy; a depth below 1.
    """
    depth = values.get("depth", profile.depth)
    if not isinstance(depth, int) or isinstance(depth, bool) or depth < 1:
        raise UsageError(f"QoS depth must be an integer of 1 or more, got {depth!r}")
    return replace(profile, **{name: values[name] for name in POLICIES if name in values})  # type: ignore[arg-type]
