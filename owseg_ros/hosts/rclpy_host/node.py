"""A node on rclpy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from owseg.errors import UsageError
from owseg_ros.hosts import names
from owseg_ros.hosts.base import (
    Client,
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
from owseg_ros.hosts.belongings import Belongings
from owseg_ros.hosts.groups import Group
from owseg_ros.hosts.lifecycle import UnmanagedLifecycle
from owseg_ros.hosts.log import Log
from owseg_ros.hosts.overrides import QosOverrides
from owseg_ros.hosts.parameters import Value
from owseg_ros.hosts.qos import DEFAULT, QosProfile
from owseg_ros.hosts.rclpy_host import ros
from owseg_ros.hosts.rclpy_host.entities import (
    RosClient,
    RosPublisher,
    RosService,
    RosSubscription,
)
from owseg_ros.hosts.rclpy_host.graph import RosGraph
from owseg_ros.hosts.rclpy_host.lifecycle import ManagedNode, RosLifecycle
from owseg_ros.hosts.rclpy_host.messages import RosMessages
from owseg_ros.hosts.rclpy_host.parameters import RosParameters
from owseg_ros.hosts.ros_args import RosArgs


class RosClock:
    """The time of a node.

    Args:
        node: of rclpy.
    """

    def __init__(self, node: Any) -> None:
        self._clock = node.get_clock()

    @property
    def simulated(self) -> bool:
        """Whether `/clock` rules."""
        return bool(self._clock.ros_time_is_active)

    def now_ns(self) -> int:
        """Return nanoseconds since the epoch."""
        return int(self._clock.now().nanoseconds)


class RosTimer:
    """Calls a handler again and again, in a group.

    Calls that come due while the handler waits or runs are left out.
    """

    def __init__(
        self, node: Any, period_s: float, handler: Callable[[], None], group: Group, steady: bool
    ) -> None:
        self._node, self._handler, self._group = node, handler, group
        self._waiting = False
        clock = ros.Clock(clock_type=ros.ClockType.STEADY_TIME) if steady else None
        own = ros.MutuallyExclusiveCallbackGroup()
        self._timer: Any = node.create_timer(period_s, self._tick, callback_group=own, clock=clock)

    @property
    def destroyed(self) -> bool:
        """Whether it was cancelled."""
        return self._timer is None

    def destroy(self) -> None:
        """Stop for good."""
        self.cancel()

    def cancel(self) -> None:
        """Stop for good."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
            self._node.destroy_timer(timer)

    def _tick(self) -> None:
        if not self._waiting:
            self._waiting = True
            self._group.post(self._call)

    def _call(self) -> None:
        self._waiting = False
        if self._timer is not None:
            self._handler()


