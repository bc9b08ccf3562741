"""The slow way: through Cyclone's public Python API, with the real fields of each type.

Used where the raw way does not fit the installed library. The fields are announced to the
network; the bytes are still those of rosbags, handed through untouched.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rosbags.interfaces import Nodetype

from owseg.errors import HostError
from owseg_ros.hosts.standalone import cyclone
from owseg_ros.hosts.standalone.cyclone import idl, idl_types
from owseg_ros.hosts.standalone.interfaces import Buffer, Interfaces
from owseg_ros.hosts.standalone.wire import Reader, Sample, Writer, dds_type_name

_SCALARS: dict[str, Any] = {
    "bool": bool,
    "byte": idl_types.byte,
    "octet": idl_types.byte,
    "char": idl_types.uint8,
    "string": str,
    **{
        name: getattr(idl_types, name)
        for name in (
            *("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"),
            *("float32", "float64"),
        )
    },
}

_SERVICE_HEADER = {"rq_client": idl_types.uint64, "rq_number": idl_types.int64}
"""Fields that come before those of a request or response on the wire."""


class _TypedWriter:
    def __init__(self, entity: cyclone.DataWriter, sample_class: type[Any]) -> None:
        self.entity = entity
        self._class = sample_class

    def write(self, parts: Sequence[Buffer]) -> bool:
        sample = self._class.holding(b"".join(bytes(part) for part in parts))
        try:
            self.entity.write(sample)
        except cyclone.DDSException as err:
            if err.code == cyclone.RETCODE_TIMEOUT:
                return False
            raise HostError(f"cannot send: {err}") from err
        return True


class _TypedReader:
    def __init__(self, entity: cyclone.DataReader) -> None:
        self.entity = entity

    def take(self) -> list[Sample]:
        samples: list[Sample] = []
        batch: list[Any] = [None]
        while batch:
            batch = self.entity.take(N=8)
            for item in batch:
                if item.sample_info.valid_data:
                    info = item.sample_info
                    data = memoryview(item.data)
                    samples.append(Sample(data, info.source_timestamp, info.publication_handle))
        return samples


class TypedTopics:
    """Makes readers and writers of typed samples.

    Args:
        participant: to which they belong.
        interfaces: tells the fields of each type.
    """

    name = "typed"

    def __init__(self, participant: cyclone.DomainParticipant, interfaces: Interfaces) -> None:
        self._participant = participant
        self._interfaces = interfaces
        self._structs: dict[str, Any] = {}
        self._classes: dict[str, Any] = {}

    def writer(self, topic: str, message_type: str, qos: cyclone.Qos) -> Writer:
        """Make a writer; see `wire.Topics`."""
        made = self._topic(topic, message_type)
        return _TypedWriter(
            cyclone.make_writer(self._participant, made, qos), self._sample_class(message_type)
        )

    def reader(self, topic: str, message_type: str, qos: cyclone.Qos) -> Reader:
        """Make a reader; see `wire.Topics`."""
        made = self._topic(topic, message_type)
        return _TypedReader(cyclone.DataReader(self._participant, made, qos))

    def _topic(self, topic: str, message_type: str) -> Any:
        return cyclone.Topic(self._participant, topic, self._sample_class(message_type))

    def _sample_class(self, message_type: str) -> Any:
        """Return a struct with the fields of a type that passes serialised bytes through."""
        if message_type not in self._classes:
            self._classes[message_type] = _pass_through(self._struct(message_type))
        return self._classes[message_type]

    def _struct(self, message_type: str) -> Any:
        if message_type not in self._structs:
            name = dds_type_name(message_type)
            fields = dict(_SERVICE_HEADER) if "/srv/" in message_type else {}
            for field, desc in self._interfaces.fields(message_type):
                fields[field] = self._annotation(desc)
            self._structs[message_type] = idl.make_idl_struct(
                name.replace("::", "_"), name.replace("::", "."), fields
            )
        return self._structs[message_type]

    def _annotation(self, desc: Any) -> Any:
        kind, detail = desc
        if kind == Nodetype.BASE:
            base, bound = detail
            return idl_types.bounded_str[bound] if bound else _SCALARS[base]
        if kind == Nodetype.NAME:
            return self._struct(detail)
        item, length = self._annotation(detail[0]), detail[1]
        if kind == Nodetype.ARRAY:
            return idl_types.array[item, length]
        return idl_types.sequence[item, length] if length else idl_types.sequence[item]


def _pass_through(struct: Any) -> Any:
    """Make (de)serialisation of a struct hand over the bytes as they are."""

    def holding(cls: Any, data: bytes) -> Any:
        sample = cls.__new__(cls)
        sample.data = data
        return sample

    def deserialize(cls: Any, data: bytes, *_: Any, **__: Any) -> Any:
        return holding(cls, data)

    def serialize(self: Any, *_: Any, **__: Any) -> bytes:
        return bytes(self.data)

    struct.holding = classmethod(holding)
    struct.deserialize = classmethod(deserialize)
    struct.serialize = serialize
    return struct
