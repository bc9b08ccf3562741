"""Publishers and subscriptions of ROS topics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from owseg.errors import ImageError
from owseg_ros.hosts.base import Message, MismatchHandler
from owseg_ros.hosts.groups import Group, Mailbox
from owseg_ros.hosts.log import Log
from owseg_ros.hosts.mismatches import MismatchReporter
from owseg_ros.hosts.qos import QosProfile
from owseg_ros.hosts.standalone import cyclone, policies
from owseg_ros.hosts.standalone.graph import TOPIC_PREFIX, LocalNode
from owseg_ros.hosts.standalone.intake import Watched
from owseg_ros.hosts.standalone.network import Network
from owseg_ros.hosts.standalone.wire import Sample

MALFORMED_EVERY_S = 5.0

READ_AHEAD = 8
"""Least depth of a reader: what it drops by itself, nobody could count."""


class DdsPublisher:
    """Publishes one topic.

    Args:
        network: of the process.
        node: that publishes.
        message_type: "package/msg/Name".
        topic: full name.
        qos: what is offered.
        group: tells of mismatches.
        on_mismatch: gets them.
    """

    def __init__(
        self,
        network: Network,
        node: LocalNode,
        message_type: str,
        topic: str,
        qos: QosProfile,
        group: Group,
        on_mismatch: MismatchHandler,
    ) -> None:
        self.message_type, self.topic, self.qos = message_type, topic, qos
        self._network, self._node, self._group = network, node, group
        data = f"typehash={network.interfaces.type_hash(message_type)};"
        dds_qos = policies.to_dds(qos, data)
        self._writer = network.topics.writer(TOPIC_PREFIX + topic, message_type, dds_qos)
        self._reporter = MismatchReporter(
            network.graph, topic, "publisher", qos, on_mismatch, policies.POLICY_NAMES
        )
        statuses = cyclone.STATUS_OFFERED_INCOMPATIBLE_QOS
        self._source = Watched(self._writer.entity, statuses, self._ready)
        network.intake.add(self._source, self._writer.entity)
        network.graph.add(node, self._writer.entity, writes=True)
        self.destroyed = False

    @property
    def subscribers(self) -> int:
        """Number of subscriptions that match."""
        if self.destroyed:
            return 0
        return int(self._writer.entity.get_publication_matched_status().current_count)

    def publish(self, message: Message) -> bool:
        """Send a message; see `Publisher.publish`."""
        if self.destroyed:
            return False
        return self._writer.write(self._network.interfaces.encode(message, self.message_type))

    def destroy(self) -> None:
        """Leave the topic."""
        if self.destroyed:
            return
        self.destroyed = True
        self._network.intake.remove(self._source)
        self._network.graph.remove(self._node, self._writer.entity)
        cyclone.delete(self._writer.entity)

    def _ready(self, _: int) -> None:
        status = self._writer.entity.get_offered_incompatible_qos_status()
        if status.total_count:
            self._group.post(lambda: self._reporter.report(status.last_policy_id))


class DdsSubscription:
    """Subscribes to one topic.

    Args:
        network: of the process.
        node: that subscribes.
        message_type: "package/msg/Name".
        topic: full name.
        qos: what is requested.
        group: runs the handler.
        handler: gets each message.
        on_mismatch: gets publishers that do not fit.
        log: where unreadable messages are reported.
    """

    def __init__(
        self,
        network: Network,
        node: LocalNode,
        message_type: str,
        topic: str,
        qos: QosProfile,
        group: Group,
        handler: Callable[[Message], None],
        on_mismatch: MismatchHandler,
        log: Log,
    ) -> None:
        self.message_type, self.topic, self.qos = message_type, topic, qos
        self.malformed = 0
        self._network, self._node, self._group, self._log = network, node, group, log
        self._handler = handler
        depth = 0 if qos.history == "keep_all" else qos.depth
        self._mailbox: Mailbox[Sample] = Mailbox(depth, group, self._handle)
        data = f"typehash={network.interfaces.type_hash(message_type)};"
        read_ahead = replace(qos, depth=max(qos.depth, READ_AHEAD))
        dds_qos = policies.to_dds(read_ahead, data)
        self._reader = network.topics.reader(TOPIC_PREFIX + topic, message_type, dds_qos)
        self._reporter = MismatchReporter(
            network.graph, topic, "subscription", qos, on_mismatch, policies.POLICY_NAMES
        )
        statuses = cyclone.STATUS_DATA_AVAILABLE | cyclone.STATUS_REQUESTED_INCOMPATIBLE_QOS
        self._source = Watched(self._reader.entity, statuses, self._ready)
        network.graph.add(node, self._reader.entity, writes=False)
        network.intake.add(self._source, self._reader.entity)
        self.destroyed = False

    @property
    def publishers(self) -> int:
        """Number of publishers that match."""
        if self.destroyed:
            return 0
        return int(self._reader.entity.get_subscription_matched_status().current_count)

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
        if self.destroyed:
            return
        self.destroyed = True
        self._mailbox.close()
        self._network.intake.remove(self._source)
        self._network.graph.remove(self._node, self._reader.entity)
        cyclone.delete(self._reader.entity)

    def _ready(self, statuses: int) -> None:
        if statuses & cyclone.STATUS_DATA_AVAILABLE:
            for sample in self._reader.take():
                self._mailbox.put(sample)
        if statuses & cyclone.STATUS_REQUESTED_INCOMPATIBLE_QOS:
            status = self._reader.entity.get_requested_incompatible_qos_status()
            if status.total_count:
                self._group.post(lambda: self._reporter.report(status.last_policy_id))

    def _handle(self, sample: Sample) -> None:
        try:
            message = self._network.interfaces.decode(sample.data, self.message_type)
        except ImageError as err:
            self.malformed += 1
            self._log.warning(f"{self.topic}: {err}", every_s=MALFORMED_EVERY_S, key=self.topic)
            return
        self._handler(message)
