"""Publishers and subscriptions of ROS topics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from owseg.errors import ImageError
from owseg_ros.hosts.base import Endpoint, Message, MismatchHandler, QosMismatch
from owseg_ros.hosts.diagnosis import mismatch_text
from owseg_ros.hosts.groups import Group, Mailbox
from owseg_ros.hosts.log import Log
from owseg_ros.hosts.qos import QosProfile, Side, incompatible
from owseg_ros.hosts.standalone import cyclone, policies
from owseg_ros.hosts.standalone.graph import TOPIC_PREFIX, LocalNode
from owseg_ros.hosts.standalone.intake import Watched
from owseg_ros.hosts.standalone.network import Network
from owseg_ros.hosts.standalone.wire import Sample

MALFORMED_EVERY_S = 5.0

READ_AHEAD = 8
"""Least depth of a reader: what it drops by itself, nobody could count."""

_DISCOVERY_S = 0.2


class _MismatchReporter:
    """Tells once of each peer whose QoS does not fit."""

    def __init__(
        self, network: Network, topic: str, side: Side, qos: QosProfile, tell: MismatchHandler
    ) -> None:
        self._network = network
        self._topic = topic
        self._side: Side = side
        self._qos = qos
        self._tell = tell
        self._told: set[Endpoint] = set()

    def report(self, policy_id: int) -> None:
        """Find the peers that do not fit, and tell of those that are new."""
        self._network.graph.wait_for(self._know_names, _DISCOVERY_S)
        found = self._misfits()
        for peer, names in found.items():
            text = mismatch_text(self._topic, self._side, self._qos, peer)
            self._tell(QosMismatch(self._topic, self._side, names, peer, text))
        self._told.update(found)
        if not found and not self._told:
            name = policies.POLICY_NAMES.get(policy_id, f"number {policy_id}")
            text = f"a peer on {self._topic} does not fit: QoS policy {name}"
            self._tell(QosMismatch(self._topic, self._side, (name,), None, text))

    def _know_names(self) -> bool:
        found = self._misfits()
        return bool(found) and all(peer.node for peer in found)

    def _misfits(self) -> dict[Endpoint, tuple[str, ...]]:
        graph, offers = self._network.graph, self._side == "publisher"
        peers = graph.subscriptions(self._topic) if offers else graph.publishers(self._topic)
        pairs = {peer: (self._qos, peer.qos) if offers else (peer.qos, self._qos) for peer in peers}
        names = {peer: incompatible(*pair) for peer, pair in pairs.items()}
        return {peer: found for peer, found in names.items() if found and peer not in self._told}


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
        self._reporter = _MismatchReporter(network, topic, "publisher", qos, on_mismatch)
        statuses = cyclone.STATUS_OFFERED_INCOMPATIBLE_QOS
        self._source = Watched(self._writer.entity, statuses, self._ready)
        network.intake.add(self._source, self._writer.entity)
        network.graph.add(node, self._writer.entity, writes=True)
        self._destroyed = False

    @property
    def subscribers(self) -> int:
        """Number of subscriptions that match."""
        if self._destroyed:
            return 0
        return int(self._writer.entity.get_publication_matched_status().current_count)

    def publish(self, message: Message) -> bool:
        """Send a message; see `Publisher.publish`."""
        if self._destroyed:
            return False
        return self._writer.write(self._network.interfaces.encode(message, self.message_type))

    def destroy(self) -> None:
        """Leave the topic."""
        if self._destroyed:
            return
        self._destroyed = True
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
        self._reporter = _MismatchReporter(network, topic, "subscription", qos, on_mismatch)
        statuses = cyclone.STATUS_DATA_AVAILABLE | cyclone.STATUS_REQUESTED_INCOMPATIBLE_QOS
        self._source = Watched(self._reader.entity, statuses, self._ready)
        network.graph.add(node, self._reader.entity, writes=False)
        network.intake.add(self._source, self._reader.entity)
        self._destroyed = False

    @property
    def publishers(self) -> int:
        """Number of publishers that match."""
        if self._destroyed:
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
        if self._destroyed:
            return
        self._destroyed = True
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
