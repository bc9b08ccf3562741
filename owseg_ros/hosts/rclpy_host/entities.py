"""Publishers, subscriptions, services and clients on rclpy."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from owseg_ros.hosts.answers import answer
from owseg_ros.hosts.base import Message, MismatchHandler
from owseg_ros.hosts.calls import BlockingCalls
from owseg_ros.hosts.groups import Group, Mailbox
from owseg_ros.hosts.log import Log
from owseg_ros.hosts.mismatches import MismatchReporter
from owseg_ros.hosts.qos import QosProfile, incompatible
from owseg_ros.hosts.rclpy_host import ros
from owseg_ros.hosts.rclpy_host.graph import RosGraph
from owseg_ros.hosts.rclpy_host.policies import POLICY_NAMES, to_ros

_LOOK_EVERY_S = 0.02


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
        reporter = MismatchReporter(
            RosGraph(node), topic, "publisher", qos, on_mismatch, POLICY_NAMES
        )
        events = ros.PublisherEventCallbacks(
            incompatible_qos=lambda e: group.post(lambda: reporter.report(int(e.last_policy_kind)))
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

    @property
    def destroyed(self) -> bool:
        """Whether it left the topic."""
        return self._publisher is None

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
        reporter = MismatchReporter(
            self._graph, topic, "subscription", qos, on_mismatch, POLICY_NAMES
        )
        events = ros.SubscriptionEventCallbacks(
            incompatible_qos=lambda e: group.post(lambda: reporter.report(int(e.last_policy_kind)))
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

    @property
    def destroyed(self) -> bool:
        """Whether it left the topic."""
        return self._subscription is None

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

    @property
    def destroyed(self) -> bool:
        """Whether it answers no more."""
        return self._service is None

    def destroy(self) -> None:
        """Stop to answer."""
        service, self._service = self._service, None
        if service is not None:
            self._node.destroy_service(service)


class RosClient(BlockingCalls):
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

    def call_async(self, request: Message) -> Future[Message]:
        """Call; see `Client.call_async`."""
        future: Future[Message] = Future()
        client = self._client
        asked = client.call_async(request)

        def done(answered: Any) -> None:
            if not future.set_running_or_notify_cancel():
                return
            if answered.exception() is not None:
                future.set_exception(answered.exception())
            else:
                future.set_result(answered.result())

        def forget(ended: Future[Message]) -> None:
            self._open.discard(ended)
            if ended.cancelled():  # rclpy would wait for the response forever
                client.remove_pending_request(asked)

        self._open.add(future)
        future.add_done_callback(forget)
        asked.add_done_callback(done)
        return future

    def send(self, request: Message, deadline_s: float) -> Future[Message]:
        """Send a request; rclpy keeps it until it can leave."""
        return self.call_async(request)

    def hint(self) -> str:
        """Say what to do where no server answers."""
        return "start its node, and give both the same ROS_DOMAIN_ID and RMW_IMPLEMENTATION"

    @property
    def destroyed(self) -> bool:
        """Whether it was forgotten."""
        return self._client is None

    def destroy(self) -> None:
        """Forget the service."""
        client, self._client = self._client, None
        if client is not None:
            self._node.destroy_client(client)
        for future in list(self._open):
            future.cancel()
