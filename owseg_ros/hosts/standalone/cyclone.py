"""The one place that imports cyclonedds, and the C functions that its Python API lacks.

The raw functions move serialised samples in and out of the wheel's C library without
looking into them. They are not part of a stable interface: they are used with exactly the
version that they were written for, and only if they pass `raw_topics.works`.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from importlib.metadata import version
from typing import Any

from owseg.errors import HostError, MissingDependencyError

try:
    import cyclonedds.idl
    from cyclonedds import __library__ as _library
    from cyclonedds.builtin import (
        BuiltinDataReader,
        BuiltinTopicDcpsParticipant,
        BuiltinTopicDcpsPublication,
        BuiltinTopicDcpsSubscription,
    )
    from cyclonedds.core import DDSException, Entity, GuardCondition, InstanceState
    from cyclonedds.domain import DomainParticipant
    from cyclonedds.idl import types as idl_types
    from cyclonedds.internal import DDS, dds_c_t
    from cyclonedds.pub import DataWriter
    from cyclonedds.qos import Policy, Qos
    from cyclonedds.sub import DataReader
    from cyclonedds.topic import Topic
except ImportError as err:
    raise MissingDependencyError(
        f"the standalone host needs Cyclone DDS ({err}); install it with: "
        'pip install "owseg_ros[dds]"'
    ) from err

__all__ = [
    "DDS",
    "BuiltinDataReader",
    "BuiltinTopicDcpsParticipant",
    "BuiltinTopicDcpsPublication",
    "BuiltinTopicDcpsSubscription",
    "DDSException",
    "DataReader",
    "DataWriter",
    "DomainParticipant",
    "Entity",
    "GuardCondition",
    "InstanceState",
    "IoVector",
    "Policy",
    "Qos",
    "Topic",
    "TopicDescriptor",
    "check",
    "dds_c_t",
    "delete",
    "idl",
    "idl_types",
    "lib",
    "raw_version_fits",
]

idl = cyclonedds.idl

RAW_VERSION = "11.0.1"
"""The version whose C structures are described below."""

STATUS_OFFERED_INCOMPATIBLE_QOS = 1 << 3
STATUS_REQUESTED_INCOMPATIBLE_QOS = 1 << 4
STATUS_DATA_AVAILABLE = 1 << 8
STATUS_PUBLICATION_MATCHED = 1 << 11
STATUS_SUBSCRIPTION_MATCHED = 1 << 12

RETCODE_TIMEOUT = -10

QOS_LOCK = threading.Lock()
"""Held wherever the package reads QoS settings back from C: it does so through buffers that all
threads share, and two at once get each other's settings."""

INFINITE_NS = 2**63 - 1


def make_writer(participant: DomainParticipant, topic: Any, qos: Qos) -> DataWriter:
    """Make a writer, which reads its settings back."""
    with QOS_LOCK:
        return DataWriter(participant, topic, qos)


class _MetaData(ctypes.Structure):
    """`struct dds_type_meta_ser`."""

    _fields_ = (("data", ctypes.c_void_p), ("sz", ctypes.c_uint32))


class TopicDescriptor(ctypes.Structure):
    """`dds_topic_descriptor_t`."""

    _fields_ = (
        ("m_size", ctypes.c_uint32),
        ("m_align", ctypes.c_uint32),
        ("m_flagset", ctypes.c_uint32),
        ("m_nkeys", ctypes.c_uint32),
        ("m_typename", ctypes.c_char_p),
        ("m_keys", ctypes.c_void_p),
        ("m_nops", ctypes.c_uint32),
        ("m_ops", ctypes.POINTER(ctypes.c_uint32)),
        ("m_meta", ctypes.c_char_p),
        ("type_information", _MetaData),
        ("type_mapping", _MetaData),
        ("restrict_data_representation", ctypes.c_uint32),
    )


class IoVector(ctypes.Structure):
    """`ddsrt_iovec_t` on POSIX."""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


_entity, _pointer = ctypes.c_int32, ctypes.c_void_p

_ALWAYS = {
    "dds_create_domain": (_entity, [ctypes.c_uint32, ctypes.c_char_p]),
    "dds_create_waitset": (_entity, [_entity]),
    "dds_waitset_attach": (ctypes.c_int32, [_entity, _entity, ctypes.c_ssize_t]),
    "dds_waitset_detach": (ctypes.c_int32, [_entity, _entity]),
    "dds_waitset_wait": (
        ctypes.c_int32,
        [_entity, ctypes.POINTER(ctypes.c_ssize_t), ctypes.c_size_t, ctypes.c_int64],
    ),
    "dds_take_status": (ctypes.c_int32, [_entity, _pointer, ctypes.c_uint32]),
}

_RAW = {
    "dds_create_topic": (_entity, [_entity, _pointer, ctypes.c_char_p, _pointer, _pointer]),
    "dds_get_entity_sertype": (ctypes.c_int32, [_entity, _pointer]),
    "dds_writecdr": (ctypes.c_int32, [_entity, _pointer]),
    "dds_takecdr": (
        ctypes.c_int32,
        [_entity, _pointer, ctypes.c_uint32, _pointer, ctypes.c_uint32],
    ),
    "ddsi_serdata_from_ser_iov": (
        _pointer,
        [_pointer, ctypes.c_int, ctypes.c_size_t, _pointer, ctypes.c_size_t],
    ),
    "ddsi_serdata_size": (ctypes.c_uint32, [_pointer]),
    "ddsi_serdata_to_ser_ref": (
        _pointer,
        [_pointer, ctypes.c_size_t, ctypes.c_size_t, _pointer],
    ),
    "ddsi_serdata_to_ser_unref": (None, [_pointer, _pointer]),
    "ddsi_serdata_unref": (None, [_pointer]),
}


class _Library:
    """The functions above, with their types; each call lets other threads run."""

    def __init__(self) -> None:
        self.missing: list[str] = []
        for name, (result, arguments) in {**_ALWAYS, **_RAW}.items():
            try:
                function = getattr(_dll, name)
            except AttributeError:
                self.missing.append(name)
                continue
            function.restype = result
            function.argtypes = arguments
            setattr(self, name, function)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


# A handle of our own to the same library: the argument types set here stay ours.
_dll = ctypes.CDLL(DDS._dll_handle._name)
lib = _Library()


def raw_version_fits() -> bool:
    """Whether the raw functions are those that this module describes."""
    return (
        sys.platform == "linux"
        and bool(_library.in_wheel)
        and version("cyclonedds") == RAW_VERSION
        and not any(name in _RAW for name in lib.missing)
    )


def check(code: int, what: str) -> int:
    """Return a result of the C library.

    Raises:
        HostError: it is an error code.
    """
    if code < 0:
        raise HostError(f"{what}: {DDSException(code)}")
    return code


def delete(entity: Entity) -> None:
    """Delete an entity now rather than when Python forgets it; a second time is harmless."""
    entity.__del__()
