"""A node on the standalone host."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

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
from owseg_ros.hosts.parameters import ParameterSpec, ParameterStore, Value
from owseg_ros.hosts.qos import CLOCK, DEFAULT, PARAMETER_EVENTS, PARAMETERS, ROSOUT, QosProfile
from owseg_ros.hosts.ros_args import RosArgs
from owseg_ros.hosts.standalone import lifecycle_server, parameter_server, rosout
from owseg_ros.hosts.standalone.clock import (
    CLOCK_TOPIC,
    CLOCK_TYPE,
    ClockTimer,
    NodeClock,
    TimerThread,
)
from owseg_ros.hosts.standalone.lifecycle_server import ServedLifecycle
from owseg_ros.hosts.standalone.network import Network
from owseg_ros.hosts.standalone.parameter_server import ParameterServer, StoredParameters
from owseg_ros.hosts.standalone.services import DdsClient, DdsService
from owseg_ros.hosts.standalone.topics import DdsPublisher, DdsSubscription

SIM_TIME = ParameterSpec(
    name="use_sim_time", default=False, description="follow /clock instead of the machine's clock"
)

Handler = Callable[[Message], Message]


class StandaloneHost:
    """One node; see `base.Host`.

    Args:
        network: of the process.
        timers: of the process.
        main: group of the handlers that name no other.
        quick: group that answers questions beside a busy main group.
        args: the ROS part of the command line.
        name: of the node, before remapping.
        namespace: of the node, before remapping.
        managed: whether it has a lifecycle.
        parameters: values that `args` may override.
    """

    kind = "standalone"

    def __init__(
        self,
        network: Network,
        timers: TimerThread,
        main: Group,
        quick: Group,
        args: RosArgs,
        name: str,
        *,
        namespace: str,
        managed: bool,
        parameters: Mapping[str, Value],
    ) -> None:
        self.name, self.namespace = names.remapped_node(name, namespace, args.remaps)
        self.full_name = names.join(self.namespace, self.name)
        self._network, self._timers, self._main, self._quick = network, timers, main, quick
        self._args = args
        self._belongings = Belongings()
        self._groups: list[Group] = []
        self._destroyed = False
        self._clock = NodeClock()
        self._clock.on_tick = timers.wake
        self._clock_subscription: Subscription | None = None
        sink = rosout.LogSink(
            self.full_name[1:].replace("/", "."),
            args.level_of(self.name),
            args.console,
            network.interfaces,
            self._clock.now_ns,
        )
        self.log = Log(sink)
        given = args.parameters_of(self.full_name)
        self._store = ParameterStore({**parameters, **given})
        self._parameters = StoredParameters(self._store, main)
        self._overrides = QosOverrides(self._parameters)
        with network.graph.batch():
            self._node = network.graph.add_node(self.namespace, self.name)
            if args.rosout:
                sink.publisher = self._publish(rosout.LOG_TYPE, rosout.LOG_TOPIC, ROSOUT)
            self._serve_parameters()
            self._lifecycle: Lifecycle = (
                self._serve_lifecycle() if managed else UnmanagedLifecycle()
            )
        self._store.on_change(self._follow_clock)
        self._follow_clock({SIM_TIME.name: self._store.declare(SIM_TIME)})

    @property
    def messages(self) -> Messages:
        """Makes messages."""
        return self._network.interfaces

    @property
    def clock(self) -> NodeClock:
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
        return self._network.graph

    def resolve(self, name: str) -> str:
        """Return the full name of a topic, after remapping."""
        return self._resolve(name, "topic")

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
        full = self.resolve(topic)
        qos = self._overrides.apply(full, "publisher", qos)
        return self._publish(message_type, full, qos, on_mismatch)

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
        full = self.resolve(topic)
        qos = self._overrides.apply(full, "subscription", qos)
        return self._subscribe(message_type, full, handler, qos, group, on_mismatch)

    def service(
        self, service_type: str, name: str, handler: Handler, *, group: Group | None = None
    ) -> Service:
        """Offer a service; see `Host.service`."""
        return self._serve(service_type, name, handler, group or self._main)

    def client(self, service_type: str, name: str) -> Client:
        """Prepare to call a service."""
        full = self._resolve(name, "service")
        return self._belongings.add(DdsClient(self._network, self._node, service_type, full))

    def timer(
        self,
        period_s: float,
        handler: Callable[[], None],
        *,
        group: Group | None = None,
        steady: bool = False,
    ) -> Timer:
        """Call a handler again and again; see `Host.timer`."""
        clock = NodeClock() if steady else self._clock
        timer = ClockTimer(check_period(period_s), clock, group or self._main, handler)
        self._timers.add(timer)
        return self._belongings.add(timer)

    def destroy(self) -> None:
        """Shut the node down; see `Host.destroy`."""
        if self._destroyed:
            return
        self._destroyed = True
        if isinstance(self._lifecycle, ServedLifecycle):
            self._lifecycle.finish()
        with self._network.graph.batch():
            self._belongings.destroy()
            self._network.graph.remove_node(self._node)
        for group in self._groups:
            group.stop()

    # Inside ------------------------------------------------------------------------------------

    def _resolve(self, name: str, kind: names.Kind) -> str:
        full = names.expand(name, self.namespace, self.name)
        return names.remapped(full, kind, self.namespace, self.name, self._args.remaps)

    def _publish(
        self,
        message_type: str,
        full: str,
        qos: QosProfile,
        on_mismatch: MismatchHandler | None = None,
    ) -> Publisher:
        tell = on_mismatch or self._warn
        publisher = DdsPublisher(
            self._network, self._node, message_type, full, qos, self._main, tell
        )
        return self._belongings.add(publisher)

    def _subscribe(
        self,
        message_type: str,
        full: str,
        handler: Callable[[Message], None],
        qos: QosProfile,
        group: Group | None = None,
        on_mismatch: MismatchHandler | None = None,
    ) -> Subscription:
        subscription = DdsSubscription(
            self._network,
            self._node,
            message_type,
            full,
            qos,
            group or self._main,
            handler,
            on_mismatch or self._warn,
            self.log,
        )
        return self._belongings.add(subscription)

    def _serve(
        self,
        service_type: str,
        name: str,
        handler: Handler,
        group: Group,
        qos: QosProfile | None = None,
    ) -> Service:
        full = self._resolve(name, "service")
        make = partial(DdsService, self._network, self._node, service_type, full, group, handler)
        return self._belongings.add(make(self.log) if qos is None else make(self.log, qos))

    def _warn(self, mismatch: QosMismatch) -> None:
        self.log.warning(mismatch.text)

    def _serve_parameters(self) -> None:
        events = self._publish(
            parameter_server.EVENT_TYPE, parameter_server.EVENT_TOPIC, PARAMETER_EVENTS
        )
        server = ParameterServer(
            self._store, self._network.interfaces, events, self.full_name, self._clock.now_ns
        )
        for kind, handler in server.services().items():
            name = "".join(f"_{c.lower()}" if c.isupper() else c for c in kind)[1:]
            service_type = f"{parameter_server.PACKAGE}/srv/{kind}"
            self._serve(service_type, f"~/{name}", handler, self._quick, PARAMETERS)

    def _serve_lifecycle(self) -> ServedLifecycle:
        package = lifecycle_server.PACKAGE
        topic = self.resolve(lifecycle_server.EVENT_TOPIC)
        events = self._publish(lifecycle_server.EVENT_TYPE, topic, DEFAULT)
        served = ServedLifecycle(
            self._network.interfaces, events, self.log, self._clock.now_ns, self._main
        )
        change = f"{package}/srv/ChangeState"
        self._serve(change, "~/change_state", served.change_state, self._main)
        for name, handler in served.questions().items():
            question = f"{package}/srv/{lifecycle_server.QUESTIONS[name]}"
            self._serve(question, f"~/{name}", handler, self._quick)
        return served

    def _follow_clock(self, changes: Mapping[str, Value]) -> None:
        if SIM_TIME.name not in changes:
            return
        simulated = bool(changes[SIM_TIME.name])
        self._clock.simulate(simulated)
        if simulated and self._clock_subscription is None:
            self._clock_subscription = self._subscribe(
                CLOCK_TYPE, CLOCK_TOPIC, self._clock.tick, CLOCK, self._quick
            )
