"""Services and clients, framed on the wire as `rmw_cyclonedds_cpp` does it.

A service is two topics. Each request and each response carries, before its fields, the
number of the client that asks (the handle of its writer) and a running number; the
server sends both back.
"""

from __future__ import annotations

import itertools
import struct
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace

from owseg.errors import HostError, ImageError
from owseg_ros.hosts.answers import answer
from owseg_ros.hosts.base import Message
from owseg_ros.hosts.calls import BlockingCalls
from owseg_ros.hosts.groups import Group, Mailbox
from owseg_ros.hosts.log import Log
from owseg_ros.hosts.qos import SERVICES, QosProfile
from owseg_ros.hosts.standalone import cyclone, policies
from owseg_ros.hosts.standalone.graph import FAST_DDS, LocalNode
from owseg_ros.hosts.standalone.intake import Watched
from owseg_ros.hosts.standalone.interfaces import Buffer
from owseg_ros.hosts.standalone.network import Network
from owseg_ros.hosts.standalone.wire import Reader, Sample, Writer

_HEADER = struct.Struct("<Qq")
_ENCAPSULATION = 4
_BODY = _ENCAPSULATION + _HEADER.size
_HANDLE_MASK = 2**64 - 1
_BLOCK_NS = 1_000_000_000
"""How long a response may wait for a client that is slow to take it."""

_TRY_NS = 100_000_000
_BUSY_S = 1.0
"""How long one try to send a request takes, and how long it is tried where nobody waits."""

_REPLY_READER_S = 0.1
"""How long a server waits until it has discovered where a client listens."""


def request_topic(name: str) -> str:
    """Return the DDS topic of the requests of a service."""
    return f"rq{name}Request"


def reply_topic(name: str) -> str:
    """Return the DDS topic of the responses of a service."""
    return f"rr{name}Reply"


def _frame(header: bytes, parts: Sequence[Buffer]) -> list[Buffer]:
    """Put the header between the encapsulation and the fields."""
    first = bytes(parts[0])
    return [first[:_ENCAPSULATION] + header + first[_ENCAPSULATION:], *parts[1:]]


def _unframe(data: memoryview) -> tuple[bytes, memoryview]:
    """Take the header out of what arrived.

    Raises:
        ImageError: there is none.
    """
    if len(data) < _BODY:
        raise ImageError("a service message is cut short")
    body = bytearray(data[:_ENCAPSULATION])
    body += data[_BODY:]
    return bytes(data[_ENCAPSULATION:_BODY]), memoryview(body).toreadonly()


class _Pair:
    """The reader and writer of one end of a service."""

    def __init__(
        self,
        network: Network,
        node: LocalNode,
        reads: tuple[str, str],
        writes: tuple[str, str],
        id_key: str,
        qos: QosProfile,
        block_ns: int,
    ) -> None:
        self.network, self.node = network, node
        self.id = uuid.uuid4().hex
        self._block_ns = block_ns
        self.writer: Writer = network.topics.writer(*writes, self._qos(writes[1], id_key, qos))
        self.reader: Reader = network.topics.reader(*reads, self._qos(reads[1], id_key, qos))
        self._source: Watched | None = None
        with network.graph.batch():
            network.graph.add(node, self.writer.entity, writes=True)
            network.graph.add(node, self.reader.entity, writes=False)

    def _qos(self, message_type: str, id_key: str, qos: QosProfile) -> cyclone.Qos:
        # A peer sees no difference, and many calls at once do not push each other out.
        qos = replace(qos, history="keep_all")
        type_hash = self.network.interfaces.type_hash(message_type)
        data = f"{id_key}={self.id};typehash={type_hash};"
        return policies.to_dds(qos, data, block_ns=self._block_ns)

    def listen(self, take: Callable[[Sample], None]) -> None:
        """Pass on what arrives."""

        def ready(_: int) -> None:
            for sample in self.reader.take():
                take(sample)

        self._source = Watched(self.reader.entity, cyclone.STATUS_DATA_AVAILABLE, ready)
        self.network.intake.add(self._source, self.reader.entity)

    def destroy(self) -> None:
        """Leave both topics."""
        if self._source is None:
            return
        self.network.intake.remove(self._source)
        self._source = None
        with self.network.graph.batch():
            self.network.graph.remove(self.node, self.reader.entity)
            self.network.graph.remove(self.node, self.writer.entity)
        cyclone.delete(self.reader.entity)
        cyclone.delete(self.writer.entity)

    @property
    def destroyed(self) -> bool:
        """Whether it has left."""
        return self._source is None

    def heard_by(self) -> list[int]:
        """Return the handles of the readers that our writer reaches."""
        return [handle & _HANDLE_MASK for handle in self.writer.entity.get_matched_subscriptions()]

    def hears(self) -> list[int]:
        """Return the handles of the writers that our reader hears."""
        return [handle & _HANDLE_MASK for handle in self.reader.entity.get_matched_publications()]

    def ids(self, handles: Sequence[int], key: str) -> list[str | None]:
        """Return what the endpoints call themselves; None where they do not."""
        found = [self.network.graph.by_handle(handle) for handle in handles]
        return [item.user_data.get(key) for item in found if item is not None]


