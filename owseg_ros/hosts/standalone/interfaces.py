"""Message types, made and read without ROS 2: rosbags' stores and our own interface text.

CDR is written in two parts where a message ends in a byte array: the head, and the bytes
as they lie in memory. So an image is copied once, by the wire.
"""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from rosbags.interfaces import Nodetype
from rosbags.serde import SerdeError
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from owseg.errors import ImageError, UsageError
from owseg_ros.hosts.base import Message
from owseg_ros.hosts.standalone.interface_files import interface_files

DEFAULT_DISTRO = "jazzy"
"""Whose interfaces are spoken where ROS_DISTRO names no other."""

_DISTROS = {
    "humble": Stores.ROS2_HUMBLE,
    "iron": Stores.ROS2_IRON,
    "jazzy": Stores.ROS2_JAZZY,
    "kilted": Stores.ROS2_KILTED,
    "lyrical": Stores.ROS2_LYRICAL,
    "rolling": Stores.LATEST,
}
_BYTES = {"uint8", "int8", "byte", "char", "octet"}
_DTYPES = {"bool": "bool", "byte": "uint8", "char": "uint8", "octet": "uint8"}
_UNIT_FIELD = "structure_needs_at_least_one_member"
_LENGTH = struct.Struct("=I")
_EMPTY = np.zeros(0, np.uint8)

Buffer = bytes | bytearray | memoryview | npt.NDArray[Any]
"""Contiguous memory."""

Default = Callable[[Any], Any]
"""Turns the value that was given for a field (None = none) into one that can be sent."""


class _Layout(NamedTuple):
    """How messages of one type are made and written.

    Attributes:
        cls: the class of the message.
        fields: what fills each field, by name.
        tail: name of the last field if it is a byte array of any length, else "".
    """

    cls: Callable[..., Any]
    fields: dict[str, Default]
    tail: str


class Interfaces:
    """All message and service types of one ROS 2 distribution.

    Args:
        distro: name of the distribution; ROS_DISTRO by default.
    """

    def __init__(self, distro: str | None = None) -> None:
        name = (distro or os.environ.get("ROS_DISTRO") or DEFAULT_DISTRO).lower()
        self.distro = name if name in _DISTROS else DEFAULT_DISTRO
        self._store = get_typestore(_DISTROS[self.distro])
        self._layouts: dict[str, _Layout] = {}
        self._hashes: dict[str, str] = {}
        self._lock = threading.RLock()

    # Types -------------------------------------------------------------------------------------

    def has(self, interface_type: str) -> bool:
        """Whether a message or service type is known."""
        return interface_type in self._store.fielddefs or interface_type in interface_files()

    def type_hash(self, message_type: str) -> str:
        """Return the RIHS01 hash of a type, as ROS 2 tools compute it."""
        if message_type not in self._hashes:
            self._hashes[message_type] = self._hash(message_type)
        return self._hashes[message_type]

    def _hash(self, message_type: str) -> str:
        self._layout(message_type)
        hasher = Typestore()
        hasher.fielddefs = {
            name: (constants, [(field, _without_char(desc)) for field, desc in fields])
            for name, (constants, fields) in self._store.fielddefs.items()
        }
        return hasher.hash_rihs01(message_type)

    def fields(self, message_type: str) -> list[tuple[str, Any]]:
        """Return the fields of a type, as rosbags describes them."""
        self._layout(message_type)
        return list(self._store.fielddefs[message_type][1])

    def _layout(self, message_type: str) -> _Layout:
        layout = self._layouts.get(message_type)
        return layout or self._new_layout(message_type)

    def _new_layout(self, message_type: str) -> _Layout:
        with self._lock:
            self._load(message_type)
            fields = self._store.fielddefs[message_type][1]
            layout = self._layouts[message_type] = _Layout(
                self._store.types[message_type],
                {name: self._default(name, desc) for name, desc in fields},
                _byte_tail(fields),
            )
        return layout

    def _load(self, message_type: str) -> None:
        """Read a type from its file, with the types that it names, unless it is known."""
        if message_type in self._store.fielddefs:
            return
        base = message_type.removesuffix("_Request").removesuffix("_Response")
        file = interface_files().get(base)
        if file is None or (base == message_type and "/msg/" not in base):
            raise UsageError(
                f"unknown interface type '{message_type}'; the standalone host knows those of "
                f"ROS 2 {self.distro} and of owseg_msgs"
            )
        found = _parse(base, file.read_text(encoding="utf-8"))
        self._store.register(found)
        for _, fields in found.values():
            for _, desc in fields:
                if nested := _nested(desc):
                    self._load(nested)

    # Making ------------------------------------------------------------------------------------

    def make(self, message_type: str, /, **fields: Any) -> Message:
        """Make a message; see `Messages.make`."""
        layout = self._layout(message_type)
        if unknown := fields.keys() - layout.fields.keys():
            raise UsageError(
                f"{message_type} has no field '{min(unknown)}'; it has {', '.join(layout.fields)}"
            )
        try:
            values = {name: fill(fields.get(name)) for name, fill in layout.fields.items()}
        except (TypeError, ValueError, OverflowError) as err:
            raise UsageError(f"cannot make a {message_type}: {err}") from err
        return layout.cls(**values)

    def request(self, service_type: str, /, **fields: Any) -> Message:
        """Make a request of a service."""
        return self.make(f"{service_type}_Request", **fields)

    def response(self, service_type: str, /, **fields: Any) -> Message:
        """Make a response of a service."""
        return self.make(f"{service_type}_Response", **fields)

    def _default(self, name: str, desc: Any) -> Default:
        kind, detail = desc
        if kind == Nodetype.BASE:
            zero: Any = {"string": "", "wstring": "", "bool": False}.get(
                detail[0], 0.0 if detail[0].startswith("float") else 0
            )
            return lambda value: zero if value is None else value
        if kind == Nodetype.NAME:
            return lambda value: self.make(detail) if value is None else value
        (item_kind, item), length = detail
        fixed = length if kind == Nodetype.ARRAY else 0
        if item_kind == Nodetype.BASE and item[0] not in ("string", "wstring"):
            return _numbers(name, np.dtype(_DTYPES.get(item[0], item[0])), fixed)
        blank = (lambda: self.make(item)) if item_kind == Nodetype.NAME else str
        return lambda value: [blank() for _ in range(fixed)] if value is None else list(value)

    # CDR ---------------------------------------------------------------------------------------

    def encode(self, message: Message, message_type: str) -> Sequence[Buffer]:
        """Write a message as CDR.

        Returns:
            Parts that follow each other on the wire; the first begins with the four bytes
            of the encapsulation header. They may share memory with the message.

        Raises:
            UsageError: the message has another type, or a value that its field cannot hold.
        """
        layout = self._layout(message_type)
        try:
            if not layout.tail:
                return [self._store.serialize_cdr(message, message_type)]
            tail = _as_bytes(getattr(message, layout.tail))
            data = bytearray(self._store.serialize_cdr(_without(message, layout), message_type))
        except (struct.error, SerdeError, TypeError, ValueError, AttributeError) as err:
            raise UsageError(f"cannot send this as {message_type}: {err}") from err
        _LENGTH.pack_into(data, len(data) - 4, len(tail))
        return [data, tail]

    def decode(self, data: memoryview, message_type: str) -> Message:
        """Read a message from CDR; its arrays are views of `data`.

        Raises:
            ImageError: the bytes are cut short or of another type.
        """
        self._layout(message_type)
        try:
            return self._store.deserialize_cdr(data, message_type)
        except (SerdeError, IndexError, MemoryError) as err:
            raise ImageError(f"message is damaged or not a {message_type}: {err}") from err


