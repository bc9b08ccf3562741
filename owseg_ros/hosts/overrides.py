"""QoS of a topic, with what parameters make of it."""

from __future__ import annotations

from owseg.errors import UsageError
from owseg_ros.hosts.base import Parameters
from owseg_ros.hosts.parameters import ParameterSpec, Value
from owseg_ros.hosts.qos import (
    DURABILITIES,
    HISTORIES,
    POLICIES,
    RELIABILITIES,
    QosProfile,
    Side,
    override_name,
    with_overrides,
)

_CHOICES = {"history": HISTORIES, "reliability": RELIABILITIES, "durability": DURABILITIES}


class QosOverrides:
    """The parameters of one node that override the QoS of its topics.

    A second entity on the same topic shares the parameters of the first; where nobody gave
    them another value, it keeps the profile that it asks for.

    Args:
        parameters: of the node.
    """

    def __init__(self, parameters: Parameters) -> None:
        self._parameters = parameters
        self._defaults: dict[str, Value] = {}

    def apply(self, topic: str, side: Side, qos: QosProfile) -> QosProfile:
        """Declare the parameters of a topic, and return the QoS that they make.

        Args:
            topic: full name.
            side: "publisher" or "subscription".
            qos: the default.

        Raises:
            UsageError: a parameter has an unknown value.
        """
        values = {policy: self._value(topic, side, qos, policy) for policy in POLICIES}
        try:
            return with_overrides(qos, values)
        except UsageError as err:
            raise UsageError(f"{err}; see the parameters qos_overrides.{topic}.{side}") from err

    def _value(self, topic: str, side: Side, qos: QosProfile, policy: str) -> Value:
        default: Value = getattr(qos, policy)
        name = override_name(topic, side, policy)
        spec = ParameterSpec(
            name=name,
            default=default,
            description=f"{policy} of the {side} of {topic}",
            choices=_CHOICES.get(policy, ()),
            minimum=1 if policy == "depth" else None,
            read_only=True,
        )
        value = self._parameters.declare(spec)
        return default if value == self._defaults.setdefault(name, default) else value