class RclpyHost:
    """One node; see `base.Host`.

    Args:
        executor: takes what arrives.
        context: of rclpy.
        main: group of the handlers that name no other.
        args: what the command line says, as far as it is understood.
        name: of the node, before remapping.
        namespace: of the node, before remapping.
        managed: whether it has a lifecycle.
        parameters: values that files and arguments may override.
    """

    kind = "rclpy"

    def __init__(
        self,
        executor: Any,
        context: Any,
        main: Group,
        args: RosArgs,
        name: str,
        *,
        namespace: str,
        managed: bool,
        parameters: Mapping[str, Value],
    ) -> None:
        cls = ManagedNode if managed else ros.Node
        try:
            self._node = cls(name, context=context, namespace=namespace or None)
        except ros.NameValidationException as err:
            raise UsageError(" ".join(str(err).split())) from err
        self._executor, self._main = executor, main
        self.name: str = self._node.get_name()
        self.namespace: str = self._node.get_namespace()
        self.full_name = names.join(self.namespace, self.name)
        self.log = Log(_sink(self._node.get_logger()))
        self._messages = RosMessages()
        given = args.parameters_of(self.full_name)
        self._parameters = RosParameters(self._node, main, parameters, given)
        self._overrides = QosOverrides(self._parameters)
        self._clock = RosClock(self._node)
        self._graph = RosGraph(self._node)
        self._lifecycle: Lifecycle = (
            RosLifecycle(self._node, main, self.log) if managed else UnmanagedLifecycle()
        )
        self._destroyed = False
        self._groups: list[Group] = []
        self._belongings = Belongings()
        executor.add_node(self._node)

    @property
    def messages(self) -> Messages:
        """Makes messages."""
        return self._messages

    @property
    def clock(self) -> RosClock:
        """The time of the node."""
        return self._clock

    @property
    def parameters(self) -> Parameters:
        """The parameters of the node."""
        return self._parameters

    @property
    def lifecycle(self) -> Lifecycle:
        """The state of the node."""
        return self._lifecycle

    @property
    def graph(self) -> Graph:
        """What else is on the network."""
        return self._graph

    def resolve(self, name: str) -> str:
        """Return the full name of a topic, after remapping."""
        names.expand(name, self.namespace, self.name)
        return str(self._node.resolve_topic_name(name))

    def group(self, name: str) -> Group:
        """Make a group with a thread of its own."""
        group = Group(f"{self.name}-{name}", self.log)
        group.start()
        self._groups.append(group)
        return group

    def publisher(
        self,
        message_type: str,
        topic: str,
        qos: QosProfile = DEFAULT,
        *,
        on_mismatch: MismatchHandler | None = None,
    ) -> Publisher:
        """Publish on a topic; see `Host.publisher`."""
        full, cls = self.resolve(topic), self._messages.load(message_type)
        qos = self._overrides.apply(full, "publisher", qos)
        tell = on_mismatch or self._warn
        publisher = RosPublisher(self._node, cls, message_type, topic, full, qos, self._main, tell)
        return self._belongings.add(publisher)

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
        """Subscribe to a topic; see `Host.subscription`."""
        full, cls = self.resolve(topic), self._messages.load(message_type)
        qos = self._overrides.apply(full, "subscription", qos)
        tell, runs = on_mismatch or self._warn, group or self._main
        subscription = RosSubscription(
            self._node, cls, message_type, topic, full, qos, runs, handler, tell
        )
        return self._belongings.add(subscription)

    def service(
        self,
        service_type: str,
        name: str,
        handler: Callable[[Message], Message],
        *,
        group: Group | None = None,
    ) -> Service:
        """Offer a service; see `Host.service`."""
        cls = self._messages.load(service_type)
        full, runs = self._resolve_service(name), group or self._main
        return self._belongings.add(
            RosService(self._node, cls, name, full, runs, handler, self.log)
        )

    def client(self, service_type: str, name: str) -> Client:
        """Prepare to call a service."""
        cls = self._messages.load(service_type)
        full = self._resolve_service(name)
        return self._belongings.add(RosClient(self._node, cls, name, full))

    def _resolve_service(self, name: str) -> str:
        names.expand(name, self.namespace, self.name)
        return str(self._node.resolve_service_name(name))

    def timer(
        self,
        period_s: float,
        handler: Callable[[], None],
        *,
        group: Group | None = None,
        steady: bool = False,
    ) -> Timer:
        """Call a handler again and again; see `Host.timer`."""
        check_period(period_s)
        runs = group or self._main
        return self._belongings.add(RosTimer(self._node, period_s, handler, runs, steady))

    def destroy(self) -> None:
        """Shut the node down; see `Host.destroy`."""
        if self._destroyed:
            return
        self._destroyed = True
        if isinstance(self._lifecycle, RosLifecycle):
            self._lifecycle.finish()
        self._belongings.destroy()
        for group in self._groups:
            group.stop()
        self._executor.remove_node(self._node)
        self._node.destroy_node()

    def _warn(self, mismatch: QosMismatch) -> None:
        self.log.warning(mismatch.text)


def _sink(logger: Any) -> Callable[[str, str], None]:
    # rclpy ties the level of a line to the place of the call: each level needs its own.
    says: dict[str, Callable[[str], Any]] = {
        "DEBUG": lambda text: logger.debug(text),
        "INFO": lambda text: logger.info(text),
        "WARN": lambda text: logger.warning(text),
        "ERROR": lambda text: logger.error(text),
        "FATAL": lambda text: logger.fatal(text),
    }
    return lambda level, text: says[level](text)
