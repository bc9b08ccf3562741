"""Publishers, subscriptions, services and clients on rclpy."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

from owseg.errors import HostError
from owseg_ros.hosts.answers import answer
from owseg_ros.hosts.base import Endpoint, Message, MismatchHandler, QosMismatch
from owseg_ros.hosts.diagnosis import mismatch_text
from owseg_ros.hosts.groups import Group, Mailbox
from owseg_ros.hosts.log import Log
from owseg_ros.hosts.qos import QosProfile, Side, incompatible
from owseg_ros.hosts.rclpy_host import ros
from owseg_ros.hosts.rclpy_host.graph import RosGraph
from owseg_ros.hosts.rclpy_host.policies import POLICY_NAMES, to_ros

_LOOK_EVERY_S = 0.02
_DISCOVERY_S = 0.2


class _MismatchReporter:
    """Tells once of each peer whose QoS does not fit."""

    def __init__(
        self, graph: RosGraph, topic: str, side: Side, qos: QosProfile, tell: MismatchHandler
    ) -> None:
        self._graph, self._topic, self._qos, self._tell = graph, topic, qos, tell
        self._side: Side = side
        self._told: set[Endpoint] = set()

    def report(self, policy: Any) -> None:
        """Find the peers that do not fit, and tell of those that are new."""
        deadline = time.monotonic() + _DISCOVERY_S
        found = self._misfits()
        while not (found and all(peer.node for peer in found)) and time.monotonic() < deadline:
            time.sleep(_LOOK_EVERY_S)
            found = self._misfits()
        for peer, policies in found.items():
            text = mismatch_text(self._topic, self._side, self._qos, peer)
            self._tell(QosMismatch(self._topic, self._side, policies, peer, text))
        self._told.update(found)
        if not found and not self._told:
            name = POLICY_NAMES.get(int(policy), f"number {int(policy)}")
            text = f"a peer on {self._topic} does not fit: QoS policy {name}"
            self._tell(QosMismatch(self._topic, self._side, (name,), None, text))

    def _misfits(self) -> dict[Endpoint, tuple[str, ...]]:
        offers = self._side == "publisher"
        look = self._graph.subscriptions if offers else self._graph.publishers
        found: dict[Endpoint, tuple[str, ...]] = {}
        for peer in look(self._topic):
            pair = (self._qos, peer.qos) if offers else (peer.qos, self._qos)
            if peer not in self._told and (policies := incompatible(*pair)):
                found[peer] = policies
        return found


class RosPublisher:
    """Publishes one topic.

    Args:
        node: of rclpy.
        cls: class of the messages.
        message_type: its name.
        name: of the topic, as the node calls it; rclpy remaps it.
        topic: full name.
        qos: what is offered.
        group: tells of mismatches.
        on_mismatch: gets them.
    """

    def __init__(
        self,
        node: Any,
        cls: Any,
        message_type: str,
        name: str,
        topic: str,
        qos: QosProfile,
        group: Group,
        on_mismatch: MismatchHandler,
    ) -> None:
        self.message_type, self.topic, self.qos = message_type, topic, qos
        self._node = node
        reporter = _MismatchReporter(RosGraph(node), topic, "publisher", qos, on_mismatch)
        events = ros.PublisherEventCallbacks(
            incompatible_qos=lambda e: group.post(lambda: reporter.report(e.last_policy_kind))
        )
        self._publisher: Any = node.create_publisher(cls, name, to_ros(qos), event_callbacks=events)

    @property
    def subscribers(self) -> int:
        """Number of subscriptions that match."""
        return self._publisher.get_subscription_count() if self._publisher is not None else 0

    def publish(self, message: Message) -> bool:
        """Send a message."""
        if self._publisher is None:
            return False
        self._publisher.publish(message)
        return True

    def destroy(self) -> None:
        """Leave the topic."""
        publisher, self._publisher = self._publisher, None
        if publisher is not None:
            self._node.destroy_publisher(publisher)


class RosSubscription:
    """Subscribes to one topic.

    Args:
        node: of rclpy.
        cls: class of the messages.
        message_type: its name.
        name: of the topic, as the node calls it; rclpy remaps it.
        topic: full name.
        qos: what is requested.
        group: runs the handler.
        handler: gets each message.
        on_mismatch: gets publishers that do not fit.
    """

    malformed = 0
    """rclpy throws unreadable messages away without telling."""

    def __init__(
        self,
        node: Any,
        cls: Any,
        message_type: str,
        name: str,
        topic: str,
        qos: QosProfile,
        group: Group,
        handler: Callable[[Message], None],
        on_mismatch: MismatchHandler,
    ) -> None:
        self.message_type, self.topic, self.qos = message_type, topic, qos
        self._node = node
        self._graph = RosGraph(node)
        depth = 0 if qos.history == "keep_all" else qos.depth
        self._mailbox: Mailbox[Message] = Mailbox(depth, group, handler)
        reporter = _MismatchReporter(self._graph, topic, "subscription", qos, on_mismatch)
        events = ros.SubscriptionEventCallbacks(
            incompatible_qos=lambda e: group.post(lambda: reporter.report(e.last_policy_kind))
        )
        self._subscription: Any = node.create_subscription(
            cls,
            name,
            self._mailbox.put,
            to_ros(qos),
            callback_group=ros.MutuallyExclusiveCallbackGroup(),
            event_callbacks=events,
        )

    @property
    def publishers(self) -> int:
        """Number of publishers that match."""
        if self._subscription is None:
            return 0
        fitting = [
            peer
            for peer in self._graph.publishers(self.topic)
            if peer.message_type == self.message_type and not incompatible(peer.qos, self.qos)
        ]
        return len(fitting)

    @property
    def received(self) -> int:
        """Number of messages that arrived."""
        return self._mailbox.received

    @property
    def dropped(self) -> int:
        """Number of messages that newer ones replaced."""
        return self._mailbox.dropped

    def destroy(self) -> None:
        """Leave the topic."""
        self._mailbox.close()
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            self._node.destroy_subscription(subscription)


class RosService:
    """Offers one service.

    Args:
        node: of rclpy.
        cls: class of the service.
        name: as the node calls it; rclpy remaps it.
        full: full name.
        group: runs the handler.
        handler: gets the request, returns the response.
        log: where failures are reported.
    """

    def __init__(
        self,
        node: Any,
        cls: Any,
        name: str,
        full: str,
        group: Group,
        handler: Callable[[Message], Message],
        log: Log,
    ) -> None:
        self.name = full
        self._node, self._group, self._handler, self._log = node, group, handler, log
        self._service: Any = node.create_service(
            cls, name, self._answer, callback_group=ros.MutuallyExclusiveCallbackGroup()
        )

    def _answer(self, request: Message, blank: Message) -> Message:
        return self._group.call(lambda: answer(self._handler, request, blank, self.name, self._log))

    def destroy(self) -> None:
        """Stop to answer."""
        service, self._service = self._service, None
        if service is not None:
            self._node.destroy_service(service)


class RosClient:
    """Calls one service.

    Args:
        node: of rclpy.
        cls: class of the service.
        name: as the node calls it; rclpy remaps it.
        full: full name.
    """

    def __init__(self, node: Any, cls: Any, name: str, full: str) -> None:
        self.name = full
        self._node = node
        self._open: set[Future[Message]] = set()
        self._client: Any = node.create_client(
            cls, name, callback_group=ros.MutuallyExclusiveCallbackGroup()
        )

    @property
    def ready(self) -> bool:
        """Whether a server is there."""
        return self._client is not None and bool(self._client.service_is_ready())

    def wait(self, timeout_s: float) -> bool:
        """Wait until a server is there."""
        deadline = time.monotonic() + timeout_s
        while not self.ready and time.monotonic() < deadline:
            time.sleep(_LOOK_EVERY_S)
        return self.ready

    def call(self, request: Message, timeout_s: float = 5.0) -> Message:
        """Call and wait; see `Client.call`."""
        hint = "start its node, and give both the same ROS_DOMAIN_ID and RMW_IMPLEMENTATION"
        if not self.wait(timeout_s):
            raise HostError(f"nobody offers service {self.name}; {hint}")
        future = self.call_async(request)
        try:
            return future.result(timeout_s)
        except FutureTimeoutError:
            future.cancel()
            raise HostError(
                f"service {self.name} did not answer within {timeout_s:g} s; {hint}"
            ) from None

    def call_async(self, request: Message) -> Future[Message]:
        """Call; see `Client.call_async`."""
        future: Future[Message] = Future()
        self._open.add(future)

        def done(answered: Any) -> None:
            self._open.discard(future)
            if not future.set_running_or_notify_cancel():
                return
            if answered.exception() is not None:
                future.set_exception(answered.exception())
            else:
                future.set_result(answered.result())

        self._client.call_async(request).add_done_callback(done)
        return future

    def destroy(self) -> None:
        """Forget the service."""
        client, self._client = self._client, None
        if client is not None:
            self._node.destroy_client(client)
        for future in list(self._open):
            future.cancel()
