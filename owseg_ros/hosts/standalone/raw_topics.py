"""The fast way: serialised bytes straight into and out of Cyclone's C library.

Every ROS type is announced as one opaque octet, so that the library passes the bytes on
as they are. A write gathers the parts of a message into the sample (one copy of an image);
a read is a view of the sample (no copy), which is given back when the last array that
refers to it is gone.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from owseg.errors import HostError
from owseg_ros.hosts.standalone import cyclone
from owseg_ros.hosts.standalone.cyclone import IoVector, TopicDescriptor, check, lib
from owseg_ros.hosts.standalone.interfaces import Buffer
from owseg_ros.hosts.standalone.wire import Reader, Sample, Writer, dds_type_name

_DATA = 2
"""`SDK_DATA`: a sample with all its fields, not only its key."""

_ONE_OCTET = (ctypes.c_uint32 * 3)(0x01010000, 0, 0)
"""Marshalling program: one plain byte at offset 0, end."""

_BATCH = 8
_TEST_TOPIC = "owseg_self_test"
_TEST_TIMEOUT_S = 2.0


class _Loan:
    """A received sample in the memory of the library; given back with the last reference."""

    def __init__(self, serdata: int) -> None:
        self._serdata = serdata
        size = lib.ddsi_serdata_size(serdata)
        self._vector = IoVector()
        self._ref = lib.ddsi_serdata_to_ser_ref(serdata, 0, size, ctypes.byref(self._vector))
        self.__array_interface__ = {
            "version": 3,
            "shape": (size,),
            "typestr": "|u1",
            "data": (self._vector.base, True),
        }

    def __del__(self) -> None:
        lib.ddsi_serdata_to_ser_unref(self._ref, ctypes.byref(self._vector))
        lib.ddsi_serdata_unref(self._serdata)


class _RawTopic(cyclone.Topic):  # type: ignore[misc]
    """A topic of opaque samples."""

    def __init__(self, participant: cyclone.DomainParticipant, name: str, type_name: str) -> None:
        self._descriptor = TopicDescriptor(
            m_size=1,
            m_align=1,
            m_typename=type_name.encode(),
            m_nops=2,
            m_ops=_ONE_OCTET,
            m_meta=b"",
        )
        handle = lib.dds_create_topic(
            participant._ref, ctypes.byref(self._descriptor), name.encode(), None, None
        )
        check(handle, f"cannot create DDS topic '{name}'")
        cyclone.Entity.__init__(self, handle)
        self.data_type: Any = None
        self._keepalive_entities = [participant]


class _RawWriter:
    def __init__(self, entity: cyclone.DataWriter) -> None:
        self.entity = entity
        self._handle = entity._ref
        self._type = ctypes.c_void_p()
        code = lib.dds_get_entity_sertype(self._handle, ctypes.byref(self._type))
        check(code, "cannot get the type of a DDS writer")

    def write(self, parts: Sequence[Buffer]) -> bool:
        arrays = [np.frombuffer(part, np.uint8) for part in parts]
        vectors = (IoVector * len(arrays))(
            *(IoVector(array.__array_interface__["data"][0], len(array)) for array in arrays)
        )
        size = sum(map(len, arrays))
        serdata = lib.ddsi_serdata_from_ser_iov(self._type, _DATA, len(arrays), vectors, size)
        if not serdata:
            raise HostError(f"DDS refused a message of {size} bytes")
        code = lib.dds_writecdr(self._handle, serdata)
        if code == cyclone.RETCODE_TIMEOUT:
            return False
        check(code, "cannot send")
        return True


class _RawReader:
    def __init__(self, entity: cyclone.DataReader) -> None:
        self.entity = entity
        self._handle = entity._ref
        self._serdata = (ctypes.c_void_p * _BATCH)()
        self._infos = (cyclone.dds_c_t.sample_info * _BATCH)()

    def take(self) -> list[Sample]:
        samples: list[Sample] = []
        count = _BATCH
        while count == _BATCH:
            count = lib.dds_takecdr(self._handle, self._serdata, _BATCH, self._infos, 0)
            for index in range(count):
                loan, info = _Loan(self._serdata[index] or 0), self._infos[index]
                if info.valid_data:
                    data = memoryview(np.asarray(loan).data)
                    samples.append(Sample(data, info.source_timestamp, info.publication_handle))
        return samples


class RawTopics:
    """Makes readers and writers of opaque samples.

    Args:
        participant: to which they belong.
    """

    name = "raw"

    def __init__(self, participant: cyclone.DomainParticipant) -> None:
        self._participant = participant

    def writer(self, topic: str, message_type: str, qos: cyclone.Qos) -> Writer:
        """Make a writer; see `wire.Topics`."""
        made = self._topic(topic, message_type)
        return _RawWriter(cyclone.make_writer(self._participant, made, qos))

    def reader(self, topic: str, message_type: str, qos: cyclone.Qos) -> Reader:
        """Make a reader; see `wire.Topics`."""
        return _RawReader(
            cyclone.DataReader(self._participant, self._topic(topic, message_type), qos)
        )

    def _topic(self, topic: str, message_type: str) -> _RawTopic:
        return _RawTopic(self._participant, topic, dds_type_name(message_type))


def works(participant: cyclone.DomainParticipant) -> bool:
    """Whether this way can be trusted here: the version fits, and bytes survive a round trip."""
    if not cyclone.raw_version_fits():
        return False
    topics = RawTopics(participant)
    qos = cyclone.Qos(
        cyclone.Policy.Reliability.Reliable(10**9),
        cyclone.Policy.History.KeepLast(1),
        cyclone.Policy.Partition([f"{_TEST_TOPIC}_{id(participant)}"]),
        cyclone.Policy.DataRepresentation(use_cdrv0_representation=True),
    )
    reader = topics.reader(_TEST_TOPIC, "owseg_ros/msg/SelfTest", qos)
    writer = topics.writer(_TEST_TOPIC, "owseg_ros/msg/SelfTest", qos)
    try:
        return _echoes(writer, reader)
    finally:
        cyclone.delete(reader.entity)
        cyclone.delete(writer.entity)


def _echoes(writer: Writer, reader: Reader) -> bool:
    head, body = b"\x00\x01\x00\x00", np.arange(4096, dtype=np.uint8)
    if not writer.write([head, body]):
        return False
    deadline = time.monotonic() + _TEST_TIMEOUT_S
    samples: list[Sample] = []
    while not samples and time.monotonic() < deadline:
        samples = reader.take()
        time.sleep(0 if samples else 0.001)
    return [bytes(sample.data) for sample in samples] == [head + body.tobytes()]
