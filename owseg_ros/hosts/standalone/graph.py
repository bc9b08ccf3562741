"""Who is on the network: endpoints as DDS discovers them, nodes as ROS 2 announces them."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from owseg.errors import ImageError
from owseg_ros.hosts.base import Endpoint
from owseg_ros.hosts.names import join
from owseg_ros.hosts.qos import LATCHED, QosProfile
from owseg_ros.hosts.standalone import cyclone, policies
from owseg_ros.hosts.standalone.intake import Intake, Ready, Watched
from owseg_ros.hosts.standalone.interfaces import Interfaces
from owseg_ros.hosts.standalone.wire import Topics, ros_type_name

TOPIC_PREFIX = "rt"
FAST_DDS = b"\x01\x0f"
"""First bytes of the ids of endpoints that run on Fast DDS."""

_INFO_TOPIC = "ros_discovery_info"
_INFO_TYPE = "rmw_dds_common/msg/ParticipantEntitiesInfo"
_NODE_TYPE = "rmw_dds_common/msg/NodeEntitiesInfo"
_GID_TYPE = "rmw_dds_common/msg/Gid"
_GUID_SIZE = 16
_BATCH = 100
_HANDLE_MASK = 2**64 - 1

Guid = bytes


class Discovered(NamedTuple):
    """A reader or writer that DDS knows of.

    Attributes:
        guid: its id.
        topic: DDS name, e.g. "rt/image".
        type_name: DDS name of the type.
        qos: what it offers or requests.
        user_data: "key=value" pairs.
        writes: whether it is a writer.
        participant: id of its participant.
        handle: its local handle.
    """

    guid: Guid
    topic: str
    type_name: str
    qos: QosProfile
    user_data: dict[str, str]
    writes: bool
    participant: Guid
    handle: int


class LocalNode:
    """A node of this process, as it is announced.

    Args:
        namespace: normalised.
        name: of the node.
    """

    def __init__(self, namespace: str, name: str) -> None:
        self.namespace = namespace
        self.name = name
        self.readers: set[Guid] = set()
        self.writers: set[Guid] = set()


class GraphMonitor:
    """Keeps what discovery tells, and announces the nodes of this process.

    Args:
        participant: of this process.
        topics: makes the reader and writer of `ros_discovery_info`.
        interfaces: types of its messages.
        intake: tells of news.
    """

    def __init__(
        self,
        participant: cyclone.DomainParticipant,
        topics: Topics,
        interfaces: Interfaces,
        intake: Intake,
    ) -> None:
        self._guid = participant.guid.bytes
        self._interfaces = interfaces
        self._endpoints: dict[Guid, Discovered] = {}
        self._nodes: dict[Guid, dict[Guid, str]] = {}
        self._names: dict[Guid, list[str]] = {}
        self._local: list[LocalNode] = []
        self._batches = 0
        self._changed = threading.Condition()
        data = f"typehash={interfaces.type_hash(_INFO_TYPE)};"  # or ROS 2 warns without end
        self._writer = topics.writer(_INFO_TOPIC, _INFO_TYPE, policies.to_dds(LATCHED, data))
        keep_all = QosProfile(durability="transient_local", history="keep_all")
        self._reader = topics.reader(
            _INFO_TOPIC, _INFO_TYPE, policies.to_dds(keep_all, data, ignore_own=True)
        )
        self._watch(intake, self._reader.entity, self._take_info)
        for builtin, take in (
            (cyclone.BuiltinTopicDcpsPublication, self._take_writers),
            (cyclone.BuiltinTopicDcpsSubscription, self._take_readers),
            (cyclone.BuiltinTopicDcpsParticipant, self._take_participants),
        ):
            reader = cyclone.BuiltinDataReader(participant, builtin)
            self._watch(intake, reader, partial(take, reader))

    @staticmethod
    def _watch(intake: Intake, entity: cyclone.Entity, ready: Ready) -> None:
        intake.add(Watched(entity, cyclone.STATUS_DATA_AVAILABLE, ready), entity)

    # Questions ---------------------------------------------------------------------------------

    def endpoints(self, topic: str, *, writes: bool) -> list[Discovered]:
        """Return the writers or readers of a DDS topic."""
        with self._changed:
            found = self._endpoints.values()
            return [item for item in found if item.topic == topic and item.writes == writes]

    def by_handle(self, handle: int) -> Discovered | None:
        """Return the endpoint with a local handle."""
        with self._changed:
            return next((e for e in self._endpoints.values() if e.handle == handle), None)

    def described(self, found: Discovered) -> Endpoint:
        """Return an endpoint in the terms of ROS 2."""
        with self._changed:
            node = self._node_of(found)
        topic = found.topic.removeprefix(TOPIC_PREFIX)
        return Endpoint(node, topic, ros_type_name(found.type_name), found.qos)

    def _node_of(self, found: Discovered) -> str:
        if found.participant == self._guid:
            for node in self._local:
                if found.guid in node.readers or found.guid in node.writers:
                    return join(node.namespace, node.name)
        return self._nodes.get(found.participant, {}).get(found.guid, "")

    def publishers(self, topic: str) -> list[Endpoint]:
        """Return all publishers of a ROS topic."""
        return [self.described(e) for e in self.endpoints(TOPIC_PREFIX + topic, writes=True)]

    def subscriptions(self, topic: str) -> list[Endpoint]:
        """Return all subscriptions to a ROS topic."""
        return [self.described(e) for e in self.endpoints(TOPIC_PREFIX + topic, writes=False)]

    def topics(self) -> dict[str, tuple[str, ...]]:
        """Return the types of each ROS topic."""
        types: dict[str, set[str]] = {}
        with self._changed:
            for found in self._endpoints.values():
                if found.topic.startswith(f"{TOPIC_PREFIX}/"):
                    name = found.topic.removeprefix(TOPIC_PREFIX)
                    types.setdefault(name, set()).add(ros_type_name(found.type_name))
        return {name: tuple(sorted(types[name])) for name in sorted(types)}

    def nodes(self) -> list[str]:
        """Return the full names of all nodes, sorted."""
        with self._changed:
            remote = [name for names in self._names.values() for name in names]
            return sorted([*remote, *(join(node.namespace, node.name) for node in self._local)])

    def wait_for(self, fact: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until `fact` holds, looking again after each piece of news."""
        deadline = time.monotonic() + timeout_s
        while not fact():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            with self._changed:
                self._changed.wait(min(left, 0.05))
        return True

    # Announcements -----------------------------------------------------------------------------

    def add_node(self, namespace: str, name: str) -> LocalNode:
        """Announce a node of this process."""
        node = LocalNode(namespace, name)
        with self._changed:
            self._local.append(node)
        self._announce()
        return node

    def remove_node(self, node: LocalNode) -> None:
        """Announce that a node is gone."""
        with self._changed:
            self._local.remove(node)
        self._announce()

    def add(self, node: LocalNode, entity: cyclone.Entity, *, writes: bool) -> None:
        """Announce an endpoint of a node."""
        with self._changed:
            (node.writers if writes else node.readers).add(entity.guid.bytes)
        self._announce()

    def remove(self, node: LocalNode, entity: cyclone.Entity) -> None:
        """Announce that an endpoint is gone; call it before the entity is deleted."""
        guid = entity.guid.bytes
        with self._changed:
            node.writers.discard(guid)
            node.readers.discard(guid)
        self._announce()

    @contextlib.contextmanager
    def batch(self) -> Iterator[None]:
        """Announce all changes inside at once."""
        with self._changed:
            self._batches += 1
        try:
            yield
        finally:
            with self._changed:
                self._batches -= 1
            self._announce()

    def _announce(self) -> None:
        with self._changed:
            if self._batches:
                return
            make = self._interfaces.make
            infos = [
                make(
                    _NODE_TYPE,
                    node_namespace=node.namespace,
                    node_name=node.name,
                    reader_gid_seq=[self._gid(guid) for guid in sorted(node.readers)],
                    writer_gid_seq=[self._gid(guid) for guid in sorted(node.writers)],
                )
                for node in self._local
            ]
            message = make(_INFO_TYPE, gid=self._gid(self._guid), node_entities_info_seq=infos)
            self._writer.write(self._interfaces.encode(message, _INFO_TYPE))

    def _gid(self, guid: Guid) -> Any:
        size = len(self._interfaces.make(_GID_TYPE).data)
        return self._interfaces.make(_GID_TYPE, data=guid.ljust(size, b"\0"))

    # News --------------------------------------------------------------------------------------

    def _take_info(self, _: int) -> None:
        for sample in self._reader.take():
            try:
                message = self._interfaces.decode(sample.data, _INFO_TYPE)
            except ImageError:  # of a distribution with ids of another length: stays nameless
                continue
            owners: dict[Guid, str] = {}
            names: list[str] = []
            for info in message.node_entities_info_seq:
                name = join(info.node_namespace, info.node_name)
                names.append(name)
                gids = (*info.reader_gid_seq, *info.writer_gid_seq)
                owners.update({_guid(gid): name for gid in gids})
            with self._changed:
                self._nodes[_guid(message.gid)] = owners
                self._names[_guid(message.gid)] = names
                self._changed.notify_all()

    def _take_participants(self, reader: cyclone.BuiltinDataReader, _: int) -> None:
        for item in _all(reader):
            if item.sample_info.instance_state != cyclone.InstanceState.Alive:
                with self._changed:
                    self._nodes.pop(item.key.bytes, None)
                    self._names.pop(item.key.bytes, None)
                    self._changed.notify_all()

    def _take_writers(self, reader: cyclone.BuiltinDataReader, _: int) -> None:
        self._take_endpoints(reader, writes=True)

    def _take_readers(self, reader: cyclone.BuiltinDataReader, _: int) -> None:
        self._take_endpoints(reader, writes=False)

    def _take_endpoints(self, reader: cyclone.BuiltinDataReader, *, writes: bool) -> None:
        for item in _all(reader):
            alive = item.sample_info.instance_state == cyclone.InstanceState.Alive
            with self._changed:
                if not alive:
                    self._endpoints.pop(item.key.bytes, None)
                elif item.sample_info.valid_data:
                    self._endpoints[item.key.bytes] = _discovered(item, writes)
                self._changed.notify_all()


def _all(reader: cyclone.BuiltinDataReader) -> Iterator[Any]:
    batch: list[Any] = [None] * _BATCH
    while len(batch) == _BATCH:
        with cyclone.QOS_LOCK:
            batch = reader.take(N=_BATCH)
        yield from batch


def _discovered(item: Any, writes: bool) -> Discovered:
    return Discovered(
        guid=item.key.bytes,
        topic=item.topic_name,
        type_name=item.type_name,
        qos=policies.from_dds(item.qos),
        user_data=policies.user_data(item.qos),
        writes=writes,
        participant=item.participant_key.bytes,
        handle=item.sample_info.instance_handle & _HANDLE_MASK,
    )


def _guid(gid: Any) -> Guid:
    return np.asarray(gid.data, np.uint8).tobytes()[:_GUID_SIZE]