class DdsService:
    """Offers one service.

    Args:
        network: of the process.
        node: that offers it.
        service_type: "package/srv/Name".
        name: full name.
        group: runs the handler.
        handler: gets the request, returns the response.
        log: where failures are reported.
        qos: of both topics.
    """

    def __init__(
        self,
        network: Network,
        node: LocalNode,
        service_type: str,
        name: str,
        group: Group,
        handler: Callable[[Message], Message],
        log: Log,
        qos: QosProfile = SERVICES,
    ) -> None:
        self.name = name
        self._type, self._handler, self._log = service_type, handler, log
        self._interfaces = network.interfaces
        self._pair = _Pair(
            network,
            node,
            (request_topic(name), f"{service_type}_Request"),
            (reply_topic(name), f"{service_type}_Response"),
            "serviceid",
            qos,
            _BLOCK_NS,
        )
        self._mailbox: Mailbox[Sample] = Mailbox(0, group, self._handle)
        self._pair.listen(self._mailbox.put)

    @property
    def destroyed(self) -> bool:
        """Whether it answers no more."""
        return self._pair.destroyed

    def destroy(self) -> None:
        """Stop to answer."""
        self._mailbox.close()
        self._pair.destroy()

    def _handle(self, sample: Sample) -> None:
        try:
            header, body = _unframe(sample.data)
            request = self._interfaces.decode(body, f"{self._type}_Request")
        except ImageError as err:
            self._log.warning(f"{self.name}: {err}", every_s=5.0, key=self.name)
            return
        blank = self._interfaces.response(self._type)
        response = answer(self._handler, request, blank, self.name, self._log)
        parts = self._interfaces.encode(response, f"{self._type}_Response")
        if not self._pair.network.graph.wait_for(
            lambda: self._client_listens(sample.writer), _REPLY_READER_S
        ):
            self._log.debug(f"{self.name}: the client that asked is gone")
        self._pair.writer.write(_frame(header, parts))

    def _client_listens(self, request_writer: int) -> bool:
        ids = self._pair.ids([request_writer], "clientid")
        if not ids or ids[0] is None:
            return bool(ids)
        return ids[0] in self._pair.ids(self._pair.heard_by(), "clientid")


class DdsClient(BlockingCalls):
    """Calls one service.

    Args:
        network: of the process.
        node: that calls it.
        service_type: "package/srv/Name".
        name: full name.
        qos: of both topics.
    """

    def __init__(
        self,
        network: Network,
        node: LocalNode,
        service_type: str,
        name: str,
        qos: QosProfile = SERVICES,
    ) -> None:
        self.name = name
        self._type = service_type
        self._interfaces = network.interfaces
        self._pair = _Pair(
            network,
            node,
            (reply_topic(name), f"{service_type}_Response"),
            (request_topic(name), f"{service_type}_Request"),
            "clientid",
            qos,
            _TRY_NS,
        )
        self._handle = self._pair.writer.entity.instance_handle & _HANDLE_MASK
        self._numbers = itertools.count(1)
        self._open: dict[int, Future[Message]] = {}
        self._lock = threading.Lock()
        self._pair.listen(self._take)

    @property
    def destroyed(self) -> bool:
        """Whether it was forgotten."""
        return self._pair.destroyed

    @property
    def ready(self) -> bool:
        """Whether one server hears us and we hear it."""
        asked = self._pair.ids(self._pair.heard_by(), "serviceid")
        answering = self._pair.ids(self._pair.hears(), "serviceid")
        return bool(set(asked) & set(answering))

    def wait(self, timeout_s: float) -> bool:
        """Wait until a server is there."""
        return self._pair.network.graph.wait_for(lambda: self.ready, timeout_s)

    def call_async(self, request: Message) -> Future[Message]:
        """Call; see `Client.call_async`."""
        return self.send(request, time.monotonic() + _BUSY_S)

    def send(self, request: Message, deadline_s: float) -> Future[Message]:
        """Send a request; servers that are slow or dead may hold it up until a deadline."""
        future: Future[Message] = Future()
        number = next(self._numbers)
        with self._lock:
            self._open = {key: item for key, item in self._open.items() if not item.done()}
            self._open[number] = future
        parts = self._interfaces.encode(request, f"{self._type}_Request")
        framed = _frame(_HEADER.pack(self._handle, number), parts)
        while not self._pair.writer.write(framed):
            if time.monotonic() >= deadline_s:
                busy = f"service {self.name} is too busy to take a request; {self.hint()}"
                future.set_exception(HostError(busy))
                break
        return future

    def destroy(self) -> None:
        """Forget the service."""
        self._pair.destroy()
        with self._lock:
            for future in self._open.values():
                future.cancel()

    def _take(self, sample: Sample) -> None:
        try:
            header, body = _unframe(sample.data)
        except ImageError:
            return
        client, number = _HEADER.unpack(header)
        if client != self._handle:
            return
        with self._lock:
            future = self._open.pop(number, None)
        if future is None or not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(self._interfaces.decode(body, f"{self._type}_Response"))
        except ImageError as err:
            future.set_exception(HostError(f"service {self.name}: {err}"))

    def hint(self) -> str:
        """Say what to do where no server answers."""
        servers = self._pair.network.graph.endpoints(request_topic(self.name), writes=False)
        if any(server.guid.startswith(FAST_DDS) for server in servers):
            return (
                "its node runs on Fast DDS, with which services do not work: start that node "
                "with RMW_IMPLEMENTATION=rmw_cyclonedds_cpp"
            )
        return "start its node, and give both the same ROS_DOMAIN_ID and RMW_IMPLEMENTATION"
