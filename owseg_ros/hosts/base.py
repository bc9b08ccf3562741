"""What a node sees of the machine it runs on, whichever middleware that has.

Node code is written once against these protocols. Two hosts offer them: `rclpy_host`
where ROS 2 is sourced, and `standalone`, which speaks ROS 2's wire protocol by itself.

Rules for node code:

- types are named by text: "sensor_msgs/msg/Image", "owseg_msgs/srv/AddClass";
- messages are made by `host.messages` only, and read by their fields; numeric arrays are
  read through `np.asarray(field)` and given as arrays. Those of a received message are
  shared and may be read-only: copy before changing them;
- handlers run one at a time in the main group, in the thread that spins; give a slow one
  a group of its own, so that services and parameters stay quick beside it;
- a handler that raises is logged with its traceback, and the node goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from owseg_ros.hosts.entities import (
    NS_PER_S,
    Client,
    Clock,
    Endpoint,
    Graph,
    Lifecycle,
    Message,
    Messages,
    MismatchHandler,
    Parameters,
    Publisher,
    QosMismatch,
    Service,
    Subscription,
    Timer,
    check_period,
)
from owseg_ros.hosts.groups import Group
from owseg_ros.hosts.log import Log
from owseg_ros.hosts.parameters import Value
from owseg_ros.hosts.qos import DEFAULT, QosProfile

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = [
    "NS_PER_S",
    "Client",
    "Clock",
    "Endpoint",
    "Graph",
    "Host",
    "Lifecycle",
    "Message",
    "Messages",
    "MismatchHandler",
    "Parameters",
    "Publisher",
    "QosMismatch",
    "Runtime",
    "Service",
    "Subscription",
    "Timer",
    "check_period",
]


class Host(Protocol):
    """A node's machine: everything it may do with the rest of the system."""

    kind: str
    """"standalone" or "rclpy"."""

    name: str
    namespace: str
    full_name: str
    log: Log

    @property
    def messages(self) -> Messages: ...  # noqa: D102
    @property
    def clock(self) -> Clock: ...  # noqa: D102
    @property
    def parameters(self) -> Parameters: ...  # noqa: D102
    @property
    def lifecycle(self) -> Lifecycle: ...  # noqa: D102
    @property
    def graph(self) -> Graph: ...  # noqa: D102

    def resolve(self, name: str) -> str:
        """Return the full name of a topic, after remapping."""
        ...

    def group(self, name: str) -> Group:
        """Make a group with a thread of its own, for slow handlers."""
        ...

    def publisher(
        self,
        message_type: str,
        topic: str,
        qos: QosProfile = DEFAULT,
        *,
        on_mismatch: MismatchHandler | None = None,
    ) -> Publisher:
        """Publish on a topic.

        Args:
            message_type: "package/msg/Name".
            topic: relative, private ("~/x") or absolute name.
            qos: the default; parameters `qos_overrides.<topic>.publisher.*` change it.
            on_mismatch: is told of subscriptions that ask more; by default a warning is logged.

        Raises:
            UsageError: unknown type, invalid name or QoS override.
        """
        ...

    def subscription(
        self,
        message_type: str,
        topic: str,
        handler: Callable[[Message], None],
        qos: QosProfile = DEFAULT,
        *,
        group: Group | None = None,
        on_mismatch: MismatchHandler | None = None,
    ) -> Subscription:
        """Subscribe to a topic. With depth 1 the newest message waits for a slow handler.

        Args:
            message_type: "package/msg/Name".
            topic: relative, private ("~/x") or absolute name.
            handler: gets each message.
            qos: the default; parameters `qos_overrides.<topic>.subscription.*` change it.
            group: runs the handler; the main group by default.
            on_mismatch: is told of publishers that offer less; by default a warning is logged.

        Raises:
            UsageError: unknown type, invalid name or QoS override.
        """
        ...

    def service(
        self,
        service_type: str,
        name: str,
        handler: Callable[[Message], Message],
        *,
        group: Group | None = None,
    ) -> Service:
        """Offer a service.

        An `OwsegError` that the handler raises is answered with `success` false and its
        text in `message`, where the response has these fields.

        Args:
            service_type: "package/srv/Name".
            name: relative, private ("~/x") or absolute name.
            handler: gets the request, returns the response.
            group: runs the handler; the main group by default.
        """
        ...

    def client(self, service_type: str, name: str) -> Client:
        """Prepare to call a service."""
        ...

    def timer(
        self,
        period_s: float,
        handler: Callable[[], None],
        *,
        group: Group | None = None,
        steady: bool = False,
    ) -> Timer:
        """Call a handler again and again; calls that come due while it runs are left out.

        Args:
            period_s: time between two calls, > 0.
            handler: is called.
            group: runs the handler; the main group by default.
            steady: by the clock of the machine, for what must go on while a simulated one
                stands still; by default by that of the node.

        Raises:
            UsageError: the period is not positive.
        """
        ...

    def destroy(self) -> None:
        """Shut the node down: the shutdown hook if it is managed, then all its entities."""
        ...


class Runtime(Protocol):
    """The process: opens nodes, runs their handlers, ends on SIGINT and SIGTERM."""

    kind: str
    rest: tuple[str, ...]
    """Arguments that are not for ROS."""

    def node(
        self,
        name: str,
        *,
        namespace: str = "",
        managed: bool = False,
        parameters: Mapping[str, Value] | None = None,
    ) -> Host:
        """Open a node.

        Args:
            name: the arguments may change it.
            namespace: the arguments may change it.
            managed: whether it has a lifecycle.
            parameters: values that files and arguments may override.
        """
        ...

    @property
    def ok(self) -> bool:
        """False once the process was asked to end."""
        ...

    def spin(self) -> None:
        """Run the handlers of all nodes until `stop`, SIGINT or SIGTERM."""
        ...

    def stop(self) -> None:
        """Make `spin` return; may be called from everywhere."""
        ...

    def close(self) -> None:
        """Destroy all nodes and leave the network."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...
