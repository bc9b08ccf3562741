"""What a host gives to a node: messages, topics, services, time, parameters, lifecycle."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, NamedTuple, Protocol

from owseg.errors import UsageError
from owseg_ros.hosts.lifecycle import LifecycleHooks, State
from owseg_ros.hosts.parameters import Listener, ParameterSpec, Validator, Value
from owseg_ros.hosts.qos import QosProfile, Side

Message = Any
"""A message: its fields are attributes."""

NS_PER_S = 1_000_000_000


class Endpoint(NamedTuple):
    """A publisher or subscription somewhere on the network.

    Attributes:
        node: full name of its node, "" where it is not known (yet).
        topic: full name.
        message_type: "package/msg/Name".
        qos: what it offers or requests; its depth is not told (0).
    """

    node: str
    topic: str
    message_type: str
    qos: QosProfile


class QosMismatch(NamedTuple):
    """Two ends of a topic that will not exchange messages.

    Attributes:
        topic: full name.
        side: which end is ours.
        policies: what keeps them apart, e.g. ("reliability",).
        peer: the other end; None where it is not known (yet).
        text: one line for the log: what is wrong, and the line that fixes it.
    """

    topic: str
    side: Side
    policies: tuple[str, ...]
    peer: Endpoint | None
    text: str


MismatchHandler = Callable[[QosMismatch], None]


class Messages(Protocol):
    """Makes messages; fields that are not given are zero, "" or empty."""

    def make(self, message_type: str, /, **fields: Any) -> Message:
        """Make a message.

        Args:
            message_type: "package/msg/Name".
            fields: values by name; a bytes-like or NumPy array for numeric arrays.

        Raises:
            UsageError: unknown type or field.
        """
        ...

    def request(self, service_type: str, /, **fields: Any) -> Message:
        """Make a request of a service, as `make` does."""
        ...

    def response(self, service_type: str, /, **fields: Any) -> Message:
        """Make a response of a service, as `make` does."""
        ...

    def has(self, interface_type: str) -> bool:
        """Whether a message or service type is known here."""
        ...


class Publisher(Protocol):
    """Sends messages of one type on one topic."""

    topic: str
    message_type: str
    qos: QosProfile

    @property
    def subscribers(self) -> int:
        """Number of subscriptions that get what is published."""
        ...

    def publish(self, message: Message) -> bool:
        """Send a message; False = given up, because a slow subscriber blocked too long."""
        ...

    def destroy(self) -> None:
        """Leave the topic."""
        ...


class Subscription(Protocol):
    """Gets messages of one type from one topic."""

    topic: str
    message_type: str
    qos: QosProfile

    @property
    def publishers(self) -> int:
        """Number of publishers that this subscription hears."""
        ...

    @property
    def received(self) -> int:
        """Number of messages that arrived."""
        ...

    @property
    def dropped(self) -> int:
        """Number of messages that newer ones replaced before they were handled."""
        ...

    @property
    def malformed(self) -> int:
        """Number of messages that could not be read."""
        ...

    def destroy(self) -> None:
        """Leave the topic; a handler that runs now still ends."""
        ...


class Service(Protocol):
    """Answers requests."""

    name: str

    def destroy(self) -> None:
        """Stop to answer."""
        ...


class Client(Protocol):
    """Calls a service."""

    name: str

    @property
    def ready(self) -> bool:
        """Whether a server is there."""
        ...

    def wait(self, timeout_s: float) -> bool:
        """Wait until a server is there; False = it did not come in time."""
        ...

    def call(self, request: Message, timeout_s: float = 5.0) -> Message:
        """Call and wait for the response.

        Raises:
            HostError: no server, or no response in time.
        """
        ...

    def call_async(self, request: Message) -> Future[Message]:
        """Call; the future gets the response in some other thread."""
        ...

    def destroy(self) -> None:
        """Forget the service; open calls are cancelled."""
        ...


def check_period(period_s: float) -> int:
    """Return the period of a timer in nanoseconds.

    Raises:
        UsageError: it is not positive, or not finite.
    """
    if not 0 < period_s < math.inf:
        raise UsageError(f"the period of a timer must be positive, got {period_s}")
    return max(1, round(period_s * NS_PER_S))


class Timer(Protocol):
    """Calls a handler again and again, by the clock of the node."""

    def cancel(self) -> None:
        """Stop for good."""
        ...


class Clock(Protocol):
    """The time of the node: of the machine, or of `/clock` with `use_sim_time`."""

    @property
    def simulated(self) -> bool:
        """Whether `/clock` rules."""
        ...

    def now_ns(self) -> int:
        """Return nanoseconds since the epoch; 0 before the first `/clock`."""
        ...


class Parameters(Protocol):
    """Parameters of the node: served to others, checked before they change."""

    def declare(self, spec: ParameterSpec) -> Value:
        """Declare a parameter; return its value.

        Raises:
            UsageError: a file or the command line gives a value that does not fit.
        """
        ...

    def get(self, name: str) -> Value:
        """Return the value of a parameter.

        Raises:
            UsageError: it was not declared.
        """
        ...

    def set(self, changes: Mapping[str, Value]) -> None:
        """Set all of several parameters, or none of them.

        Raises:
            UsageError: a value was refused.
        """
        ...

    def validate_with(self, validator: Validator) -> None:
        """Ask before each change; may be called in any thread and must not change anything."""
        ...

    def on_change(self, listener: Listener) -> None:
        """Be told of changes, in the main group."""
        ...

    def unused(self) -> list[str]:
        """Return names that were given a value and never declared: mostly misspelt."""
        ...


class Lifecycle(Protocol):
    """The state of a managed node."""

    @property
    def state(self) -> State:
        """Where the node is."""
        ...

    def manage(self, hooks: LifecycleHooks) -> None:
        """Say what the node does at each transition; once, before it spins."""
        ...

    def trigger(self, transition: str) -> bool:
        """Make a transition and wait for it; the hook runs in the main group.

        Returns:
            Whether its hook succeeded.

        Raises:
            UsageError: no such transition from this state, or the node is not managed.
        """
        ...


class Graph(Protocol):
    """What else is on the network."""

    def publishers(self, topic: str) -> list[Endpoint]:
        """Return all publishers of a topic, whatever their type; `topic` is a full name."""
        ...

    def subscriptions(self, topic: str) -> list[Endpoint]:
        """Return all subscriptions to a topic, whatever their type."""
        ...

    def topics(self) -> dict[str, tuple[str, ...]]:
        """Return the types of each topic by its full name."""
        ...

    def nodes(self) -> list[str]:
        """Return the full names of all nodes, sorted."""
        ...