def _parse(name: str, text: str) -> dict[str, Any]:
    """Parse the text of a message or service into field definitions by type name."""
    if "/msg/" in name:
        return dict(get_types_from_msg(text, name))
    halves = [f"{half}\n" for half in f"\n{text}\n".split("\n---\n")]
    found: dict[str, Any] = {}
    for half, suffix in zip(halves, ("Request", "Response"), strict=True):
        alias = f"{name.replace('/srv/', '/msg/')}_{suffix}"
        constants, fields = get_types_from_msg(half, alias)[alias]
        unit = [(_UNIT_FIELD, (Nodetype.BASE, ("uint8", 0)))]
        found[f"{name}_{suffix}"] = (constants, fields or unit)
    return found


def _nested(desc: Any) -> str:
    """Name the message type that a field holds, "" = none."""
    kind, detail = desc
    if kind == Nodetype.NAME:
        return str(detail)
    return _nested(detail[0]) if kind in (Nodetype.ARRAY, Nodetype.SEQUENCE) else ""


def _without_char(desc: Any) -> Any:
    """Replace `char` by `uint8`: ROS 2 hashes them alike."""
    kind, detail = desc
    if kind == Nodetype.BASE:
        return (kind, ("uint8", 0)) if detail[0] == "char" else desc
    return desc if kind == Nodetype.NAME else (kind, (_without_char(detail[0]), detail[1]))


def _byte_tail(fields: Sequence[tuple[str, Any]]) -> str:
    name, (kind, detail) = fields[-1]
    if kind != Nodetype.SEQUENCE or len(fields) < 2:
        return ""
    item_kind, item = detail[0]
    return name if item_kind == Nodetype.BASE and item[0] in _BYTES and not detail[1] else ""


def _numbers(name: str, dtype: np.dtype[Any], fixed: int) -> Default:
    def fill(value: Any) -> npt.NDArray[Any]:
        if value is None:
            return np.zeros(fixed, dtype)
        if isinstance(value, (bytes, bytearray, memoryview)):
            array = np.frombuffer(value, dtype)
        else:
            array = np.ascontiguousarray(value, dtype).reshape(-1)
        if fixed and len(array) != fixed:
            raise UsageError(f"field '{name}' takes {fixed} numbers, got {len(array)}")
        return array

    return fill


def _without(message: Message, layout: _Layout) -> Message:
    """Return a message with the same fields, but an empty tail."""
    head = object.__new__(type(message))
    vars(head).update(vars(message), **{layout.tail: _EMPTY})
    return head


def _as_bytes(data: Any) -> npt.NDArray[np.uint8]:
    """See the content of a byte array, which its message may have got after it was made.

    Raises:
        TypeError: other numbers than bytes.
    """
    if isinstance(data, (bytes, bytearray, memoryview)):
        return np.frombuffer(data, np.uint8)
    array = np.ascontiguousarray(data)
    if array.size and (array.dtype.itemsize != 1 or array.dtype.kind not in "biu"):
        raise TypeError(f"an array of bytes is needed, got {array.dtype}")
    return array.reshape(-1).view(np.uint8)
